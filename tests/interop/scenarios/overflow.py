"""`$gap` reports exactly the frames that the buffer no longer holds. PROTOCOL.md §4, R5.8."""

import frames
from harness import equal, expect, numbers, publish, scenario
from scenarios.resume import expect_items, nothing_more

SMALL = ("--send-buffer", "16")


def gap_numbers(member):
    return [number for first, last in member.gaps for number in numbers(first, last)]


def publish_many(ctx, publisher, first, last):
    for i in numbers(first, last):
        publish(publisher, f'{{"i":{i}}}')


@scenario
def frames_that_overflow_while_away_are_told_as_a_gap(ctx):
    ctx.use(*SMALL)
    member = ctx.session(auto_ack=False)
    publisher = ctx.plain(room=member.room)
    ctx.cut(member)
    publish_many(ctx, publisher, 1, 40)
    ctx.resumed(member)
    expect_items(member, 25, 40)
    equal(gap_numbers(member), numbers(1, 24), "numbers in the gap")
    publish_many(ctx, publisher, 41, 45)
    expect_items(member, 41, 45)
    ctx.cut(member)
    ctx.refused_resume(member, member.offer(46), 400)
    ctx.resumed(member, 45)
    nothing_more(member)


@scenario
def a_gap_begins_after_what_was_received(ctx):
    ctx.use(*SMALL)
    member = ctx.session(auto_ack=False)
    publisher = ctx.plain(room=member.room)
    publish_many(ctx, publisher, 1, 5)
    expect_items(member, 1, 5)
    ctx.cut(member)
    publish_many(ctx, publisher, 6, 40)
    ctx.resumed(member)
    expect_items(member, 25, 40)
    equal(gap_numbers(member), numbers(6, 24), "numbers in the gap")
    member.ack()
    nothing_more(member)


@scenario
def a_buffer_exactly_full_has_no_gap(ctx):
    ctx.use(*SMALL)
    member = ctx.session(auto_ack=False)
    publisher = ctx.plain(room=member.room)
    ctx.cut(member)
    publish_many(ctx, publisher, 1, 16)
    ctx.resumed(member)
    expect_items(member, 1, 16)
    member.ack()  # Otherwise the echo would wait for capacity.
    nothing_more(member)
    equal(member.gaps, [], "gaps")


@scenario
def frames_written_but_no_longer_kept_are_told_on_a_resume_that_asks_for_them(ctx):
    ctx.use(*SMALL)
    member = ctx.session(auto_ack=False)
    publisher = ctx.plain(room=member.room)
    for i in numbers(1, 40):
        publish(publisher, f'{{"i":{i}}}')
        expect_items(member, i, i)
    equal(member.gaps, [], "gaps on the socket that had everything")
    ctx.cut(member)
    ctx.resumed(member, 10)
    expect_items(member, 25, 40)
    equal(gap_numbers(member), numbers(11, 24), "numbers in the gap")
    member.ack()  # Otherwise the echo would wait for capacity.
    nothing_more(member)


@scenario
def everything_received_has_no_gap_though_nothing_was_acknowledged(ctx):
    ctx.use(*SMALL)
    member = ctx.session(auto_ack=False)
    publisher = ctx.plain(room=member.room)
    for i in numbers(1, 40):
        publish(publisher, f'{{"i":{i}}}')
        expect_items(member, i, i)
    ctx.cut(member)
    ctx.resumed(member)
    nothing_more(member)
    equal(member.gaps, [], "gaps")


@scenario
def a_gap_is_acknowledged_like_frames(ctx):
    ctx.use(*SMALL)
    member = ctx.session()
    publisher = ctx.plain(room=member.room)
    for turn in range(3):
        ctx.cut(member)
        publish_many(ctx, publisher, turn * 50 + 1, turn * 50 + 50)
        ctx.resumed(member)
        expect_items(member, turn * 50 + 35, turn * 50 + 50)
        equal(member.received, turn * 50 + 50, "received")
    expect(member.acked > 100, f"acknowledged {member.acked}")
    nothing_more(member)


@scenario
def a_resume_after_a_gap_repeats_the_gap_when_it_was_not_received(ctx):
    ctx.use(*SMALL)
    member = ctx.session(auto_ack=False)
    publisher = ctx.plain(room=member.room)
    ctx.cut(member)
    publish_many(ctx, publisher, 1, 40)
    for _ in range(3):
        ctx.resumed(member, 0)
    expect_items(member, 25, 40)
    equal(gap_numbers(member), numbers(1, 24), "numbers in the gap")


@scenario
def a_plain_connection_keeps_the_newest_frames(ctx):
    ctx.use(*SMALL)
    id, room = ctx.unique(), ctx.unique("room")
    away = ctx.plain(id=id, room=room)
    publisher = ctx.plain(room=room)
    publish(publisher, '{"i":0}')
    equal(frames.decode(away.recv_text()).value, {"i": 0}, "frame before the cut")
    away.reset()
    ctx.suspend(id)
    publish_many(ctx, publisher, 1, 40)
    away = ctx.plain(id=id, room=room)
    values = [frames.decode(away.recv_text()).value["i"] for _ in range(16)]
    equal(values, numbers(25, 40), "replayed frames")


@scenario
def a_stream_waits_for_room_and_has_no_gap(ctx):
    ctx.use(*SMALL)
    member = ctx.session()
    member.send("stream", '{"n":500,"every_us":0,"size":10}')
    for turn in range(50):
        expect_items(member, turn * 10 + 1, turn * 10 + 10)
        if turn % 5 == 0:
            ctx.cut(member)
            ctx.resumed(member)
    nothing_more(member)
    equal(member.gaps, [], "gaps")


@scenario
def a_gap_and_a_live_overflow_keep_the_count_right(ctx):
    """Resumes while the room is busy: gaps and frames together cover all numbers, each once, in order."""
    ctx.use(*SMALL)
    member = ctx.session()
    publisher = ctx.plain(room=member.room)
    seen = {}
    i = 0
    for _ in range(20):
        member.cut_rst()
        for _ in range(ctx.rng.randint(1, 40)):
            i += 1
            publish(publisher, f'{{"i":{i}}}')
        ctx.resumed(member)
        for _ in range(ctx.rng.randint(0, 10)):
            i += 1
            publish(publisher, f'{{"i":{i}}}')
        while frame := member.available(0.002):
            seen[frame.number] = frame.value["i"]
    publish(publisher, '{"i":"end"}')
    while (frame := member.recv()).value["i"] != "end":
        seen[frame.number] = frame.value["i"]
    equal(seen, {number: number for number in seen}, "published number by counted number")
    missed = gap_numbers(member)
    equal(sorted([*seen, *missed]), numbers(1, i), "numbers received and missed")
