"""History and rewind: a newcomer gets the last frames of its home room first. CONTRACT: added with history."""

import json

from harness import equal, scenario
from scenarios.memberships import ok


def publish(speaker, numbers):
    for n in numbers:
        speaker.send("pub", json.dumps(n))
        equal(speaker.recv().value, n, "own publication")


@scenario
def a_newcomer_gets_the_last_frames_of_its_home_room(ctx):
    ctx.use("--rewind", "10")
    room = ctx.unique("room")
    speaker = ctx.session(room=room)
    publish(speaker, range(1, 6))
    ok(speaker, "say", to={"room": room}, except_me=True, event="n", payload=6)
    ok(speaker, "say", to={"all": True}, except_me=True, event="n", payload=-1)
    ok(speaker, "say", to={"room": room}, except_me=True, event="n", payload=-2, volatile=True)
    late = ctx.session(room=room, rewind=3)
    publish(speaker, [7])
    equal(late.recv_values(4), [4, 5, 6, 7], "rewind, then live")
    equal(late.received, 4, "they are counted like others")
    ctx.cut(late)
    publish(speaker, [8])
    ctx.resumed(late)
    equal(late.recv().value, 8, "a resume does not rewind again")
    equal(ctx.session(room=room, rewind=0).available(0.05), None, "nothing asked for")


@scenario
def a_rewind_is_capped_by_the_history_and_the_send_buffer(ctx):
    ctx.use("--rewind", "6", "--send-buffer", "4")
    room = ctx.unique("room")
    speaker = ctx.session(room=room)
    publish(speaker, range(1, 10))
    late = ctx.session(room=room, rewind=50)
    equal(late.recv_values(4), [6, 7, 8, 9], "as many as the send buffer takes")
    publish(speaker, [10])
    equal(late.recv().value, 10, "then live")


@scenario
def without_a_history_there_is_nothing_to_rewind(ctx):
    room = ctx.unique("room")
    speaker = ctx.session(room=room)
    publish(speaker, [1])
    late = ctx.session(room=room, rewind=5)
    publish(speaker, [2])
    equal(late.recv().value, 2, "live")


@scenario
def a_history_outlives_its_members(ctx):
    ctx.use("--rewind", "10")
    room = ctx.unique("room")
    speaker = ctx.session()
    for n in range(3):
        equal(ok(speaker, "say", to={"room": room}, event="n", payload=n), {"queued": 0}, "nobody is there")
    equal(ctx.session(room=room, rewind=2).recv_values(2), [1, 2], "history")
