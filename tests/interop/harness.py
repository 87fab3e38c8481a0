"""The server under test as a process, its control port, and the context of a scenario."""

import contextlib
import http.client
import json
import os
import random
import re
import subprocess
import threading
import time
from urllib.parse import urlencode

import frames
import wire
from session import JSON, Session, path

SCENARIOS = []  # functions in the order of their definition


class Failed(Exception):
    """A claim does not hold."""


class Skipped(Exception):
    """The server under test lacks a feature that the scenario needs."""


def scenario(function):
    SCENARIOS.append(function)
    return function


def expect(condition, why):
    if not condition:
        raise Failed(why)


def equal(actual, expected, what="value"):
    if actual != expected:
        raise Failed(f"{what}: expected {short(expected)}, got {short(actual)}")


def short(value):
    text = repr(value)
    return text if len(text) <= 240 else f"{text[:150]} … {text[-80:]} ({len(text)} characters)"


def eventually(condition, what, timeout=3.0):
    """Polls a condition until it is true; returns its value."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= deadline:
            raise Failed(f"{what}: not within {timeout} s")
        time.sleep(0.005)


@contextlib.contextmanager
def about(case):
    """Adds the case to the message of a failure."""
    try:
        yield
    except Skipped:
        raise
    except Exception as error:
        raise Failed(f"{case!r}: {type(error).__name__}: {error}") from error


def numbers(first, last):
    return list(range(first, last + 1))


class Server:
    """One running server. Its stderr is collected; `stop` ends it."""

    def __init__(self, binary, options=()):
        self.options = options
        self.stderr = []
        self._ready = threading.Event()
        environment = {name: value for name, value in os.environ.items() if name not in ("PORT", "CONTROL_PORT")}
        self.process = subprocess.Popen(
            [binary, *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=environment,
        )
        self._reader = threading.Thread(target=self._collect, daemon=True)
        self._reader.start()
        if not self._ready.wait(10):
            self.stop()
            raise Failed(f"no READY line from {binary} {' '.join(options)}: {''.join(self.stderr)[-500:]!r}")

    def _collect(self):
        for line in self.process.stderr:
            text = line.decode("utf-8", "replace")
            self.stderr.append(text)
            if found := re.match(r"READY:(\d+):(\d+)\s*$", text):
                self.port, self.control_port = int(found[1]), int(found[2])
                self._ready.set()

    def control(self, method, where, **query):
        """Returns the status and the JSON answer."""
        if query:
            where += "?" + urlencode(query)
        connection = http.client.HTTPConnection("127.0.0.1", self.control_port, timeout=10)
        try:
            connection.request(method, where)
            response = connection.getresponse()
            body = response.read()
        finally:
            connection.close()
        return response.status, json.loads(body)

    def get(self, where, **query):
        status, answer = self.control("GET", where, **query)
        equal(status, 200, f"status of GET {where}")
        return answer

    def post(self, where, **query):
        status, answer = self.control("POST", where, **query)
        expect(status == 200 and answer.get("ok") is True, f"POST {where} {query}: {status} {answer}")
        return answer

    def sink(self, id):
        answer = self.get("/sink", id=id)
        return answer["received"], answer["errors"]

    def check_alive(self):
        equal(self.process.poll(), None, f"exit code of the server {' '.join(self.options)}")
        self.get("/health")

    def panics(self):
        return [line.strip() for line in self.stderr if "panicked" in line]

    def stop(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        if self._reader.is_alive():
            self._reader.join(2)


class Farm:
    """Servers by their options. Scenarios with the same options share a server."""

    def __init__(self, binary):
        self.binary = binary
        self.shared = {}
        self.all = []

    def start(self, options):
        server = Server(self.binary, options)
        self.all.append(server)
        return server

    def share(self, options):
        if options not in self.shared:
            self.shared[options] = self.start(options)
        return self.shared[options]

    def forget(self, server):
        """Removes a server that has died, so that the next scenario does not get it."""
        self.shared = {options: shared for options, shared in self.shared.items() if shared is not server}

    def stop(self):
        for server in self.all:
            server.stop()


class Context:
    """The context of one scenario. Everything opened through it is closed afterwards."""

    def __init__(self, farm, name, seed):
        self.farm, self.name = farm, name
        self.rng = random.Random(f"{seed}:{name}")
        self.used = []
        self._sockets = []
        self._sessions = []
        self._count = 0
        self._server = None

    @property
    def server(self):
        """The server of this scenario. It has default options unless `use` chose others."""
        if self._server is None:
            self.use()
        return self._server

    def use(self, *options, own=False):
        """Selects a server with these options; `own` starts one that no other scenario uses."""
        self._server = self.farm.start(options) if own else self.farm.share(options)
        self.used.append(self._server)
        return self._server

    @property
    def port(self):
        return self.server.port

    def unique(self, kind="c"):
        """An id or a room name that no other scenario uses."""
        self._count += 1
        return f"{kind}-{self._count}-{self.rng.getrandbits(40):x}"

    # Connections.

    def plain(self, *, id=None, room=None, **options):
        """A connection, in plain mode unless `protocols` say otherwise; takes the options of `WebSocket.connect`."""
        query = path(id=id, room=room or self.unique("room"))
        return self.track(wire.WebSocket.connect(self.port, query, **options))

    def session(self, *, id=None, room=None, auto_ack=True, rcvbuf=None, protocols=(JSON,), **query):
        id, room = id or self.unique(), room or self.unique("room")
        session = Session(self.port, id=id, room=room, auto_ack=auto_ack, **query)
        self._sessions.append(session)
        return session.connect(rcvbuf=rcvbuf, protocols=protocols)

    def stream(self, **options):
        """A bare TCP connection."""
        return self.track(wire.Stream(self.port, **options))

    def track(self, socket):
        self._sockets.append(socket)
        return socket

    def refused(self, query="/ws", *statuses, protocols=(), headers=(), host=None):
        """Dials and expects a refusal with one of these statuses and a body; returns the refusal."""
        try:
            ws = wire.WebSocket.connect(self.port, query, protocols=protocols, headers=headers, host=host)
        except wire.Refused as refusal:
            expect(refusal.status in statuses, f"refused by {refusal.status} {refusal.body!r}, expected {statuses}")
            expect(refusal.body.strip(), f"{refusal.status} with an empty body")
            return refusal
        ws.dispose()
        raise Failed(f"accepted with {protocols or headers or query}, expected HTTP {statuses}")

    def refused_resume(self, session, offer, *statuses):
        query = path(id=session.id, room=session.room)
        offers = (JSON, *offer) if isinstance(offer, tuple) else (JSON, offer)
        return self.refused(query, *statuses, protocols=offers)

    # Common steps.

    def suspend(self, id):
        """Waits until the server sees that the connection has no socket, and cuts the socket if necessary."""

        def suspended():
            status, answer = self.server.control("POST", "/drop", id=id)
            expect(status in (200, 409), f"POST /drop: {status} {answer}")
            return status == 409

        eventually(suspended, "the server sees the lost socket")

    def cut(self, session):
        """Resets the session's socket and waits until the server knows."""
        session.cut_rst()
        self.suspend(session.id)

    def sunk(self, id, count):
        """Waits until the server has counted `count` `sink` frames, all in order."""
        eventually(lambda: self.server.sink(id)[0] >= count, f"{count} sink frames counted")
        equal(self.server.sink(id), (count, 0), "sink count and errors")

    def resumed(self, session, n=None, **options):
        opened = self.reopen(session, n, **options)
        expect(opened["resumed"], f"not resumed: {opened}")
        return opened

    def reopen(self, session, n=None, **options):
        """Resumes, and returns the payload of `$open`. An old socket that is still open is closed after the scenario."""
        if old := session.resume(n, **options):
            self.track(old)
        return session.opened

    def lost(self, session, reason):
        """Resumes and expects a fresh session for this reason."""
        opened = self.reopen(session)
        expect(not opened["resumed"], f"resumed, expected lost {reason}")
        equal(opened.get("lost"), reason, "lost")

    def bystander(self):
        """A connection that other connections must not affect. Call the result to check it."""
        ws = self.plain()

        def check():
            echo(ws, event="bystander", payload="1")

        check()
        return check

    def close(self):
        self._sockets += [session.ws for session in self._sessions if session.ws is not None]
        for socket in self._sockets:
            socket.dispose()


