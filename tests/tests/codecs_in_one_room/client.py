"""A client with the codec `protobuf`, generated from frame.proto by protoc: sends and checks every value of the table.

    client.py PORT TABLE

`frame_pb2` and the WebSocket client of tests/interop are found by PYTHONPATH. It prints `open`, waits for a line, and ends
with a line of JSON: what was wrong. Everything but the WebSocket is here, because that is what the test is about.
"""

import json
import sys
import time

import wire
from rejoin.v1.frame_pb2 import BYTES, JSON, MSGPACK, Frame

PATIENCE = 60.0


class Client:
    """A session on one socket."""

    def __init__(self, port):
        self.ws = wire.WebSocket.connect(port, "/ws", protocols=("rejoin.v1.protobuf",))
        assert self.ws.protocol == "rejoin.v1.protobuf", self.ws.protocol
        opened = self.read(PATIENCE)
        assert (opened.event, opened.format) == ("$open", JSON), opened
        self.buffer = json.loads(opened.payload)["buffer"]
        self.received = self.acknowledged = 0
        self.acknowledge_by = None

    def read(self, timeout):
        message = self.ws.recv(timeout)
        assert message.opcode == wire.BINARY, wire.describe(message)
        return Frame.FromString(message.data)

    def send(self, frame):
        self.ws.send_binary(frame.SerializeToString())

    def recv(self):
        """The next data frame. Acknowledges at a quarter of the buffer, or a second after the first unacknowledged frame."""
        while True:
            if self.acknowledge_by is not None:
                late = time.monotonic() >= self.acknowledge_by
                if late or self.received - self.acknowledged >= max(1, self.buffer // 4):
                    self.acknowledge()
            try:
                due = self.acknowledge_by
                frame = self.read(PATIENCE if due is None else max(0.0, due - time.monotonic()))
            except wire.Timeout:
                if due is None:
                    raise
                continue
            if not frame.event.startswith("$"):
                self.received += 1
                if self.acknowledge_by is None:
                    self.acknowledge_by = time.monotonic() + 1.0
                return frame
            # Protobuf can represent every value.
            assert frame.event != "$gap", frame

    def acknowledge(self):
        if self.received > self.acknowledged:
            self.send(Frame(event="$ack", payload=b"%d" % self.received, format=JSON))
        self.acknowledged, self.acknowledge_by = self.received, None


def rows(table):
    """The expected frames from all members: id to payload and format."""
    images = {"page": {}, "rust": {}, "python": {}}
    for number, row in enumerate(table["json"]):
        images["page"][f"page-json-{number}"] = (row["json"].encode(), JSON)
        images["python"][f"python-json-{number}"] = (row["json"].encode(), JSON)
    for number, row in enumerate(table["msgpack"]):
        images["rust"][f"rust-msgpack-{number}"] = (bytes.fromhex(row["msgpack"]), MSGPACK)
        images["python"][f"python-msgpack-{number}"] = (bytes.fromhex(row["msgpack"]), MSGPACK)
    for number, row in enumerate(table["bytes"]):
        images["rust"][f"rust-bytes-{number}"] = (bytes.fromhex(row["bytes"]), BYTES)
        images["python"][f"python-bytes-{number}"] = (bytes.fromhex(row["bytes"]), BYTES)
    return images


def main():
    port, path = int(sys.argv[1]), sys.argv[2]
    with open(path, encoding="utf-8") as file:
        expected = rows(json.load(file))
    client = Client(port)
    print("open", flush=True)
    sys.stdin.readline()
    for id, (payload, format) in expected["python"].items():
        client.send(Frame(id=id, event="value", payload=payload, format=format))
    wrong = []
    left = {sender: list(images) for sender, images in expected.items()}
    while any(left.values()):
        frame = client.recv()
        sender = frame.id.split("-")[0]
        if not left.get(sender) or left[sender].pop(0) != frame.id or frame.event != "value":
            wrong.append(f"unexpected: {frame}")
            break
        payload, format = expected[sender][frame.id]
        if not frame.HasField("payload") or (frame.payload, frame.format) != (payload, format):
            wrong.append(f"{frame.id}: {frame.payload!r} in {frame.format}, not {payload!r} in {format}")
    client.acknowledge()
    client.ws.close(1000)
    client.ws.recv_close()
    print(json.dumps({"received": client.received, "wrong": wrong}), flush=True)


if __name__ == "__main__":
    main()
