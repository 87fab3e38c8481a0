"""Valid, unknown and malformed control frames from the client. PROTOCOL.md §3, §4."""

import time

import frames
import wire
from harness import about, equal, expect, expect_close, numbers, scenario
from session import JSON

PING_VALUES = ["1", '"x"', "null", "true", "[1,2]", '{"a":1.0,"b":[]}', "9007199254740993", '"\\u00e9 $"']


def violates(ctx, control, prepare=None):
    """Expects a fresh session that sends this to be closed with 1002 and to end."""
    member = ctx.session(auto_ack=False)
    if prepare:
        prepare(member)
    member.control(*control)
    with about(control):
        expect_close(member, 1002)
        ctx.lost(member, "unknown")


def receive_five(member):
    """Receives five data frames from the server without acknowledging them."""
    for _ in range(5):
        member.send("echo")
    for _ in range(5):
        member.recv()


def receive_five_and_ack(n):
    def prepare(member):
        receive_five(member)
        member.ack(n)

    return prepare


@scenario
def a_session_ping_is_answered_with_its_value(ctx):
    member = ctx.session()
    for count, value in enumerate(PING_VALUES, 1):
        member.control("$ping", value)
        member.pump_until(lambda: len(member.pongs) == count, f"pong of {value}", 1.0)
        got = member.pongs[-1]
        expect(got == value or (value == "null" and got is None), f"ping {value}, pong {got}")


@scenario
def a_sync_is_answered_at_once_with_what_was_received(ctx):
    member = ctx.session()
    member.sync()
    member.pump_until(lambda: member.acks, "$ack 0", 0.7)
    equal(member.acks[-1][1], 0, "nothing was received")
    member.send("sink", '{"i":1}')
    member.sync()
    member.pump_until(lambda: member.server_acked == 1, "$ack 1 before its second", 0.7)
    member.control("$sync", '{"later":1}')
    member.asked += 1
    count = len(member.acks)
    member.pump_until(lambda: len(member.acks) > count, "the same once more", 0.7)
    equal(member.acks[-1][1], 1, "acknowledged")


@scenario
def many_syncs_cost_no_more_than_their_answers(ctx):
    member = ctx.session()
    text = wire.encode_frame(wire.TEXT, frames.encode("$sync").encode())
    member.asked += 10_000
    member.ws.send_bytes(text * 10_000)
    member.barrier()
    expect(1 <= len(member.acks) <= 1_000, f"{len(member.acks)} answers")


@scenario
def the_server_asks_again_when_its_buffer_is_full(ctx):
    ctx.use("--send-buffer-bytes", "100000")
    member = ctx.session()
    started = time.monotonic()
    member.send("stream", '{"n":20,"every_us":0,"size":70000}')
    for _ in range(20):
        member.recv()
    expect(time.monotonic() - started < 3.0, "each of 20 frames waited for a second")
    # Less than a quarter of the buffer is kept. A frame that does not fit behind it does not wait a second either.
    member.auto_ack = False
    member.send("echo", '"little"')
    member.recv()
    member.auto_ack, syncs = True, member.syncs
    started = time.monotonic()
    member.send("stream", '{"n":1,"every_us":0,"size":99950}')
    member.recv()
    expect(member.syncs > syncs, "the server did not ask")
    expect(time.monotonic() - started < 0.7, "the frame waited for the second")


@scenario
def a_client_that_accepts_less_gets_a_gap_in_the_place_of_a_broadcast(ctx):
    member = ctx.session(protocols=(JSON, "rejoin.max.100"))
    publisher = ctx.session(room=member.room)
    for pad in ("a", "b" * 200, "c"):
        publisher.send("pub", f'"{pad}"')
    equal(member.recv().value, "a", "first")
    equal(member.recv().value, "c", "third")
    equal(member.gaps, [(2, 2)], "gaps")


@scenario
def malformed_offers_of_a_largest_message_are_400(ctx):
    for offer in ("rejoin.max", "rejoin.max.", "rejoin.max.0", "rejoin.max.-1", "rejoin.max.1, rejoin.max.1"):
        with about(offer):
            ctx.refused("/ws", 400, protocols=(JSON, offer))


