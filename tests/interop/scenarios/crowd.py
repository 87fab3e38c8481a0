"""A slow or busy connection does not affect others. CONTRACT: backpressure; PROTOCOL.md §4."""

import json
import time

import frames
from harness import echo, equal, expect, numbers, scenario
from scenarios.resume import nothing_more, start_stream


def everyone_gets_every_pub(ctx, room, count, size):
    """Publishes in a room and expects three readers to get each frame promptly."""
    publisher = ctx.plain(room=room)
    readers = [ctx.plain(room=room), ctx.plain(room=room)]
    member = ctx.session(room=room)
    slowest = 0.0
    for i in range(count):
        started = time.monotonic()
        publisher.send_text(frames.encode("pub", json.dumps({"i": i, "pad": "x" * size})))
        for ws in (publisher, *readers):
            equal(frames.decode(ws.recv_text()).value["i"], i, "broadcast")
        equal(member.recv().value["i"], i, "broadcast in session mode")
        slowest = max(slowest, time.monotonic() - started)
    expect(slowest < 1.0, f"one broadcast took {slowest:.2f} s")


@scenario
def a_plain_reader_that_stops_reading_harms_nobody(ctx):
    room = ctx.unique("room")
    ctx.plain(room=room, rcvbuf=4096)
    everyone_gets_every_pub(ctx, room, 400, 16000)


@scenario
def a_session_that_stops_reading_harms_nobody(ctx):
    room = ctx.unique("room")
    stuck = ctx.session(room=room, rcvbuf=4096)
    everyone_gets_every_pub(ctx, room, 400, 16000)
    # It lost some frames, and gets a gap for exactly these.
    ctx.cut(stuck)
    ctx.resumed(stuck)
    publisher = ctx.plain(room=room)
    echo(publisher, event="pub", payload='{"i":400}')
    stuck.pump_until(lambda: stuck.received == 401, "the last frame")
    got = [frame.number for frame in stuck.inbox]
    missed = [number for first, last in stuck.gaps for number in numbers(first, last)]
    equal(sorted(got + missed), numbers(1, 401), "numbers received and missed")
    equal([frame.value["i"] + 1 for frame in stuck.inbox], got, "frames by number")


@scenario
def a_suspended_member_of_the_room_harms_nobody(ctx):
    member = ctx.session()
    ctx.cut(member)
    everyone_gets_every_pub(ctx, member.room, 300, 1000)


@scenario
def a_big_room_gets_every_frame(ctx):
    room = ctx.unique("room")
    members = [ctx.plain(room=room) for _ in range(40)] + [ctx.session(room=room) for _ in range(20)]
    for i in range(20):
        members[0].send_text(frames.encode("pub", str(i)))
        for member in members:
            frame = frames.decode(member.recv_text()) if hasattr(member, "recv_text") else member.recv()
            equal(frame.payload, str(i), "broadcast")


@scenario
def a_stream_does_not_hold_up_the_messages_after_it(ctx):
    member = ctx.session()
    start_stream(member, 100, every_us=20000)
    started = time.monotonic()
    member.barrier()
    expect(time.monotonic() - started < 1.0, "the echo waited for the stream")
    expect(len(member.inbox) < 90, "the stream was over before the echo")


@scenario
def echoes_wait_for_a_client_that_reads_late(ctx):
    check = ctx.bystander()
    member = ctx.session(rcvbuf=4096)
    member.ws.reading = False
    for i in range(200):
        member.send("echo", json.dumps({"i": i + 1, "pad": "x" * 1000}))
    check()
    member.ws.reading = True
    equal([value["i"] for value in member.recv_values(200)], numbers(1, 200), "echoes")
    nothing_more(member)


@scenario
def acknowledgements_are_read_while_echoes_wait_for_room(ctx):
    ctx.use("--send-buffer", "16")
    member = ctx.session()
    started = time.monotonic()
    for i in range(400):
        member.send("echo", str(i + 1))
    equal(member.recv_values(400), numbers(1, 400), "echoes")
    expect(time.monotonic() - started < 4.0, "four hundred echoes took longer than 4 s")
