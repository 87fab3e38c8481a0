"""Limits on connections, rooms and messages. CONTRACT: --max-connections, --max-per-user, --max-rooms, --rate, --rate-policy."""

import time

from harness import echo, equal, eventually, expect, expect_close, numbers, scenario
from scenarios.memberships import ok, refused
from session import JSON, path


def full(ctx, status, protocols=(JSON,), **query):
    """Expects a newcomer to be refused, with a time after which it may try again."""
    refusal = ctx.refused(path(room=ctx.unique("room"), **query), status, protocols=protocols)
    expect(int(dict(refusal.headers)["retry-after"]) > 0, "Retry-After")


@scenario
def the_limit_of_connections_counts_suspended_sessions(ctx):
    ctx.use("--max-connections", "2", own=True)
    one, two = ctx.session(), ctx.session()
    full(ctx, 503)
    full(ctx, 503, protocols=())
    ctx.cut(one)
    full(ctx, 503)
    ctx.resumed(one)
    one.barrier()
    two.ws.close(1000)
    eventually(lambda: ctx.server.get("/stats")["connections"] == 1, "the place is free")
    plain = ctx.plain()
    echo(plain, event="here", payload="1")
    full(ctx, 503)


@scenario
def the_limit_of_a_user_is_429(ctx):
    ctx.use("--max-per-user", "2", own=True)
    ada, ben = ctx.unique("ada"), ctx.unique("ben")
    members = [ctx.session(user=ada), ctx.session(user=ada), ctx.session(user=ben), ctx.session()]
    full(ctx, 429, user=ada)
    ctx.cut(members[0])
    full(ctx, 429, user=ada)
    ctx.resumed(members[0])
    ctx.server.post("/kick", id=members[1].id)
    ctx.session(user=ada).barrier()


@scenario
def the_limit_of_rooms_counts_the_home(ctx):
    ctx.use("--max-rooms", "2", own=True)
    member, [a, b] = ctx.session(), [ctx.unique("room") for _ in range(2)]
    equal(ok(member, "join", room=a)["rooms"], [member.room, a], "rooms")
    refused(member, "too_many_rooms", "join", room=b)
    equal(ok(member, "join", room=a)["rooms"], [member.room, a], "rooms after joining again")
    ok(member, "leave", room=a)
    equal(ok(member, "join", room=b)["rooms"], [member.room, b], "rooms after leaving one")


@scenario
def messages_beyond_the_rate_are_delayed(ctx):
    ctx.use("--rate", "20", own=True)
    for member in (ctx.session(), ctx.plain()):
        in_session_mode = hasattr(member, "token")
        begin = time.monotonic()
        for i in numbers(1, 30):
            if in_session_mode:
                member.send("echo", str(i))
            else:
                member.send_text(f'{{"payload":{i}}}')
        for i in numbers(1, 30):
            if in_session_mode:
                equal(member.recv(timeout=5).value, i, "echo")
            else:
                expect(f":{i}}}" in member.recv_text(timeout=5), f"echo of {i}")
            if i == 15:
                expect(time.monotonic() - begin < 0.4, "the burst was delayed")
        expect(time.monotonic() - begin > 0.4, "30 messages within 0.4 s, at 20 per second")


@scenario
def a_flood_is_closed_after_what_was_accepted(ctx):
    server = ctx.use("--rate", "10", "--rate-policy", "close", own=True)
    member = ctx.session()
    for i in numbers(1, 50):
        member.send("sink", f'{{"i":{i}}}')
    expect_close(member, 1008)
    eventually(lambda: server.get("/stats")["connections"] == 0, "the session has ended")
    equal(server.sink(member.id), (10, 0), "sunk")
