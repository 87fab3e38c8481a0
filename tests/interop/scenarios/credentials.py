"""Credentials: offered as a subprotocol, expiring, forbidden. PROTOCOL.md §1 and §7."""

import time

import wire
from harness import Failed, equal, expect, expect_close_answered, publish, scenario
from scenarios.resume import expect_items, nothing_more
from session import JSON, ClosedByServer, auth_offer, path

SECRET = "an-access-token.that-no-log-shows"


def status_of(ctx, *protocols):
    """The status of an upgrade with these subprotocols."""
    try:
        ws = wire.WebSocket.connect(ctx.port, path(id=ctx.unique("id")), protocols=protocols)
    except wire.Refused as refused:
        return refused.status
    equal(ws.protocol, JSON, "selected subprotocol")
    ws.dispose()
    return 101


@scenario
def an_access_token_is_accepted_and_never_selected(ctx):
    for token in ("a", SECRET, "ü" * 1536):
        member = ctx.session(token=token)
        equal(member.ws.protocol, JSON, "selected subprotocol")
        member.barrier()
        ctx.cut(member)
        ctx.resumed(member)
    equal(status_of(ctx, auth_offer(SECRET), JSON), 101, "before the codec")
    equal(status_of(ctx, JSON, "rejoin.auth._-_-"), 101, "bytes that are no text")


@scenario
def malformed_access_tokens_are_refused_with_400(ctx):
    offer = auth_offer(SECRET)
    cases = {
        "two": (JSON, offer, auth_offer("another")),
        "the same twice": (JSON, offer, offer),
        "without a codec": (offer,),
        "empty": (JSON, "rejoin.auth."),
        "no token": (JSON, "rejoin.auth"),
        "an impossible length": (JSON, "rejoin.auth.aaaaa"),
        "another alphabet": (JSON, "rejoin.auth.aaa+"),
        "a dot": (JSON, "rejoin.auth.aaaa.aaaa"),
        "too long": (JSON, "rejoin.auth." + "a" * 4098),
    }
    for what, protocols in cases.items():
        equal(status_of(ctx, *protocols), 400, what)
    equal(status_of(ctx, JSON, "rejoin.auth." + "a" * 4096), 101, "the longest")


@scenario
def access_tokens_are_not_logged(ctx):
    server = ctx.use("--send-buffer", "253", own=True)
    member = ctx.session(token=SECRET)
    member.barrier()
    ctx.cut(member)
    ctx.resumed(member)
    member.query = {"reject": 1}
    try:
        member.dial((JSON, member.offer())).dispose()
    except wire.Refused as refused:
        equal(refused.status, 401, "status")
    else:
        raise Failed("not refused")
    log = "".join(server.stderr)
    for secret in (SECRET, auth_offer(SECRET).removeprefix("rejoin.auth.")):
        expect(secret not in log, f"{secret} is in the log")


def closed(member):
    """The code and the reason of the server's close frame; everything before it is handled."""
    try:
        member.watch(wire.DEFAULT_TIMEOUT)
    except ClosedByServer as end:
        return end.code, end.reason
    raise Failed("no close frame")


@scenario
def expired_credentials_close_with_3000_and_leave_the_session(ctx):
    started = time.monotonic()
    member = ctx.session(expires=0.7)
    publisher = ctx.plain(room=member.room)
    member.send("sink", '{"i":1}')
    member.barrier()
    member.sync()
    member.pump_until(lambda: member.server_acked == 2, "acknowledgement")
    member.send("sink", '{"i":2}')
    equal(closed(member), (3000, "credentials expired"), "close")
    expect(time.monotonic() - started >= 0.69, "not before they have expired")
    equal(member.server_acked, 3, "acknowledged before the close frame")
    publish(publisher, '{"i":1}')
    member.query = {}
    equal(ctx.resumed(member)["received"], 3, "received")
    expect_items(member, 1, 1)
    nothing_more(member)
    member.barrier()
    equal(ctx.server.sink(member.id), (2, 0), "sink count and errors")


@scenario
def each_resume_brings_its_own_expiry(ctx):
    member = ctx.session(expires=60)
    member.query = {"expires": 0}
    ctx.cut(member)
    ctx.resumed(member)
    equal(member.recv_close(), (3000, "credentials expired"), "close of the second socket")
    member.query = {}
    ctx.resumed(member)
    member.watch(0.3)
    member.barrier()


@scenario
def expired_credentials_suspend_plain_sessions_too(ctx):
    room, id = ctx.unique("room"), ctx.unique("id")
    publisher = ctx.plain(room=room)
    first = ctx.track(wire.WebSocket.connect(ctx.port, path(room=room, id=id, expires=0.2)))
    equal(first.recv_close(), (3000, "credentials expired"), "close")
    first.close(3000)
    publish(publisher, '{"i":1}')
    again = ctx.plain(room=room, id=id)
    expect('"i":1' in again.recv_text(), "the frame that was sent meanwhile")


@scenario
def forbid_ends_the_session_with_3003(ctx):
    member = ctx.session()
    member.barrier()
    ctx.server.post("/forbid", id=member.id)
    equal(member.recv_close(), (3003, "forbidden"), "close")
    ctx.lost(member, "unknown")
    away = ctx.session()
    away.barrier()
    ctx.cut(away)
    ctx.server.post("/forbid", id=away.id)
    ctx.lost(away, "unknown")
    status, answer = ctx.server.control("POST", "/forbid", id="nobody")
    equal((status, answer["ok"]), (404, False), "an unknown id")


@scenario
def close_3003_from_the_client_suspends(ctx):
    for code, reason in ((3003, "forbidden"), (3000, "credentials expired")):
        member = ctx.session()
        member.barrier()
        member.ws.close(code, reason)
        expect_close_answered(member, code)
        equal(ctx.resumed(member)["received"], 1, f"received after {code}")
        nothing_more(member)
