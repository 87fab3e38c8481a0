#!/usr/bin/env python3
"""Plays the vectors in `../vectors/client` against the client of this folder (session.py), with a fake socket and a fake clock.

This client does what its scenarios say: it dials when it is told to, raises an exception where another client closes the socket, and
has no events but the frames. So a step that asks for a dial makes it, and a `closed` that follows a violation is an exception here.
Vectors that say nothing about such a client have their reason under `not`.

    python3 tests/interop/vectors.py [PART-OF-A-NAME]
"""

import base64
import json
import sys
from collections import deque
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))

import frames  # noqa: E402
import session  # noqa: E402
import wire  # noqa: E402

FOLDER = Path(__file__).resolve().parent.parent / "vectors" / "client"
OPEN = {
    "session": "tokentokentokentoken-1", "id": "ada", "room": "tea", "resumed": False, "received": 0, "window_ms": 30000,
    "buffer": 256, "buffer_bytes": 1048576, "max_message": 65536,
}
VIOLATIONS = (session.Violation, frames.NotAFrame, wire.WireError, KeyError, TypeError, ValueError)


class Clock:
    """The module `time`, as session.py uses it."""

    now = 0.0

    def monotonic(self):
        return self.now


class FakeSocket:
    """What session.py needs of a `wire.WebSocket`. Reading where nothing has arrived is a timeout at once."""

    answer_pings = True

    def __init__(self, world, protocol, inbox):
        self.world, self.protocol, self.inbox, self.is_open = world, protocol, inbox, True

    def send_text(self, text):
        if not self.is_open:
            raise wire.ConnectionLost("the socket has ended")
        self.world.seen.append(("write", json.loads(text)))

    def close(self, code=1000, reason=""):
        self.is_open = False
        self.world.seen.append(("close", code))

    def recv(self, timeout=0):
        if not self.inbox:
            self.world.clock.now += timeout
            raise wire.Timeout("nothing has arrived")
        return self.inbox.popleft()

    def recv_text(self, timeout=0):
        message = self.recv()
        if message.opcode != wire.TEXT:
            raise wire.WireError("not a text message")
        return message.text


