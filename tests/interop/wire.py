"""A small RFC 6455 client on a raw non-blocking socket.

It checks strictly what it receives, and lets the caller send anything: whole messages, fragments, raw bytes, half a frame. It never
answers a close frame by itself, and answers pings only if `answer_pings` is set.
"""

import base64
import errno
import hashlib
import os
import select
import socket
import struct
import time
from collections import deque
from dataclasses import dataclass, field

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
DEFAULT_TIMEOUT = 5.0


class WireError(Exception):
    """Base class of this module's exceptions."""


class Timeout(WireError):
    """The awaited event did not happen before the deadline."""


class ConnectionLost(WireError):
    """The socket ended (`eof` or `reset`), and no close frame is left to read."""


class BadServerFrame(WireError):
    """The server broke RFC 6455."""


class Refused(WireError):
    """The upgrade was answered with another status than 101."""

    def __init__(self, status, headers, body):
        super().__init__(f"upgrade refused: HTTP {status} {body[:200]!r}")
        self.status, self.headers, self.body = status, headers, body


@dataclass
class Message:
    """A whole data message or a control frame."""

    opcode: int
    data: bytes

    @property
    def text(self):
        return self.data.decode("utf-8")

    @property
    def code(self):
        """The close code; None if the close frame has none."""
        return struct.unpack(">H", self.data[:2])[0] if self.data else None

    @property
    def reason(self):
        return self.data[2:].decode("utf-8")


@dataclass
class Response:
    status: int
    headers: list = field(default_factory=list)
    body: bytes = b""

    def all(self, name):
        return [value for key, value in self.headers if key == name.lower()]

    def get(self, name):
        values = self.all(name)
        return values[0] if values else None


def encode_frame(opcode, data=b"", *, fin=True, rsv=0, masked=True, mask=None):
    """One frame as bytes. Clients must mask frames; `masked=False` tests that the server refuses unmasked ones."""
    head = bytearray([(0x80 if fin else 0) | (rsv << 4) | opcode])
    mask_bit = 0x80 if masked else 0
    if len(data) < 126:
        head.append(mask_bit | len(data))
    elif len(data) < 1 << 16:
        head.append(mask_bit | 126)
        head += struct.pack(">H", len(data))
    else:
        head.append(mask_bit | 127)
        head += struct.pack(">Q", len(data))
    if not masked:
        return bytes(head) + data
    mask = os.urandom(4) if mask is None else mask
    return bytes(head) + mask + apply_mask(data, mask)


