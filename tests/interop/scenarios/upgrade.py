"""The HTTP upgrade: choice of the mode, refusals, Origin. PROTOCOL.md §1, §9."""

import http.client
import time

import wire
from harness import echo, equal, expect, scenario
from session import JSON, path

MSGPACK, PROTOBUF = "rejoin.v1.msgpack", "rejoin.v1.protobuf"


def selected(ctx, *offers, headers=()):
    return ctx.plain(protocols=offers, headers=headers).protocol


def supported(ctx):
    """The codecs that the server accepts when each is offered alone."""
    names = []
    for offer in (JSON, MSGPACK, PROTOBUF):
        try:
            names.append(selected(ctx, offer))
        except wire.Refused as refusal:
            equal(refusal.status, 400, "status")
    return names


@scenario
def the_first_supported_offer_is_selected(ctx):
    equal(selected(ctx, "rejoin.v1.no-such_codec", JSON), JSON, "selected")
    equal(selected(ctx, JSON, "rejoin.v1.no-such_codec"), JSON, "selected")
    names = supported(ctx)
    expect(JSON in names, f"json is not among {names}")
    for first in names:
        others = [name for name in names if name != first]
        equal(selected(ctx, first, *others), first, "selected")
        equal(selected(ctx, "rejoin.v1.none", first, *reversed(others)), first, "selected")


@scenario
def offers_of_others_do_not_choose_the_mode(ctx):
    equal(selected(ctx, "chat", "superchat"), None, "selected")
    equal(selected(ctx, "chat", JSON), JSON, "selected")
    ws = ctx.plain(protocols=("chat",))
    echo(ws, event="plain", payload="1")


@scenario
def offers_may_come_in_several_header_lines(ctx):
    lines = [("Sec-WebSocket-Protocol", "rejoin.v1.none"), ("sec-websocket-protocol", JSON)]
    equal(selected(ctx, headers=lines), JSON, "selected")


@scenario
def unsupported_rejoin_offers_are_refused_with_the_supported_names(ctx):
    token = "A" * 22
    cases = [
        ("rejoin.v1.nosuch",),
        ("rejoin.v2.json",),
        ("rejoin.v1.nosuch", "chat"),
        ("rejoin.v1.",),
        (f"rejoin.resume.{token}.0",),
        ("rejoin.v1.nosuch", f"rejoin.resume.{token}.0"),
    ]
    for offers in cases:
        refusal = ctx.refused("/ws", 400, protocols=offers)
        expect("json" in refusal.body, f"{offers}: no supported name in {refusal.body!r}")


@scenario
def every_path_is_accepted(ctx):
    for where in ("/", "/ws", "/a/b/c", "/%20x?room=every-path"):
        ws = ctx.track(wire.WebSocket.connect(ctx.port, where))
        echo(ws, event="here", payload="1")


@scenario
def the_connect_function_refuses_with_401_and_a_reason(ctx):
    refusal = ctx.refused("/ws?reject=1", 401)
    expect(len(refusal.body.strip()) > 2, f"no reason: {refusal.body!r}")
    ctx.refused("/ws?reject=1", 401, protocols=(JSON,))


@scenario
def an_origin_of_another_host_is_refused(ctx):
    cases = [
        "http://evil.example",
        f"http://127.0.0.1:{ctx.port ^ 1}",
        f"http://evil.example:{ctx.port}",
        f"http://127.0.0.1.evil.example:{ctx.port}",
        f"http://127.0.0.1:{ctx.port}0",
        "null",
    ]
    for origin in cases:
        ctx.refused("/ws", 403, headers=[("Origin", origin)])
        ctx.refused("/ws", 403, headers=[("Origin", origin)], protocols=(JSON,))


@scenario
def the_same_origin_and_none_are_accepted(ctx):
    ctx.plain()
    for host in (f"127.0.0.1:{ctx.port}", f"localhost:{ctx.port}", f"chat.example:{ctx.port}", "chat.example"):
        echo(ctx.plain(host=host, headers=[("Origin", f"http://{host}")]), event="here", payload="1")


def refused_request(ctx, statuses, **request):
    """Sends a request that is not a valid upgrade; expects a 4xx whose body gives the reason."""
    stream = ctx.stream()
    data, _ = wire.request_bytes(f"127.0.0.1:{ctx.port}", "/ws", **request)
    stream.send_bytes(data)
    response = stream.read_response()
    expect(response.status in statuses, f"{request}: {response.status}, expected {statuses}")
    expect(len(response.body.strip()) > 2, f"{request}: {response.status} with no reason in the body")
    return response