class World:
    def __init__(self, vector):
        self.steps, self.seen, self.failure, self.is_over = vector["steps"], [], None, False
        self.session, self.clock, self.at = None, Clock(), 0
        session.time = self.clock
        session.wire.WebSocket.connect = self.connect
        self.inbox, self.protocol = deque(), session.JSON

    def connect(self, port, query, *, protocols=(), **options):
        self.seen.append(("dial", [offer for offer in protocols if not offer.startswith("rejoin.max.")]))
        return FakeSocket(self, self.protocol, self.inbox)

    def play(self):
        for index, step in enumerate(self.steps):
            self.advance(step["at"])
            if "do" in step:
                if step["do"] != "receive":
                    self.nothing_else(step)
                getattr(self, "do_" + step["do"])(step)
            elif step["see"] == "dial":
                self.dial(index)
                self.expect("dial", step["offers"], step)
            elif step["see"] == "write":
                self.expect("write", step["frame"], step)
            elif step["see"] == "error":
                self.expect("error", {name: value for name, value in step.items() if name not in ("at", "see")}, step)
            elif step["see"] == "close" and not self.failure:
                self.expect("close", step["code"], step)
            elif step["see"] == "event":
                self.event(step)
        self.nothing_else("the end")

    def advance(self, at):
        """Acknowledgements that are due until then, each at its time."""
        client = self.session
        if client and client.ws and client.ws.is_open and not self.failure:
            since = client.unacked_since
            if since is not None and since + session.ACK_DELAY <= at / 1000:
                self.clock.now = since + session.ACK_DELAY
                client._ack_if_due()
        self.clock.now = at / 1000

    def dial(self, index):
        """The client reads `$open` while it dials: what the server says on this socket first must be there."""
        self.inbox = deque()
        self.protocol = session.JSON
        self.taken = []
        for step in self.steps[index + 1 :]:
            if step.get("see") == "dial" or step.get("do") == "end":
                break
            if step.get("do") == "accept":
                self.protocol = step.get("protocol", session.JSON)
            if step.get("do") == "receive":
                self.taken.append(id(step))
                self.inbox.append(message(step))
                break
        client = self.session
        if client.token is None:
            dial, open_ = client.dial, client.connect
        else:
            dial, open_ = lambda: client.dial((session.JSON, client.offer())), client.resume
        self.attempt(open_ if self.inbox else dial)
        self.held = self.seen[1:]  # what follows the `$open` that the client has read too early
        del self.seen[1:]

    def attempt(self, action):
        try:
            action()
        except wire.Timeout:
            pass
        except VIOLATIONS as error:
            self.failure = error

    def do_connect(self, step):
        self.session = session.Session(0, token=step.get("token"))

    def do_accept(self, step):
        pass

    def do_nothing(self, step):
        pass

    def do_receive(self, step):
        if id(step) in self.taken:
            self.seen += self.held
        if id(step) in self.taken or self.failure:
            return
        self.inbox.append(message(step))
        self.attempt(lambda: self.session._pump(self.clock.now))

    def do_end(self, step):
        if self.session.ws:
            self.session.ws.is_open = False

    def do_close(self, step):
        self.session.ws.close(1000)

    def do_send(self, step):
        members = dict(step["frame"])
        payload = json.dumps(members.pop("payload"), separators=(",", ":"), ensure_ascii=False) if "payload" in members else None
        event = members.pop("event", None)
        client = self.session
        try:
            text = client.prepare(event, payload, **members)
        except ValueError:
            size = len(frames.encode(event, payload, **members).encode())
            self.seen.append(("error", {"error": "too_big", "size": size, "limit": client.max_message}))
            return
        except wire.Timeout:  # it waits for capacity, in vain
            self.clock.now = step["at"] / 1000
            self.seen.append(("error", {"error": "full"}))
            return
        if client.ws.is_open:
            client.ws.send_text(text)

    def event(self, step):
        kind = step["type"]
        if kind == "message":
            frame = self.session.inbox.popleft()
            got = {name: getattr(frame, name) for name in ("id", "event", "re", "room") if getattr(frame, name)}
            got.update({name: True for name in ("more", "volatile") if getattr(frame, name)})
            if frame.payload is not None:
                got["payload"] = frame.value
            same(got, step.get("frame", got), step)
            if "number" in step:
                same(frame.number, step["number"], step)
        elif kind in ("open", "restored"):
            same(self.session.opened["resumed"], kind == "restored", step)
        elif kind == "gap":
            first, last = self.session.gaps.pop(0)
            same((first, last), (step.get("from", first), step.get("to", last)), step)
        elif kind == "closed" and step.get("code") in (1002, 1007, 1008) and self.session.ws and self.session.ws.is_open:
            if not self.failure:
                raise AssertionError(f"no exception: {step}")

    def expect(self, kind, wanted, step):
        if not self.seen:
            raise AssertionError(f"nothing happened: {step}, {self.failure!r}")
        same(self.seen.pop(0), (kind, wanted), step)

    def nothing_else(self, step):
        if self.seen:
            raise AssertionError(f"before {step}: {self.seen}")


def message(step):
    if "binary" in step:
        return wire.Message(wire.BINARY, base64.b64decode(step["binary"]))
    text = step.get("text")
    if text is None:
        frame = {"event": "$open", "payload": {**OPEN, **step["open"]}} if "open" in step else step["frame"]
        text = json.dumps(frame, separators=(",", ":"), ensure_ascii=False)
    return wire.Message(wire.TEXT, text.encode())


def same(seen, wanted, step):
    if seen != wanted:
        raise AssertionError(f"{step}\n    saw {seen!r}")


def main():
    part = sys.argv[1] if len(sys.argv) > 1 else ""
    played = failed = 0
    for file in sorted(FOLDER.glob("*.json")):
        for vector in json.loads(file.read_text())["vectors"]:
            if "python" in vector.get("not", {}) or part not in vector["name"]:
                continue
            played += 1
            try:
                World(vector).play()
            except Exception as error:  # a vector that fails must not hide the others
                failed += 1
                print(f"FAIL {file.name}: {vector['name']}: {type(error).__name__}: {error}")
    print(f"{played - failed} vectors passed, {failed} failed")
    return 1 if failed or not played else 0


if __name__ == "__main__":
    sys.exit(main())
