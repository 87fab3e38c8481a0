"""Shutdown and restart of the server. PROTOCOL.md §7; CONTRACT: the test server."""

import threading

import wire
from harness import Failed, echo, equal, eventually, expect, expect_close, scenario


class Post(threading.Thread):
    """A control request that may take until the clients have answered their close frames."""

    def __init__(self, server, where):
        super().__init__(daemon=True)
        self.server, self.where = server, where
        self.error = None
        self.start()

    def run(self):
        try:
            self.server.post(self.where)
        except Exception as error:  # `finish` reports it.
            self.error = error

    def finish(self):
        self.join(10)
        expect(not self.is_alive(), f"POST {self.where} does not return")
        if self.error:
            raise Failed(str(self.error))


@scenario
def shutdown_closes_everyone_with_1001_and_later_dials_fail(ctx):
    server = ctx.use(own=True)
    plain, member, away = ctx.plain(), ctx.session(), ctx.session()
    echo(plain, event="here", payload="1")
    member.barrier()
    ctx.cut(away)
    shutdown = Post(server, "/shutdown")
    expect_close(plain, 1001, "server shutting down")
    expect_close(member, 1001, "server shutting down")
    shutdown.finish()

    def dial_fails():
        try:
            ctx.plain(timeout=1.0)
        except (OSError, wire.WireError):
            return True
        return False

    eventually(dial_fails, "dials fail")
    expect(dial_fails(), "a dial after the shutdown was accepted")


@scenario
def shutdown_does_not_wait_for_a_client_that_is_stuck(ctx):
    server = ctx.use(own=True)
    ctx.plain(rcvbuf=4096)
    member = ctx.session()
    member.barrier()
    Post(server, "/shutdown").finish()
    expect_close(member, 1001, "server shutting down")


@scenario
def restart_gives_a_fresh_server_on_the_same_port(ctx):
    server = ctx.use(own=True)
    plain, member, away = ctx.plain(), ctx.session(), ctx.session()
    member.barrier()
    ctx.cut(away)
    for _ in range(2):
        restart = Post(server, "/restart")
        for socket in (plain, member.ws):
            try:
                code, _ = socket.recv_close()
                expect(code in (1001, 1012), f"closed with {code} by a restart")
            except wire.ConnectionLost:
                pass
        restart.finish()
        ctx.lost(member, "unknown")
        member.barrier()
        plain = ctx.plain()
        echo(plain, event="here", payload="1")
    ctx.lost(away, "unknown")
    equal(server.get("/stats")["suspended"], 0, "suspended")
