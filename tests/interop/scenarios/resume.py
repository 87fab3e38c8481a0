"""Resuming a session by its token. PROTOCOL.md §5."""

import json

import wire
from harness import eventually, equal, expect, expect_close, numbers, publish, scenario


def start_stream(member, n, every_us=0, size=10):
    member.send("stream", json.dumps({"n": n, "every_us": every_us, "size": size}))


def expect_items(member, first, last, timeout=10.0):
    items = [value["i"] for value in member.recv_values(last - first + 1, timeout)]
    equal(items, numbers(first, last), "items")


def nothing_more(member):
    member.barrier()
    equal([frame.payload for frame in member.inbox], [], "frames after the last one")


@scenario
def a_session_without_frames_is_resumed(ctx):
    member = ctx.session()
    first = dict(member.opened)
    ctx.cut(member)
    opened = ctx.resumed(member)
    equal(opened["received"], 0, "received")
    for name in ("session", "id", "room", "window_ms", "buffer"):
        equal(opened[name], first[name], name)
    expect("lost" not in opened, f"lost on a resume: {opened}")
    nothing_more(member)


@scenario
def a_session_is_resumed_again_and_again(ctx):
    member = ctx.session()
    for turn in range(5):
        ctx.cut(member)
        equal(ctx.resumed(member)["received"], turn, "received")
        nothing_more(member)


@scenario
def two_resumes_in_a_row_without_reading_lose_nothing(ctx):
    member = ctx.session()
    publisher = ctx.plain(room=member.room)
    ctx.cut(member)
    for i in range(20):
        publish(publisher, f'{{"i":{i + 1}}}')
    for _ in range(3):
        ctx.resumed(member, 0)
    expect_items(member, 1, 20)
    nothing_more(member)


@scenario
def a_resume_without_an_id_is_a_resume(ctx):
    member = ctx.session()
    ctx.cut(member)
    id, member.id = member.id, None
    equal(ctx.resumed(member)["id"], id, "id")
    nothing_more(member)


@scenario
def published_frames_are_replayed_in_order(ctx):
    member = ctx.session()
    publisher = ctx.plain(room=member.room)
    for turn in range(3):
        ctx.cut(member)
        for i in range(40):
            publish(publisher, f'{{"i":{turn * 50 + i + 1}}}')
        ctx.resumed(member)
        for i in range(40, 50):
            publish(publisher, f'{{"i":{turn * 50 + i + 1}}}')
        expect_items(member, turn * 50 + 1, turn * 50 + 50)
    nothing_more(member)
    equal(member.gaps, [], "gaps")


@scenario
def a_stream_unread_in_a_reset_socket_comes_again(ctx):
    member = ctx.session(auto_ack=False)
    start_stream(member, 200)
    least = 200 * len('  {"event":"item","payload":{"i":1,"pad":"0123456789"}}')
    eventually(lambda: member.ws.peek() >= least, "200 frames in the socket")
    ctx.cut(member)
    ctx.resumed(member)
    expect_items(member, 1, 200)
    nothing_more(member)


@scenario
def only_frames_after_n_come_again(ctx):
    member = ctx.session(auto_ack=False)
    start_stream(member, 100)
    expect_items(member, 1, 100)
    for n in (0, 30, 99, 100):
        ctx.cut(member)
        ctx.resumed(member, n)
        expect_items(member, n + 1, 100)
    nothing_more(member)


@scenario
def a_stream_goes_on_after_a_half_open_socket_is_taken_over(ctx):
    member = ctx.session()
    start_stream(member, 1500, every_us=100, size=100)
    read = 0
    for _ in range(4):
        expect_items(member, read + 1, read + 100)
        read += 100
        old = ctx.track(member.abandon_socket())
        ctx.resumed(member)
        expect_items(member, read + 1, read + 50)
        read += 50
        expect_close(old, 4000, "taken over")
    expect_items(member, read + 1, 1500)
    nothing_more(member)


