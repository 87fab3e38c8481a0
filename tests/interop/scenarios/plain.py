"""Plain mode: echo, rooms, kick, drop, resume by connection id. PROTOCOL.md §1, §2, §7."""

import frames
import wire
from harness import echo, equal, expect, expect_close, publish, scenario
from payloads import LONE_SURROGATES, PAYLOADS


@scenario
def plain_mode_echoes(ctx):
    ws = ctx.plain()
    equal(ws.protocol, None, "selected")
    echo(ws, event="hello", payload='{"a":1}')
    echo(ws, payload='"only a payload"')
    echo(ws, event="only an event")


@scenario
def plain_mode_keeps_payload_text(ctx):
    ws = ctx.plain()
    for payload in PAYLOADS:
        echo(ws, event="bytes", payload=payload)


@scenario
def escaped_lone_surrogates_are_kept_or_refused(ctx):
    for payload in LONE_SURROGATES:
        ws = ctx.plain()
        ws.send_text(frames.encode("bytes", payload))
        message = ws.recv()
        if message.opcode == wire.CLOSE:
            expect(message.code in (1007, 1008), f"closed with {message.code}")
        else:
            equal(frames.decode(message.text).payload, payload, "payload")


@scenario
def whitespace_and_unknown_members_around_the_payload_do_no_harm(ctx):
    ws = ctx.plain()
    ws.send_text(' {\n"unknown" : [1, {"event":2}] ,\t"payload" : { "a" : 1.0 } , "event":"x" , "later":null } \n')
    back = frames.decode(ws.recv_text())
    equal((back.event, back.payload), ("x", '{ "a" : 1.0 }'), "echo")
    ws.send_text(r'{"\u0065vent":"\u0078\n\u00e9","payload":1}')
    back = frames.decode(ws.recv_text())
    equal((back.event, back.payload), ("x\né", "1"), "echo of escaped names")


@scenario
def the_id_makes_a_round_trip(ctx):
    ws = ctx.plain()
    for id in ("1", "a-b_c", "ünï ☃ \U0001f600", '"quoted\\"', "x" * 500):
        echo(ws, event="with id", payload="1", id=id)
    echo(ws, id="only an id")


@scenario
def absent_and_empty_mean_the_same(ctx):
    ws = ctx.plain()
    ws.send_text('{"id":"","event":"","payload":1}')
    back = frames.decode(ws.recv_text())
    equal((back.id, back.event, back.payload), (None, None, "1"), "echo")
    ws.send_text("{}")
    back = frames.decode(ws.recv_text())
    equal((back.id, back.event, back.payload), (None, None, None), "echo of the empty frame")


@scenario
def events_with_a_dollar_are_ordinary_data_in_plain_mode(ctx):
    ws = ctx.plain()
    for event in ("$open", "$ack", "$gap", "$ping", "$pong", "$", "$other"):
        echo(ws, event=event, payload='"any"')


@scenario
def pub_reaches_everyone_in_the_room_and_nobody_else(ctx):
    room = ctx.unique("room")
    inside = [ctx.plain(room=room) for _ in range(3)]
    member = ctx.session(room=room)
    outside = [ctx.plain(), ctx.plain(room=room + "x")]
    stranger = ctx.session()
    for count, ws in enumerate(inside, 1):
        ws.send_text(frames.encode("pub", str(count), id="same"))
        for other in inside:
            back = frames.decode(other.recv_text())
            equal((back.event, back.payload, back.id), ("pub", str(count), "same"), "broadcast")
        equal(member.recv().payload, str(count), "broadcast in session mode")
    member.send("pub", "4")
    equal(member.recv().payload, "4", "own copy in session mode")
    for ws in inside:
        equal(frames.decode(ws.recv_text()).payload, "4", "broadcast from session mode")
    for ws in outside:
        echo(ws, event="nothing before this", payload="1")
    stranger.barrier()
    equal(len(stranger.inbox), 0, "frames of another room")