def apply_mask(data, mask):
    if not data:
        return b""
    key = (mask * (len(data) // 4 + 1))[: len(data)]
    return (int.from_bytes(data, "big") ^ int.from_bytes(key, "big")).to_bytes(len(data), "big")


def close_payload(code, reason=""):
    return b"" if code is None else struct.pack(">H", code) + reason.encode("utf-8")


def request_bytes(host, path="/", *, protocols=(), headers=(), method="GET", omit=(), replace=None):
    """The upgrade request. `omit` and `replace` change the standard headers, `headers` adds to them."""
    key = base64.b64encode(os.urandom(16)).decode()
    standard = {
        "Host": host,
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": key,
        "Sec-WebSocket-Version": "13",
    }
    standard.update(replace or {})
    lines = [f"{method} {path} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in standard.items() if name not in omit]
    if protocols:
        lines.append("Sec-WebSocket-Protocol: " + ", ".join(protocols))
    lines += [f"{name}: {value}" for name, value in headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"), standard["Sec-WebSocket-Key"]


class Stream:
    """A TCP connection with deadlines. It reads while it waits to write, so that two full sides cannot deadlock."""

    def __init__(self, port, *, host="127.0.0.1", timeout=DEFAULT_TIMEOUT, rcvbuf=None):
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if rcvbuf is not None:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        self.sock.settimeout(timeout)
        try:
            self.sock.connect((host, port))
        except OSError:
            self.sock.close()
            raise
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.setblocking(False)
        self.reading = True
        self.ended = None
        self.buffer = bytearray()

    def wait(self, events, deadline):
        left = deadline - time.monotonic()
        poll = select.poll()
        poll.register(self.sock, events)
        return bool(poll.poll(max(0, left * 1000)))

    def send_bytes(self, data, timeout=DEFAULT_TIMEOUT):
        deadline = time.monotonic() + timeout
        view = memoryview(data)
        while view:
            try:
                view = view[self.sock.send(view):]
                continue
            except BlockingIOError:
                pass
            except OSError as error:
                raise ConnectionLost(f"write: {error}") from None
            wanted = select.POLLOUT | (select.POLLIN if self.reading and self.ended is None else 0)
            if not self.wait(wanted, deadline):
                raise Timeout(f"{len(view)} bytes not written after {timeout} s")
            if self.reading:
                self.read_available()

    def read_available(self):
        """Reads what the kernel has. Returns True if data arrived or the socket ended."""
        if self.ended is not None:
            return False
        try:
            chunk = self.sock.recv(1 << 16)
        except BlockingIOError:
            return False
        except OSError as error:
            self.ended = "reset" if error.errno == errno.ECONNRESET else str(error)
            return True
        if chunk:
            self.buffer += chunk
        else:
            self.ended = "eof"
        return True

    def fill(self, deadline):
        """Waits for more bytes or the end of the socket."""
        if not self.wait(select.POLLIN, deadline):
            raise Timeout("nothing arrived before the deadline")
        self.read_available()

    def peek(self):
        """The number of unread bytes in the kernel."""
        try:
            return len(self.sock.recv(1 << 20, socket.MSG_PEEK))
        except BlockingIOError:
            return 0

    def read_response(self, timeout=DEFAULT_TIMEOUT, *, bodiless=(101,)):
        deadline = time.monotonic() + timeout
        while b"\r\n\r\n" not in self.buffer:
            if self.ended is not None:
                raise ConnectionLost(f"{self.ended} before a response: {bytes(self.buffer[:100])!r}")
            self.fill(deadline)
        head, _, rest = bytes(self.buffer).partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        headers = []
        for line in lines[1:]:
            name, _, value = line.partition(":")
            headers.append((name.strip().lower(), value.strip()))
        response = Response(int(lines[0].split(" ")[1]), headers)
        self.buffer = bytearray(rest)
        if response.status not in bodiless:
            response.body = self._read_body(response, deadline)
        return response

    def _read_body(self, response, deadline):
        length = response.get("content-length")
        while self.ended is None and (length is None or len(self.buffer) < int(length)):
            self.fill(deadline)
        return bytes(self.buffer if length is None else self.buffer[: int(length)])

    def reset(self):
        """Ends with RST, which discards unread data on both sides."""
        try:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        except OSError:
            pass
        self.sock.close()
        self.ended = self.ended or "closed here"

    def fin(self):
        """Sends FIN without a close frame; can still read."""
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def dispose(self):
        self.sock.close()
        self.ended = self.ended or "closed here"


class WebSocket(Stream):
    """A client connection after a successful upgrade; `connect` makes one or raises `Refused`."""

    def __init__(self, port, **options):
        super().__init__(port, **options)
        self.answer_pings = True
        self.response = None
        self.messages = deque()
        self._parts = None

    @classmethod
    def connect(cls, port, path="/", *, protocols=(), headers=(), host=None, timeout=DEFAULT_TIMEOUT, rcvbuf=None):
        ws = cls(port, timeout=timeout, rcvbuf=rcvbuf)
        try:
            ws.handshake(path, protocols=protocols, headers=headers, host=host, timeout=timeout)
        except BaseException:
            ws.dispose()
            raise
        return ws

    def handshake(self, path, *, protocols=(), headers=(), host=None, timeout=DEFAULT_TIMEOUT):
        host = host or "127.0.0.1:%d" % self.sock.getpeername()[1]
        request, key = request_bytes(host, path, protocols=protocols, headers=headers)
        self.send_bytes(request)
        response = self.response = self.read_response(timeout)
        if response.status != 101:
            raise Refused(response.status, response.headers, response.body.decode("utf-8", "replace"))
        expected = base64.b64encode(hashlib.sha1(key.encode() + GUID).digest()).decode()
        if response.get("sec-websocket-accept") != expected:
            raise BadServerFrame("wrong Sec-WebSocket-Accept")
        if (response.get("upgrade") or "").lower() != "websocket":
            raise BadServerFrame("101 without Upgrade: websocket")
        if "upgrade" not in (response.get("connection") or "").lower():
            raise BadServerFrame("101 without Connection: upgrade")
        if response.get("sec-websocket-extensions"):
            raise BadServerFrame("an extension that was not offered")
        if len(response.all("sec-websocket-protocol")) > 1:
            raise BadServerFrame("more than one subprotocol selected")
        self._parse()

    @property
    def protocol(self):
        return self.response.get("sec-websocket-protocol")

    # Sending.

    def send_text(self, text):
        self.send_bytes(encode_frame(TEXT, text if isinstance(text, bytes) else text.encode("utf-8")))

    def send_binary(self, data):
        self.send_bytes(encode_frame(BINARY, data))

    def send_fragments(self, opcode, parts, between=()):
        """One message in several frames; `between[i]` is sent as raw bytes after part i."""
        for index, part in enumerate(parts):
            last = index == len(parts) - 1
            self.send_bytes(encode_frame(CONTINUATION if index else opcode, part, fin=last))
            if index < len(between):
                self.send_bytes(between[index])

    def send_half(self, opcode, data, fraction):
        """Sends the beginning of a frame: at least one byte, and never all of it."""
        frame = encode_frame(opcode, data)
        self.send_bytes(frame[: max(1, min(len(frame) - 1, int(len(frame) * fraction)))])

    def ping(self, data=b""):
        self.send_bytes(encode_frame(PING, data))

    def close(self, code=1000, reason=""):
        """Sends a close frame; `code=None` sends one without a code."""
        self.send_bytes(encode_frame(CLOSE, close_payload(code, reason)))

    # Receiving.

    def recv(self, timeout=DEFAULT_TIMEOUT):
        """The next message or control frame. Raises `Timeout` or `ConnectionLost`."""
        deadline = time.monotonic() + timeout
        while True:
            self._parse()
            while self.messages:
                message = self.messages.popleft()
                if message.opcode == PING and self.answer_pings:
                    self._pong(message.data)
                    continue
                return message
            if self.ended is not None:
                raise ConnectionLost(self.ended)
            self.fill(deadline)

    def recv_text(self, timeout=DEFAULT_TIMEOUT):
        """The next message, which must be text."""
        message = self.recv(timeout)
        if message.opcode != TEXT:
            raise BadServerFrame(f"text expected, got {describe(message)}")
        return message.text

    def recv_close(self, timeout=DEFAULT_TIMEOUT):
        """Skips data until the close frame, answers it, and returns its code and reason."""
        deadline = time.monotonic() + timeout
        while True:
            message = self.recv(deadline - time.monotonic())
            if message.opcode == CLOSE:
                try:
                    self.send_bytes(encode_frame(CLOSE, message.data[:2]))
                except WireError:
                    pass
                return message.code, message.reason

    def recv_end(self, timeout=DEFAULT_TIMEOUT):
        """Skips everything until the socket ends; returns how it ended."""
        deadline = time.monotonic() + timeout
        while True:
            try:
                self.recv(deadline - time.monotonic())
            except ConnectionLost as lost:
                return str(lost)

    def _pong(self, data):
        try:
            self.send_bytes(encode_frame(PONG, data))
        except WireError:
            pass

    def _parse(self):
        while (frame := self._take_frame()) is not None:
            fin, opcode, data = frame
            if opcode >= 0x8:
                self._check_control(fin, opcode, data)
                self.messages.append(Message(opcode, data))
                continue
            if (opcode == CONTINUATION) != (self._parts is not None):
                raise BadServerFrame("fragments out of order")
            if self._parts is None:
                self._parts = (opcode, bytearray())
            self._parts[1].extend(data)
            if fin:
                message = Message(self._parts[0], bytes(self._parts[1]))
                self._parts = None
                if message.opcode == TEXT:
                    message.data.decode("utf-8")
                self.messages.append(message)

    def _take_frame(self):
        buffer = self.buffer
        if len(buffer) < 2:
            return None
        if buffer[0] & 0x70 or buffer[1] & 0x80:
            raise BadServerFrame(f"reserved bits or a mask from the server: {bytes(buffer[:2])!r}")
        length, start = buffer[1] & 0x7F, 2
        if length >= 126:
            start = 4 if length == 126 else 10
            if len(buffer) < start:
                return None
            length = int.from_bytes(buffer[2:start], "big")
            if length < (126 if start == 4 else 1 << 16):
                raise BadServerFrame("a length not in its shortest form")
        if len(buffer) < start + length:
            return None
        frame = (bool(buffer[0] & 0x80), buffer[0] & 0x0F, bytes(buffer[start : start + length]))
        if frame[1] not in (CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG):
            raise BadServerFrame(f"reserved opcode {frame[1]}")
        del buffer[: start + length]
        return frame

    @staticmethod
    def _check_control(fin, opcode, data):
        if not fin or len(data) > 125:
            raise BadServerFrame("a fragmented or long control frame")
        if opcode == CLOSE and len(data) == 1:
            raise BadServerFrame("a close frame of one byte")


def describe(message):
    if message.opcode == CLOSE:
        return f"close {message.code} {message.reason!r}"
    names = {TEXT: "text", BINARY: "binary", PING: "ping", PONG: "pong"}
    return f"{names[message.opcode]} {message.data[:120]!r}"
