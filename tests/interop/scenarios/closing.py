"""Close codes and what they do to the session. PROTOCOL.md §7."""

import frames
import wire
from harness import echo, equal, expect_close, expect_close_answered, publish, scenario
from scenarios.resume import expect_items, nothing_more


@scenario
def close_1000_from_the_client_ends_the_session_at_once(ctx):
    for reason in ("", "bye"):
        member = ctx.session()
        member.barrier()
        member.ws.close(1000, reason)
        expect_close_answered(member, 1000)
        ctx.lost(member, "unknown")


@scenario
def a_close_without_code_ends_the_session_at_once(ctx):
    member = ctx.session()
    member.barrier()
    member.ws.close(None)
    expect_close_answered(member, None)
    ctx.lost(member, "unknown")


@scenario
def close_1001_from_the_client_suspends(ctx):
    for reason in ("", "page left", "server shutting down"):
        member = ctx.session()
        publisher = ctx.plain(room=member.room)
        member.barrier()
        member.ws.close(1001, reason)
        expect_close_answered(member, 1001)
        ctx.suspend(member.id)
        publish(publisher, '{"i":1}')
        equal(ctx.resumed(member)["received"], 1, f"received after {reason!r}")
        expect_items(member, 1, 1)
        nothing_more(member)


@scenario
def any_other_close_code_from_the_client_suspends(ctx):
    for code in (3000, 4001, 4999, 1011):
        member = ctx.session()
        member.barrier()
        member.ws.close(code, "any other")
        expect_close_answered(member, code)
        equal(ctx.resumed(member)["received"], 1, f"received after {code}")
        nothing_more(member)


@scenario
def plain_mode_closes_by_the_same_rules(ctx):
    publisher_room = ctx.unique("room")
    publisher = ctx.plain(room=publisher_room)
    for code, kept in ((1000, False), (None, False), (1001, True), (4001, True)):
        id = ctx.unique()
        ws = ctx.plain(id=id, room=publisher_room)
        echo(ws, event="here", payload="1")
        ws.close(code)
        expect_close_answered(ws, code)
        if kept:
            ctx.suspend(id)
        publish(publisher, f'"after {code}"')
        again = ctx.plain(id=id, room=publisher_room)
        if kept:
            equal(frames.decode(again.recv_text()).payload, f'"after {code}"', f"replay after {code}")
        echo(again, event="nothing between", payload="1")
        again.close()
        expect_close_answered(again, 1000)


@scenario
def frames_before_a_close_are_still_delivered(ctx):
    member = ctx.session()
    for i in range(50):
        member.send("sink", f'{{"i":{i + 1}}}')
    member.ws.close(1000)
    expect_close_answered(member, 1000)
    ctx.sunk(member.id, 50)


@scenario
def a_second_session_with_the_id_closes_the_first(ctx):
    first = ctx.session()
    first.barrier()
    second = ctx.session(id=first.id, room=first.room)
    expect_close(first, 1000, "duplicate connection id")
    second.barrier()
    equal(len(second.inbox), 0, "frames of the first session")
    second.ws.close()
    expect_close_answered(second, 1000)
    ctx.lost(first, "unknown")


@scenario
def an_id_is_taken_across_modes(ctx):
    member = ctx.session()
    member.barrier()
    plain = ctx.plain(id=member.id, room=member.room)
    expect_close(member, 1000, "duplicate connection id")
    echo(plain, event="here", payload="1")
    again = ctx.session(id=member.id, room=member.room)
    expect_close(plain, 1000, "duplicate connection id")
    again.barrier()


@scenario
def data_after_a_close_frame_is_not_delivered(ctx):
    member = ctx.session()
    member.send("sink", '{"i":1}')
    text = member.prepare("sink", '{"i":2}')
    close = wire.encode_frame(wire.CLOSE, wire.close_payload(1001))
    member.ws.send_bytes(close + wire.encode_frame(wire.TEXT, text.encode()))
    expect_close_answered(member, 1001)
    equal(ctx.resumed(member)["received"], 1, "received")
    member.barrier()
    equal(ctx.server.sink(member.id), (2, 0), "sink count and errors")
