"""Volatile frames and latest values. PROTOCOL.md section 12."""

import json

import frames
from harness import equal, eventually, expect, scenario
from scenarios.memberships import ok


@scenario
def volatile_frames_keep_their_place_and_are_not_counted(ctx):
    member, speaker = ctx.session(), ctx.session()
    to = {"id": member.id}
    for n, volatile in enumerate([False, True, True, False]):
        ok(speaker, "say", to=to, event="n", payload=n, volatile=volatile)
    received = [member.recv() for _ in range(4)]
    equal([frame.value for frame in received], [0, 1, 2, 3], "order")
    equal([frame.volatile for frame in received], [False, True, True, False], "volatile")
    equal(member.received, 2, "count")


@scenario
def volatile_frames_are_not_replayed(ctx):
    room = ctx.unique("room")
    member, speaker = ctx.session(room=room), ctx.session(room=room)
    before = ctx.server.get("/stats")["volatile_dropped"]
    ctx.cut(member)
    ok(speaker, "say", to={"id": member.id}, event="n", payload=1, volatile=True)
    ok(speaker, "say", to={"id": member.id}, event="n", payload=2)
    ok(speaker, "say", to={"room": room}, except_me=True, event="n", payload=3, key="k")
    eventually(lambda: ctx.server.get("/stats")["volatile_dropped"] - before == 2, "two volatile frames are dropped")
    ctx.resumed(member)
    equal(member.recv().value, 2, "the numbered frame")
    ok(speaker, "say", to={"room": room}, except_me=True, event="n", payload=4)
    equal(member.recv().value, 4, "the next frame")


@scenario
def clients_may_send_volatile_frames(ctx):
    member = ctx.session()
    member.send("typing", json.dumps(1), volatile=True)
    member.send("typing", json.dumps(2))
    echoes = [member.recv() for _ in range(2)]
    equal([(echo.value, echo.volatile) for echo in echoes], [(1, True), (2, False)], "echoes")
    expect(member.received == 1, "an echo of a volatile frame is volatile, too")


@scenario
def plain_clients_get_volatile_frames(ctx):
    id = ctx.unique()
    plain, speaker = ctx.plain(id=id), ctx.session()
    ok(speaker, "say", to={"id": id}, event="n", payload=1, key="k")
    frame = frames.decode(plain.recv_text())
    equal((frame.value, frame.volatile), (1, True), "frame")