@scenario
def the_default_room_is_test(ctx):
    default = ctx.track(wire.WebSocket.connect(ctx.port, "/ws"))
    named = ctx.plain(room="test")
    payload = '"' + ctx.unique() + '"'
    named.send_text(frames.encode("pub", payload))
    for ws in (named, default):
        equal(frames.decode(ws.recv_text()).payload, payload, "broadcast")


@scenario
def kick_closes_with_1000_kicked(ctx):
    id = ctx.unique()
    ws = ctx.plain(id=id)
    member = ctx.session()
    echo(ws, event="here", payload="1")
    ctx.server.post("/kick", id=id)
    expect_close(ws, 1000, "kicked")
    ctx.server.post("/kick", id=member.id)
    expect_close(member, 1000, "kicked")
    ctx.lost(member, "unknown")


@scenario
def kick_goes_past_the_resume_window(ctx):
    member = ctx.session()
    ctx.cut(member)
    ctx.server.post("/kick", id=member.id)
    status, _ = ctx.server.control("POST", "/drop", id=member.id)
    equal(status, 404, "/drop after /kick")
    ctx.lost(member, "unknown")


@scenario
def unknown_ids_are_404(ctx):
    for where in ("/kick", "/drop"):
        status, answer = ctx.server.control("POST", where, id=ctx.unique())
        equal(status, 404, where)
        expect(answer.get("ok") is False and answer.get("error"), f"{where}: {answer}")


@scenario
def drop_cuts_without_a_close_frame_and_is_409_when_suspended(ctx):
    id = ctx.unique()
    ws = ctx.plain(id=id)
    member = ctx.session()
    for socket, name in ((ws, id), (member.ws, member.id)):
        ctx.server.post("/drop", id=name)
        try:
            message = socket.recv()
            expect(False, f"got {wire.describe(message)}")
        except wire.ConnectionLost:
            pass
        status, answer = ctx.server.control("POST", "/drop", id=name)
        equal(status, 409, "/drop of a suspended one")
        expect(answer.get("ok") is False and answer.get("error"), f"/drop: {answer}")
    ctx.resumed(member)


@scenario
def plain_resume_replays_what_was_published_while_away(ctx):
    id, room = ctx.unique(), ctx.unique("room")
    away = ctx.plain(id=id, room=room)
    publisher = ctx.plain(room=room)
    for turn in range(3):
        echo(away, event="here", payload=str(turn))
        away.reset()
        ctx.suspend(id)
        for i in range(50):
            publish(publisher, f'{{"turn":{turn},"i":{i}}}')
        away = ctx.plain(id=id, room=room)
        for i in range(50):
            equal(frames.decode(away.recv_text()).value, {"turn": turn, "i": i}, "replayed frame")
    publish(publisher, '"live"')
    equal(frames.decode(away.recv_text()).payload, '"live"', "frame after the replay")
    echo(away, event="nothing between", payload="1")


@scenario
def stats_count_what_is_suspended(ctx):
    ctx.use(own=True)
    names = "connections suspended rooms frames_in frames_out dropped resumed refused retained_bytes".split()
    id = ctx.unique()
    ws = ctx.plain(id=id)
    echo(ws, event="here", payload="1")
    stats = ctx.server.get("/stats")
    for name in names:
        expect(type(stats.get(name)) is int, f"/stats without {name}: {stats}")
    equal((stats["suspended"], stats["rooms"]), (0, 1), "suspended and rooms")
    ws.reset()
    ctx.suspend(id)
    equal(ctx.server.get("/stats")["suspended"], 1, "suspended")


@scenario
def a_second_plain_connection_with_the_id_closes_the_first(ctx):
    id, room = ctx.unique(), ctx.unique("room")
    first = ctx.plain(id=id, room=room)
    echo(first, event="here", payload="1")
    second = ctx.plain(id=id, room=room)
    expect_close(first, 1000, "duplicate connection id")
    publish(second, '"once"')
    echo(second, event="nothing between", payload="1")
