"""A server that drains. PROTOCOL.md R7.24 to R7.26; CONTRACT: POST /drain, GET /livez and /readyz."""

import re
import time

from harness import echo, equal, eventually, expect, scenario
from session import JSON


def retry(socket):
    """The delay in the close frame of a draining server, in milliseconds."""
    code, reason = socket.recv_close()
    equal(code, 1012, "close code")
    found = re.fullmatch(r"retry in (\d+) ms", reason)
    expect(found, f"reason {reason!r}")
    return int(found[1])


@scenario
def drained_sessions_are_suspended_and_resume(ctx):
    server = ctx.use(own=True)
    member, plain, speaker = ctx.session(), ctx.plain(id=ctx.unique()), ctx.session()
    member.send("echo", "1")
    equal(member.recv().value, 1, "echo")
    echo(plain, event="here", payload="1")
    equal(server.control("GET", "/readyz")[0], 200, "ready before")
    server.post("/drain", per_second=1000)
    for socket in (member.ws, plain, speaker.ws):
        retry(socket)
        socket.dispose()
    eventually(lambda: server.get("/stats")["suspended"] == 3, "all are suspended")
    equal([server.control("GET", where)[0] for where in ("/livez", "/readyz")], [200, 503], "probes")
    for protocols in ((), (JSON,)):
        refusal = ctx.refused("/ws", 503, protocols=protocols)
        expect(int(dict(refusal.headers)["retry-after"]) > 0, "Retry-After")
    ctx.resumed(member)
    member.send("echo", "2")
    equal(member.recv().value, 2, "echo after the resume")
    expect(retry(member.ws) > 0, "the delay of a resumed socket")
    equal(server.control("GET", "/readyz")[0], 503, "ready afterwards")


@scenario
def sockets_leave_in_waves(ctx):
    server = ctx.use(own=True)
    members = [ctx.session() for _ in range(4)]
    for member in members:
        member.barrier()
    begin = time.monotonic()
    server.post("/drain", per_second=5)
    for member in members:
        retry(member.ws)
    expect(time.monotonic() - begin > 0.5, "four sockets left within half a second, at 5 per second")


@scenario
def unknown_paces_are_refused(ctx):
    server = ctx.use(own=True)
    for pace in ("0", "-1", "many"):
        equal(server.control("POST", "/drain", per_second=pace)[0], 400, f"status of {pace}")
    equal(server.control("GET", "/readyz")[0], 200, "ready")