@scenario
def bad_upgrade_requests_are_told_what_is_wrong(ctx):
    check = ctx.bystander()
    client_errors = range(400, 500)
    refused_request(ctx, client_errors, omit=("Sec-WebSocket-Key",))
    refused_request(ctx, client_errors, replace={"Sec-WebSocket-Key": "short"})
    for version in ("12", "8", "x"):
        response = refused_request(ctx, (400, 426), replace={"Sec-WebSocket-Version": version})
        if response.status == 426:
            equal(response.get("sec-websocket-version"), "13", "Sec-WebSocket-Version of 426")
    refused_request(ctx, (400, 426), omit=("Sec-WebSocket-Version",))
    refused_request(ctx, client_errors, method="POST", headers=[("Content-Length", "0")])
    refused_request(ctx, client_errors, omit=("Upgrade",))
    refused_request(ctx, client_errors, omit=("Connection",))
    refused_request(ctx, client_errors, replace={"Upgrade": "h2c"})
    check()


@scenario
def a_plain_get_is_told_what_is_wrong(ctx):
    connection = http.client.HTTPConnection("127.0.0.1", ctx.port, timeout=5)
    connection.request("GET", "/ws")
    response = connection.getresponse()
    body = response.read()
    connection.close()
    expect(400 <= response.status < 500, f"status {response.status}")
    expect(len(body.strip()) > 2, "no reason in the body")


@scenario
def header_names_and_tokens_are_matched_without_case(ctx):
    headers = [("upgrade", "WebSocket"), ("CONNECTION", "keep-alive, upgrade")]
    data, _ = wire.request_bytes(f"127.0.0.1:{ctx.port}", path(), omit=("Upgrade", "Connection"), headers=headers)
    stream = ctx.stream()
    stream.send_bytes(data)
    equal(stream.read_response().status, 101, "status")


@scenario
def garbage_instead_of_a_request_harms_nobody(ctx):
    check = ctx.bystander()
    for data in (b"\x16\x03\x01\x02\x00\x01\x00", b"\r\n\r\n\r\n\r\n", b"GET\r\n\r\n", b"\xff" * 100 + b"\r\n\r\n"):
        stream = ctx.stream()
        stream.send_bytes(data)
        stream.fin()
        deadline = time.monotonic() + 5
        while stream.ended is None:
            stream.fill(deadline)
        expect(b" 101 " not in stream.buffer, f"{data!r} was upgraded")
    check()


@scenario
def slow_handshakes_do_not_hold_up_others(ctx):
    request, _ = wire.request_bytes(f"127.0.0.1:{ctx.port}", "/ws")
    slow = [ctx.stream() for _ in range(60)]
    for index, stream in enumerate(slow):
        stream.send_bytes(request[: index * len(request) // 60])
    started = time.monotonic()
    for _ in range(5):
        echo(ctx.plain(timeout=1.0), event="here", payload="1", timeout=1.0)
    expect(time.monotonic() - started < 1.5, "five upgrades took longer than 1.5 s")
    slow[40].send_bytes(request[40 * len(request) // 60 :])
    equal(slow[40].read_response().status, 101, "status of a slow but good request")


@scenario
def a_flood_of_headers_is_stopped_and_does_not_hold_up_others(ctx):
    stream = ctx.stream()
    request, _ = wire.request_bytes(f"127.0.0.1:{ctx.port}", "/ws")
    stream.send_bytes(request[:-2])
    line = b"X-Flood: " + b"a" * 1000 + b"\r\n"
    stopped = False
    for count in range(8000):
        try:
            stream.send_bytes(line, timeout=1.0)
        except (wire.ConnectionLost, wire.Timeout):
            stopped = True
            break
        if stream.ended is not None or stream.buffer:
            stopped = True
            break
        if count % 1000 == 0:
            echo(ctx.plain(timeout=1.0), event="here", payload="1", timeout=1.0)
        stream.read_available()
    expect(stopped, "8 MB of headers were taken")
    expect(b" 101 " not in bytes(stream.buffer), "a flood was upgraded")
    echo(ctx.plain(timeout=1.0), event="here", payload="1", timeout=1.0)
