"""Questions and answers. PROTOCOL.md §11."""

import json
import time

import frames
from binary import Raw, encode_message, pack
from harness import echo, equal, expect, expect_close, scenario
from scenarios.codecs import MSGPACK, PROTOBUF, connect, recv_data


def ask(member, event, payload=None, id="q"):
    member.send(event, None if payload is None else json.dumps(payload), id=id)


def answer(member, id="q", more=False):
    frame = member.recv()
    equal((frame.re, frame.more, frame.id), (id, more, None), f"answer {frame}")
    return frame


def error(member, code, id="q"):
    frame = answer(member, id)
    equal((frame.event, frame.value["code"], type(frame.value["message"])), ("error", code, str), "error")


@scenario
def a_question_gets_an_answer(ctx):
    member = ctx.session()
    ask(member, "slow", {"ms": 20})
    equal(answer(member).event, "ok", "event")
    ask(member, "fail", {"code": "own", "message": "text"}, id="other")
    frame = answer(member, "other")
    equal((frame.event, frame.value), ("error", {"code": "own", "message": "text"}), "error")


@scenario
def an_answer_to_a_frame_without_an_id_has_no_re(ctx):
    member = ctx.session()
    member.send("slow", '{"ms":1}')
    frame = member.recv()
    equal((frame.event, frame.re, frame.id), ("ok", None, None), "answer")


@scenario
def all_answers_but_the_last_have_more(ctx):
    member = ctx.session()
    ask(member, "count", {"n": 5, "every_us": 1000})
    items = [answer(member, more=i < 5) for i in range(1, 6)]
    equal([(item.event, item.value) for item in items], [("item", {"i": i}) for i in range(1, 6)], "items")
    ask(member, "count", {"n": 0})
    error(member, "bad_request")


@scenario
def an_unknown_event_is_an_error(ctx):
    member = ctx.session()
    ask(member, "ask.nobody", {"x": 1})
    error(member, "unknown_event")
    ask(member, "slow", {"ms": "soon"})
    error(member, "bad_request")
    # An event that the server only echoes is none.
    member.send("any", "1", id="i")
    equal(member.recv().id, "i", "echo")


@scenario
def the_server_asks_inside_a_handler(ctx):
    member = ctx.session()
    ask(member, "ask", {"event": "where", "payload": {"a": [1]}, "timeout_ms": 5000})
    question = member.recv()
    equal((question.event, question.value, question.re), ("where", {"a": [1]}, None), "question")
    expect(question.id, "the question has no id")
    # These wait for the handler, and the answer does not wait for them.
    for i in range(1, 6):
        member.send("sink", f'{{"i":{i}}}')
    member.send("here", '[1, 2]', re=question.id)
    frame = answer(member)
    equal((frame.event, frame.payload), ("here", "[1, 2]"), "the answer's event and payload")
    member.send("late", "1", re=question.id)
    ctx.sunk(member.id, 5)
    ask(member, "ask", {"event": "where", "timeout_ms": 50})
    question = member.recv()
    expect(question.payload in (None, "null"), f"payload of {question}")
    error(member, "timeout")
    eventually_cancelled(member, question.id)


def eventually_cancelled(member, id):
    member.pump_until(lambda: id in member.cancels, f"$cancel of {id}", 2.0)


@scenario
def an_error_of_the_client_comes_back(ctx):
    member = ctx.session()
    ask(member, "ask", {"event": "where", "payload": 1, "timeout_ms": 5000})
    member.send("error", '{"code":"mine","message":"no"}', re=member.recv().id)
    frame = answer(member)
    equal((frame.event, frame.value), ("error", {"code": "mine", "message": "no"}), "error")


@scenario
def an_answer_without_an_asker_is_dropped(ctx):
    member = ctx.session()
    member.send("pub", "1", re="nothing")
    member.send("any", "2")
    equal(member.recv().value, 2, "only the message is echoed")
    member.sync()
    member.pump_until(lambda: member.server_acked == 2, "both are counted", 2.0)


@scenario
def a_cancelled_question_gets_no_answer(ctx):
    member = ctx.session()
    ask(member, "slow", {"ms": 300}, id="first")
    # The second waits behind the first.
    ask(member, "slow", {"ms": 1}, id="second")
    ask(member, "slow", {"ms": 1}, id="third")
    for id in ("first", "second", "unknown"):
        member.control("$cancel", json.dumps({"id": id}))
    answer(member, "third")
    equal(member.available(0.3), None, "more answers")


@scenario
def a_cancelled_stream_stops(ctx):
    member = ctx.session()
    ask(member, "count", {"n": 1000000, "every_us": 2000})
    answer(member, more=True)
    member.control("$cancel", '{"id":"q"}')
    ask(member, "slow", {"ms": 1}, id="next")
    deadline = time.monotonic() + 5
    while (frame := member.recv()).re == "q":
        expect(time.monotonic() < deadline, "the stream goes on")
    equal((frame.re, frame.event), ("next", "ok"), "answer to the next question")


@scenario
def a_malformed_cancel_closes_with_1002(ctx):
    for payload in (None, "{}", '{"id":1}', '"q"'):
        member = ctx.session()
        member.control("$cancel", payload)
        expect_close(member, 1002)


@scenario
def questions_are_answered_once_over_cuts(ctx):
    member = ctx.session()
    ask(member, "slow", {"ms": 200})
    member.sync()
    member.pump_until(lambda: member.server_acked == 1, "the question is counted", 2.0)
    ctx.cut(member)
    ctx.resumed(member)
    equal(answer(member).event, "ok", "the answer after the resume")
    # The server's question and our answer, over a cut each.
    ask(member, "ask", {"event": "where", "payload": 1, "timeout_ms": 20000})
    question = member.recv()
    ctx.cut(member)
    member.prepare("here", "7", re=question.id)
    ctx.resumed(member)
    equal(answer(member).value, 7, "the answer to our question")
    equal(member.available(0.2), None, "more answers")


@scenario
def questions_work_in_plain_mode(ctx):
    ws = ctx.plain()
    ws.send_text(frames.encode("slow", '{"ms":1}', id="q"))
    frame = frames.decode(ws.recv_text())
    equal((frame.event, frame.re, frame.id), ("ok", "q", None), "answer")
    echo(ws, "$cancel", '{"id":"q"}')


@scenario
def answers_have_their_members_in_every_codec(ctx):
    packed, _ = connect(ctx, MSGPACK)
    packed.send_binary(pack({"id": "q", "event": "count", "payload": Raw(pack({"n": 2}))}))
    frame, last = recv_data(packed, MSGPACK), recv_data(packed, MSGPACK)
    equal((frame["re"], frame["more"], last["re"], last.get("more")), ("q", True, "q", None), "msgpack")
    proto, _ = connect(ctx, PROTOBUF)
    proto.send_binary(encode_message(id="q", event="count", payload=b'{"n":2}', format=1))
    frame, last = recv_data(proto, PROTOBUF), recv_data(proto, PROTOBUF)
    equal((frame["re"], frame["more"], last["re"], last.get("more")), ("q", 1, "q", None), "protobuf")