@scenario
def a_stuck_socket_full_of_data_is_taken_over_promptly(ctx):
    member = ctx.session(rcvbuf=4096)
    start_stream(member, 400, size=4000)
    eventually(lambda: member.ws.peek() > 1000, "data in the stuck socket")
    ctx.track(member.abandon_socket())
    ctx.resumed(member)
    expect_items(member, 1, 400, timeout=5.0)
    nothing_more(member)


@scenario
def what_arrives_on_the_old_socket_is_neither_counted_nor_delivered(ctx):
    member = ctx.session()
    member.send("sink", '{"i":1}')
    ctx.sunk(member.id, 1)
    old = ctx.track(member.abandon_socket())
    equal(ctx.resumed(member)["received"], 1, "received")
    for i in (2, 3, 4):
        try:
            old.send_text(f'{{"event":"sink","payload":{{"i":{i}}}}}')
            old.send_text('{"event":"pub","payload":"from the old socket"}')
            old.send_text('{"event":"$ack","payload":77}')
        except wire.ConnectionLost:
            break
    for i in (2, 3):
        member.send("sink", f'{{"i":{i}}}')
    nothing_more(member)
    equal(ctx.server.sink(member.id), (3, 0), "sink count and errors")
    ctx.cut(member)
    equal(ctx.resumed(member)["received"], 4, "received, the marker included")
    nothing_more(member)


@scenario
def frames_written_before_a_takeover_are_counted_once(ctx):
    member = ctx.session()
    count = 0
    for _ in range(30):
        for _ in range(ctx.rng.randint(1, 8)):
            count += 1
            member.send("sink", f'{{"i":{count}}}')
        ctx.track(member.abandon_socket())
        ctx.resumed(member)
    member.barrier()
    equal(ctx.server.sink(member.id), (count, 0), "sink count and errors")


@scenario
def frames_read_but_not_handled_at_a_takeover_are_delivered_once(ctx):
    """Takes over or cuts the socket while a handler waits for capacity with frames behind it."""
    ctx.use("--send-buffer", "16")
    member = ctx.session(auto_ack=False)
    echoes = sunk = 0
    for turn in range(10):
        for _ in range(17):  # One more than the server may keep, so the last echo waits.
            echoes += 1
            member.send("echo", str(echoes))
        for _ in range(ctx.rng.randint(1, 8)):
            sunk += 1
            member.send("sink", f'{{"i":{sunk}}}')
        pongs = len(member.pongs) + 1
        member.control("$ping", "1")
        # A resume that acknowledges none of the echoes would leave no capacity for the last one.
        member.pump_until(
            lambda: len(member.pongs) == pongs and len(member.inbox) == 16,
            "pong: the server has read so far",
        )
        if turn % 2:
            member.cut_rst()
        else:
            ctx.track(member.abandon_socket())
        ctx.resumed(member)
        member.pump_until(lambda: len(member.inbox) == 17, "the echo that waited")
        equal(member.recv_values(17), numbers(echoes - 16, echoes), "echoes")
        member.ack()
        nothing_more(member)
        member.ack()
        equal(ctx.server.sink(member.id), (sunk, 0), "sink count and errors")


@scenario
def a_drop_by_the_server_is_resumed(ctx):
    member = ctx.session()
    start_stream(member, 1000, every_us=50)
    read = 0
    for _ in range(8):
        ctx.server.post("/drop", id=member.id)
        try:
            while True:
                value = member.recv(2.0).value
                read += 1
                equal(value["i"], read, "item")
        except wire.ConnectionLost:
            pass
        ctx.resumed(member)
        more = min(100, 1000 - read)
        expect_items(member, read + 1, read + more)
        read += more
    expect_items(member, read + 1, 1000)
    nothing_more(member)


@scenario
def the_echo_of_frames_sent_before_a_cut_comes_after_the_resume(ctx):
    member = ctx.session()
    for i in range(100):
        member.send("echo", f'{{"i":{i + 1}}}')
    member.cut_rst()
    ctx.resumed(member)
    expect_items(member, 1, 100)
    nothing_more(member)