def echo(ws, event=None, payload=None, id=None, timeout=wire.DEFAULT_TIMEOUT):
    """Plain mode: sends a frame and expects it back; returns it."""
    ws.send_text(frames.encode(event, payload, id))
    back = frames.decode(ws.recv_text(timeout))
    equal((back.event, back.payload, back.id), (event, payload, id), "echo")
    return back


def publish(ws, payload):
    """Plain mode: publishes a frame and receives its own copy, so that the sender's queue never fills."""
    echo(ws, event="pub", payload=payload)


def expect_close(socket, code, reason=None, timeout=wire.DEFAULT_TIMEOUT):
    """Expects the server to close with this code and the socket to end. `socket` is a WebSocket or a Session."""
    ws = getattr(socket, "ws", socket)
    try:
        closed = ws.recv_close(timeout)
    except (wire.Timeout, wire.ConnectionLost) as error:
        raise Failed(f"close {code} expected, got {type(error).__name__}: {error}") from None
    codes = code if isinstance(code, tuple) else (code,)
    expect(closed[0] in codes, f"close {code} expected, got {closed}")
    if reason is not None:
        equal(closed[1], reason, "close reason")
    ws.recv_end(timeout)


def expect_close_answered(socket, code):
    """Expects an answer to the client's close frame, with its code, 1000 or none."""
    expect_close(socket, (code, 1000, None))