@scenario
def unknown_control_events_are_ignored_and_not_counted(ctx):
    member = ctx.session()
    member.send("sink", '{"i":1}')
    for event in ("$hello", "$", "$ACK", "$ack2", "$$", "$close"):
        member.control(event, '{"any":1}')
        member.control(event)
    member.control("$pong", "5")
    member.send("sink", '{"i":2}')
    ctx.sunk(member.id, 2)
    ctx.cut(member)
    equal(ctx.resumed(member)["received"], 2, "received")


@scenario
def an_ack_beyond_what_was_sent_closes_with_1002(ctx):
    violates(ctx, ("$ack", "1"))
    violates(ctx, ("$ack", "6"), receive_five)
    violates(ctx, ("$ack", "18446744073709551616"), receive_five)


@scenario
def an_ack_below_an_earlier_one_closes_with_1002(ctx):
    violates(ctx, ("$ack", "3"), receive_five_and_ack(5))
    violates(ctx, ("$ack", "1"), receive_five_and_ack(2))
    violates(ctx, ("$ack", "0"), receive_five_and_ack(2))


@scenario
def a_resume_offer_counts_as_an_earlier_ack(ctx):
    member = ctx.session(auto_ack=False)
    receive_five(member)
    ctx.cut(member)
    ctx.resumed(member)
    member.control("$ack", "4")
    expect_close(member, 1002)


@scenario
def a_malformed_ack_closes_with_1002(ctx):
    for payload in ('"1"', "-1", "1.5", "null", None, "[1]", '{"n":1}', "true"):
        violates(ctx, ("$ack", payload), receive_five)


@scenario
def a_malformed_gap_closes_with_1002(ctx):
    payloads = [
        '{"from":2,"to":3}',
        '{"from":0,"to":3}',
        '{"from":1,"to":0}',
        '{"from":1}',
        '{"to":1}',
        '{"from":"1","to":"2"}',
        '{"from":1,"to":-1}',
        '{"from":1,"to":1.5}',
        '{"from":1,"to":null}',
        "5",
        "null",
        None,
    ]
    for payload in payloads:
        violates(ctx, ("$gap", payload))
    violates(ctx, ("$gap", '{"from":5,"to":9}'), receive_five)
    violates(ctx, ("$gap", '{"from":7,"to":9}'), receive_five)


@scenario
def an_open_from_the_client_closes_with_1002(ctx):
    token = "A" * 22
    opened = f'{{"session":"{token}","id":"x","room":"y","resumed":false,"received":0,"window_ms":1,"buffer":1}}'
    violates(ctx, ("$open", opened))
    violates(ctx, ("$open", "1"))


@scenario
def a_gap_from_the_client_advances_the_count(ctx):
    member = ctx.session()
    member.control("$gap", '{"from":1,"to":10}')
    member.sent = 10
    for i in numbers(1, 3):
        member.send("sink", f'{{"i":{i}}}')
    ctx.sunk(member.id, 3)
    member.control("$gap", '{"from":14,"to":14}')
    member.sent = 14
    member.control("$ping", "1")
    member.pump_until(lambda: member.pongs, "pong")
    ctx.cut(member)
    equal(ctx.resumed(member)["received"], 14, "received")
    member.send("sink", '{"i":4}')
    member.pump_until(lambda: member.server_acked == 15, "acknowledgement after the gaps", 1.6)


@scenario
def numbers_in_a_gap_are_acknowledged(ctx):
    member = ctx.session()
    member.sent = 200
    member.control("$gap", '{"from":1,"to":200}')
    member.pump_until(lambda: member.server_acked == 200, "acknowledgement of the gap", 1.6)


@scenario
def violations_of_one_session_leave_others_alone(ctx):
    check = ctx.bystander()
    other = ctx.session()
    violates(ctx, ("$ack", "99"))
    other.barrier()
    check()
