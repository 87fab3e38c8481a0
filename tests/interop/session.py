"""The client's side of session mode, json codec: counting, acknowledging, keeping for replay, resuming.

A `Session` outlives its sockets. `connect` opens the first one, `resume` replaces it, and the `cut_*` methods end it as networks do.
Everything that the server sends is checked against the protocol; a breach raises `Violation`.
"""

import base64
import re
import time
from collections import deque
from urllib.parse import urlencode

import frames
import wire

JSON = "rejoin.v1.json"
TOKEN = re.compile(r"[A-Za-z0-9_-]{22,64}")
ACK_DELAY = 1.0


class Violation(Exception):
    """The server broke the session protocol."""


class ClosedByServer(Exception):
    """A close frame where data was expected."""

    def __init__(self, code, reason):
        super().__init__(f"closed by the server with {code} {reason!r}")
        self.code, self.reason = code, reason


def path(**query):
    query = {name: value for name, value in query.items() if value is not None}
    return "/ws?" + urlencode(query) if query else "/ws"


def auth_offer(token):
    """The subprotocol that carries an access token."""
    return "rejoin.auth." + base64.urlsafe_b64encode(token.encode()).decode().rstrip("=")


class Session:
    def __init__(self, port, *, id=None, room=None, auto_ack=True, token=None, **query):
        """`token` is an access token, offered with each dial; `query` has further parameters for each request."""
        self.port, self.id, self.room, self.auto_ack, self.query = port, id, room, auto_ack, query
        self.access_token = token
        self.ws = None
        self.opened = None  # payload of the latest `$open`
        self.token = None
        self.buffer = self.buffer_bytes = 1
        self.max_message = None
        self.received = 0  # data frames received, gaps included
        self.acked = 0  # the part of `received` that was acknowledged
        self.unacked_bytes = 0
        self.unacked_since = None
        self.asked = 0  # the number of our `$sync` that may still be answered
        self.sent = 0
        self.kept = deque()  # (number, text), not acknowledged by the server
        self.server_acked = 0
        self.inbox = deque()  # received and not yet returned by `recv`
        self.acks = []  # (time, N) of each `$ack` from the server
        self.gaps = []  # (from, to) of each `$gap` from the server
        self.pongs = []
        self.cancels = []  # the ids in each `$cancel` from the server
        self.syncs = 0  # the number of `$sync` from the server
        self._markers = 0

    # Opening.

    def offer(self, n=None, token=None):
        return f"rejoin.resume.{token or self.token}.{self.received if n is None else n}"

    def dial(self, protocols=(JSON,), *, id=None, room=None, rcvbuf=None, headers=()):
        """An upgraded socket from which nothing has been read."""
        query = path(id=id or self.id, room=room or self.room, **self.query)
        if self.access_token is not None:
            protocols = (*protocols, auth_offer(self.access_token))
        return wire.WebSocket.connect(self.port, query, protocols=protocols, rcvbuf=rcvbuf, headers=headers)

    def connect(self, **options):
        """Opens a fresh session."""
        self._adopt(self.dial(**options), offered=None)
        if self.opened["resumed"]:
            raise Violation("resumed without an offer")
        return self

    def resume(self, n=None, *, protocols=(JSON,), id=None, room=None, rcvbuf=None):
        """Opens a new socket for this session, and sends kept frames again if it resumes. Returns the old socket on a resume, else None.

        The offer's `n` is the number of received frames, or another number that a scenario chooses.
        """
        n = self.received if n is None else n
        ws = self.dial((*protocols, self.offer(n)), id=id, room=room, rcvbuf=rcvbuf)
        old, self.ws = self.ws, None
        self._adopt(ws, offered=n)
        return old if self.opened["resumed"] else None

    def _adopt(self, ws, offered):
        if ws.protocol != JSON:
            raise Violation(f"{ws.protocol!r} selected")
        self.ws = ws
        opened = self._open_payload(frames.decode(ws.recv_text()))
        self.opened = opened
        self.buffer, self.buffer_bytes = opened["buffer"], opened["buffer_bytes"]
        self.max_message = opened["max_message"]
        self.asked = self.unacked_bytes = 0
        if not opened["resumed"]:
            if opened["received"] != 0:
                raise Violation(f"a fresh session has received {opened['received']}")
            self.token = opened["session"]
            self.received = self.acked = self.sent = self.server_acked = 0
            self.kept.clear()
            self.unacked_since = None
            return
        if opened["session"] != self.token:
            raise Violation("resumed under another token")
        if opened["received"] < self.server_acked:
            # The server has forgotten frames that it acknowledged. This session ends, and a fresh one begins.
            self.ws.close(1000, "session lost")
            self.connect()
            return
        # The server sends the frames after the offered number again, even if we offered another number than our count.
        self.received = self.acked = offered
        self.unacked_since = None
        self._server_received(opened["received"], minimum=self.server_acked)
        for _, text in list(self.kept):
            self.ws.send_text(text)

    @staticmethod
    def _open_payload(frame):
        if frame.event != "$open":
            raise Violation(f"the first frame is {frame.event!r}, not $open")
        opened = frame.value
        if not isinstance(opened, dict):
            raise Violation(f"$open with {frame.payload}")
        kinds = {"session": str, "id": str, "room": str, "resumed": bool, "received": int, "window_ms": int}
        limits = {"buffer": int, "buffer_bytes": int, "max_message": int}
        for name, kind in {**kinds, **limits}.items():
            if type(opened.get(name)) is not kind or (kind is int and not 0 <= opened[name] < 1 << 53):
                raise Violation(f"$open without a good {name}: {frame.payload}")
        if not TOKEN.fullmatch(opened["session"]):
            raise Violation(f"a token of the wrong form: {opened['session']!r}")
        if "lost" in opened and (opened["resumed"] or opened["lost"] not in ("unknown", "codec", "identity")):
            raise Violation(f"$open with a wrong lost: {frame.payload}")
        return opened

    # Sending.

    def prepare(self, event=None, payload=None, id=None, **rare):
        """Counts and keeps a data frame without writing it."""
        text = frames.encode(event, payload, id, **rare)
        size = len(text.encode())
        if size > self.max_message:
            raise ValueError(f"{size} bytes are more than the {self.max_message} that the server accepts")
        while self.kept and (
            len(self.kept) >= self.buffer or self.kept_bytes() + size > self.buffer_bytes
        ):
            self._pump(time.monotonic() + wire.DEFAULT_TIMEOUT)
        if not rare.get("volatile"):
            self.sent += 1
            self.kept.append((self.sent, text))
        return text

    def send(self, event=None, payload=None, id=None, **rare):
        self.ws.send_text(self.prepare(event, payload, id, **rare))

    def kept_bytes(self):
        return sum(len(text.encode()) for _, text in self.kept)

    def sync(self):
        """Asks for an acknowledgement at once."""
        self.asked += 1
        self.control("$sync")

    def control(self, event, payload=None):
        """Sends a control frame unchecked, valid or not."""
        self.ws.send_text(frames.encode(event, payload))

    def ack(self, n=None):
        n = self.received if n is None else n
        self.control("$ack", str(n))
        self.acked, self.unacked_bytes, self.unacked_since = n, 0, None

    # Receiving.

    def recv(self, timeout=wire.DEFAULT_TIMEOUT):
        """The next data frame."""
        deadline = time.monotonic() + timeout
        while not self.inbox:
            self._pump(deadline)
        return self.inbox.popleft()

    def recv_values(self, count, timeout=wire.DEFAULT_TIMEOUT):
        deadline = time.monotonic() + timeout
        return [self.recv(deadline - time.monotonic()).value for _ in range(count)]

    def available(self, timeout=0.0):
        """A data frame, or None if none arrives in time."""
        try:
            return self.recv(timeout)
        except wire.Timeout:
            return None

    def pump_until(self, condition, what, timeout=wire.DEFAULT_TIMEOUT):
        """Reads on until `condition()` holds; data frames stay in the inbox."""
        deadline = time.monotonic() + timeout
        while not condition():
            try:
                self._pump(deadline)
            except wire.Timeout:
                raise wire.Timeout(f"{what}: not within {timeout} s") from None

    def watch(self, seconds):
        """Reads for this many seconds, whatever arrives."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                self._pump(deadline)
            except wire.Timeout:
                return

    def barrier(self):
        """Waits for an echo: the server has then handled all earlier frames. Other frames stay in the inbox."""
        self._markers += 1
        event = f"marker-{self._markers}"
        self.send(event)
        self.pump_until(lambda: any(frame.event == event for frame in self.inbox), f"the echo of {event}")
        self.inbox = deque(frame for frame in self.inbox if frame.event != event)

    def recv_close(self, timeout=wire.DEFAULT_TIMEOUT):
        return self.ws.recv_close(timeout)

    def _pump(self, deadline):
        """Reads one message, and sends an acknowledgement if one is due."""
        wake = deadline
        if self.auto_ack and self.unacked_since is not None:
            wake = min(deadline, self.unacked_since + ACK_DELAY)
        try:
            message = self.ws.recv(max(0.0, wake - time.monotonic()))
        except wire.Timeout:
            if time.monotonic() >= deadline:
                raise
            self._ack_if_due()
            return
        if message.opcode == wire.CLOSE:
            raise ClosedByServer(message.code, message.reason)
        if message.opcode != wire.TEXT:
            raise Violation(f"unexpected {wire.describe(message)}")
        self._handle(frames.decode(message.text), len(message.text.encode()))
        self._ack_if_due()

    def _ack_if_due(self):
        if not self.auto_ack or self.unacked_since is None:
            return
        enough = self.received - self.acked >= max(1, self.buffer // 4)
        enough = enough or self.unacked_bytes >= max(1, self.buffer_bytes // 4)
        if enough or time.monotonic() >= self.unacked_since + ACK_DELAY:
            try:
                self.ack()
            except wire.ConnectionLost:
                pass  # The next read reports the end of the socket.

    def _handle(self, frame, size):
        if frame.volatile and not frame.is_control:
            frame.number = None  # It is not counted: PROTOCOL.md section 12.
            self.inbox.append(frame)
            return
        if not frame.is_control:
            self.received += 1
            self.unacked_bytes += size
            frame.number = self.received
            self.inbox.append(frame)
        elif frame.event == "$ack":
            if type(frame.value) is not int:
                raise Violation(f"$ack with {frame.payload}")
            repeats = self.asked and frame.value == self.server_acked
            self._server_received(frame.value, minimum=self.server_acked + (not repeats))
            self.asked -= repeats
            self.acks.append((time.monotonic(), frame.value))
            return
        elif frame.event == "$gap":
            first, last = frame.value["from"], frame.value["to"]
            if type(first) is not int or type(last) is not int:
                raise Violation(f"$gap with {frame.payload}")
            if first != self.received + 1 or last < first:
                raise Violation(f"$gap {first} to {last} after {self.received}")
            self.received = last
            self.gaps.append((first, last))
        elif frame.event == "$ping":
            self.control("$pong", frame.payload)
            return
        elif frame.event == "$sync":
            self.syncs += 1
            if self.auto_ack:
                self.ack()
            return
        elif frame.event == "$cancel":
            if type(frame.value.get("id")) is not str:
                raise Violation(f"$cancel with {frame.payload}")
            self.cancels.append(frame.value["id"])
            return
        elif frame.event == "$pong":
            self.pongs.append(frame.payload)
            return
        elif frame.event == "$open":
            raise Violation("$open that is not the first frame")
        else:
            return
        if self.unacked_since is None:
            self.unacked_since = time.monotonic()

    def _server_received(self, n, minimum):
        if not minimum <= n <= self.sent:
            raise Violation(f"the server acknowledges {n}: expected {minimum} to {self.sent}")
        self.server_acked = n
        while self.kept and self.kept[0][0] <= n:
            self.kept.popleft()

    # Cutting.

    def cut_rst(self):
        self.ws.reset()

    def cut_fin(self):
        self.ws.fin()
        self.ws.dispose()

    def cut_half(self, fraction, event, payload):
        """Sends the beginning of a data frame and resets. The frame is kept, and sent again on the next socket."""
        text = self.prepare(event, payload)
        try:
            self.ws.send_half(wire.TEXT, text.encode("utf-8"), fraction)
        except wire.ConnectionLost:
            pass
        self.ws.reset()

    def abandon_socket(self):
        """Detaches the open socket and returns it."""
        self.ws.answer_pings = False
        old, self.ws = self.ws, None
        return old

