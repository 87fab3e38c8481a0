"""The binary codecs, and rooms and resumes across codecs. PROTOCOL.md §1, §2, §5."""

import base64
import json

import binary
import wire
from binary import decode_message, encode_message, pack, unpack, unpack_frame
from harness import Skipped, about, equal, expect, expect_close, scenario
from session import JSON, path

MSGPACK, PROTOBUF = "rejoin.v1.msgpack", "rejoin.v1.protobuf"


def connect(ctx, codec, **query):
    """Opens a socket with this codec, and returns it with the payload of `$open`."""
    query.setdefault("room", ctx.unique("room"))
    return dial(ctx, codec, path(**query), (codec,))


def dial(ctx, codec, where, offers):
    try:
        ws = ctx.track(wire.WebSocket.connect(ctx.port, where, protocols=offers))
    except wire.Refused as refusal:
        if refusal.status == 400 and codec in (MSGPACK, PROTOBUF):
            raise Skipped(f"the server has no {codec}") from None
        raise
    equal(ws.protocol, codec, "selected")
    event, payload = control(codec, recv_binary(ws))
    equal(event, "$open", "first frame")
    return ws, payload


def recv_binary(ws):
    message = ws.recv()
    expect(message.opcode == wire.BINARY, f"binary expected, got {wire.describe(message)}")
    return message.data


def control(codec, data):
    """The event and the value of a control frame."""
    if codec == MSGPACK:
        members = unpack_frame(data)
        payload = unpack(members["payload"])
        expect(isinstance(payload, bytes), f"the payload of {members['event']} is not bin: {payload!r}")
        return members["event"], json.loads(payload)
    fields = decode_message(data)
    equal(fields["format"], binary.JSON, f"format of {fields['event']}")
    return fields["event"], json.loads(fields["payload"])


def recv_data(ws, codec):
    """The next frame that is not `$ack`."""
    while True:
        data = recv_binary(ws)
        frame = unpack_frame(data) if codec == MSGPACK else decode_message(data)
        if frame.get("event") != "$ack":
            return frame


@scenario
def msgpack_echoes_payload_bytes(ctx):
    ws, opened = connect(ctx, MSGPACK)
    equal((opened["resumed"], opened["received"]), (False, 0), "resumed and received")
    payloads = [
        b"\xc0",
        b"\x01",
        b"\xcd\x00\x01",
        b"\xca\x3f\x80\x00\x00",
        b"\xc4\x02\x00\xff",
        b"\xd4\x05\x07",
        b"\x81\x01\x02",
        pack([1, {"a": 2.5}]),
    ]
    for payload in payloads:
        ws.send_binary(pack({"event": "x", "id": "i", "payload": binary.Raw(payload)}))
        frame = recv_data(ws, MSGPACK)
        equal((frame["event"], frame["id"], frame["payload"]), ("x", "i", payload), "echo")
    ws.send_binary(b"\x81\xa5event\xa1y")
    frame = recv_data(ws, MSGPACK)
    equal((frame["event"], "payload" in frame), ("y", False), "echo without a payload")


@scenario
def protobuf_echoes_payload_bytes(ctx):
    ws, opened = connect(ctx, PROTOBUF)
    equal((opened["resumed"], opened["received"]), (False, 0), "resumed and received")
    cases = [
        (b"\x00\xff", binary.BYTES),
        (b'{ "a":1.0}', binary.JSON),
        (b"\xcd\x00\x01", binary.MSGPACK),
        (b"", binary.BYTES),
    ]
    for payload, format in cases:
        ws.send_binary(encode_message(event="x", id="i", payload=payload, format=format))
        frame = recv_data(ws, PROTOBUF)
        equal((frame["event"], frame["id"], frame.get("payload"), frame["format"]), ("x", "i", payload, format), "echo")
    # The last occurrence of a field counts, and unknown fields are ignored.
    group = b"\x4b" * 1000 + b"\x4c" * 1000
    ws.send_binary(encode_message(event="y", payload=b"1") + group + encode_message(event="x", payload=b"2"))
    frame = recv_data(ws, PROTOBUF)
    equal((frame["event"], frame["payload"], frame["format"]), ("x", b"2", binary.BYTES), "echo of the last fields")
    ws.send_binary(b"")
    frame = recv_data(ws, PROTOBUF)
    expect("payload" not in frame and not frame.get("event"), f"echo of the empty frame: {frame}")


@scenario
def a_room_transcodes_between_codecs(ctx):
    room = ctx.unique("room")
    packed, _ = connect(ctx, MSGPACK, room=room)
    proto, _ = connect(ctx, PROTOBUF, room=room)
    text = ctx.session(room=room)
    value = {"a": [1, -2, 2.5, "é", None, True], "b": {"c": []}}
    raw = '{ "a" : [1, -2, 2.5, "é", null, true], "b":{"c":[]}}'

    text.send("pub", raw, id="j")
    equal(text.recv().payload, raw, "json to json")
    frame = recv_data(packed, MSGPACK)
    equal((unpack(frame["payload"]), frame["id"]), (value, "j"), "json to msgpack")
    frame = recv_data(proto, PROTOBUF)
    equal((frame["payload"].decode(), frame["format"], frame["id"]), (raw, binary.JSON, "j"), "json to protobuf")

    payload = pack({"n": 18446744073709551615, "bin": b"\x00\xff\xfe", "list": [1.5, -1]})
    packed.send_binary(pack({"event": "pub", "payload": binary.Raw(payload)}))
    equal(recv_data(packed, MSGPACK)["payload"], payload, "msgpack to msgpack")
    expected = {"n": 18446744073709551615, "bin": base64.b64encode(b"\x00\xff\xfe").decode(), "list": [1.5, -1]}
    equal(text.recv().value, expected, "msgpack to json")
    frame = recv_data(proto, PROTOBUF)
    equal((frame["payload"], frame["format"]), (payload, binary.MSGPACK), "msgpack to protobuf")

    proto.send_binary(encode_message(event="pub", payload=b"\x00\x01\xff", format=binary.BYTES))
    equal(text.recv().value, base64.b64encode(b"\x00\x01\xff").decode(), "bytes to json")
    equal(unpack(recv_data(packed, MSGPACK)["payload"]), b"\x00\x01\xff", "bytes to msgpack")
    equal(recv_data(proto, PROTOBUF)["payload"], b"\x00\x01\xff", "bytes to protobuf")


@scenario
def a_value_without_an_image_is_told_as_a_gap(ctx):
    room = ctx.unique("room")
    packed, _ = connect(ctx, MSGPACK, room=room)
    text = ctx.session(room=room)
    # Deeper than JSON readers allow.
    for payload in (b"\x91" * 300 + b"\xc0", b"\x01"):
        packed.send_binary(pack({"event": "pub", "payload": binary.Raw(payload)}))
        equal(recv_data(packed, MSGPACK)["payload"], payload, "msgpack to msgpack")
    frame = text.recv()
    equal((frame.payload, frame.number, text.gaps), ("1", 2, [(1, 1)]), "frame after the gap, and gaps")


@scenario
def bad_messages_to_binary_codecs_close_with_the_right_code(ctx):
    check = ctx.bystander()
    cases = [
        (MSGPACK, wire.TEXT, b"{}", 1008),
        (MSGPACK, wire.BINARY, b"", 1007),
        (MSGPACK, wire.BINARY, b"\x81\xa5event", 1007),
        (MSGPACK, wire.BINARY, b"\xc1", 1007),
        (MSGPACK, wire.BINARY, b"\x80\x00", 1007),
        (MSGPACK, wire.BINARY, b"\x01", 1008),
        (MSGPACK, wire.BINARY, b"\x90", 1008),
        (MSGPACK, wire.BINARY, b"\x81\xa5event\xc0", 1008),
        (MSGPACK, wire.BINARY, b"\x81\xa2id\x01", 1008),
        (MSGPACK, wire.BINARY, b"\xdf\xff\xff\xff\xff", 1007),
        (MSGPACK, wire.BINARY, b"\x81\xa7payload" + b"\x91" * 60000, (1007, 1008)),
        (PROTOBUF, wire.TEXT, b"{}", 1008),
        (PROTOBUF, wire.BINARY, b"\x0a\x05ab", 1007),
        (PROTOBUF, wire.BINARY, b"\x0a\x02\xff\xfe", 1007),
        (PROTOBUF, wire.BINARY, b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 1007),
        (PROTOBUF, wire.BINARY, b"\x4b" * 60000, 1007),
        (PROTOBUF, wire.BINARY, encode_message(payload=b"1 2", format=binary.JSON), 1007),
        (PROTOBUF, wire.BINARY, encode_message(payload=b"", format=binary.JSON), 1007),
        (PROTOBUF, wire.BINARY, encode_message(payload=b"\x91", format=binary.MSGPACK), 1007),
        (PROTOBUF, wire.BINARY, encode_message(payload=b"\xc0\xc0", format=binary.MSGPACK), 1007),
        (PROTOBUF, wire.BINARY, encode_message(payload=b"", format=3), 1008),
    ]
    for codec, opcode, data, code in cases:
        with about((codec, data[:30])):
            ws, _ = connect(ctx, codec)
            ws.send_bytes(wire.encode_frame(opcode, data))
            expect_close(ws, code)
        check()


@scenario
def control_frames_of_binary_codecs_carry_json(ctx):
    ws, _ = connect(ctx, MSGPACK)
    ws.send_binary(pack({"event": "$ping", "payload": b'{"a":1.0}'}))
    equal(control(MSGPACK, recv_binary(ws)), ("$pong", {"a": 1.0}), "answer")
    ws.send_binary(pack({"event": "$ack", "payload": b"9"}))
    expect_close(ws, 1002)
    ws, _ = connect(ctx, PROTOBUF)
    ws.send_binary(encode_message(event="$ping", payload=b"7", format=binary.JSON))
    equal(control(PROTOBUF, recv_binary(ws)), ("$pong", 7), "answer")
    ws.send_binary(encode_message(event="$ack", payload=b"9", format=binary.JSON))
    expect_close(ws, 1002)


@scenario
def a_token_without_the_codec_of_its_session_does_not_resume(ctx):
    member = ctx.session()
    ctx.cut(member)
    _, opened = dial(ctx, MSGPACK, path(room=member.room), (MSGPACK, member.offer()))
    equal((opened["resumed"], opened.get("lost")), (False, "codec"), "resumed and lost")
    ctx.resumed(member)
    member.barrier()


@scenario
def a_resume_selects_the_codec_of_its_session(ctx):
    connect(ctx, MSGPACK)
    member = ctx.session()
    ctx.cut(member)
    ctx.resumed(member, protocols=(MSGPACK, PROTOBUF, JSON))
    member.barrier()


@scenario
def a_session_of_a_binary_codec_is_resumed(ctx):
    readers = {
        MSGPACK: lambda frame: unpack(frame["payload"]),
        PROTOBUF: lambda frame: json.loads(frame["payload"]),
    }
    for codec, read in readers.items():
        with about(codec):
            room = ctx.unique("room")
            ws, opened = connect(ctx, codec, room=room)
            publisher = ctx.plain(room=room)
            ws.reset()
            ctx.suspend(opened["id"])
            for i in range(5):
                publisher.send_text(f'{{"event":"pub","payload":{i}}}')
                publisher.recv_text()
            offer = f"rejoin.resume.{opened['session']}.0"
            ws, opened = dial(ctx, codec, path(room=room), (JSON, codec, offer))
            expect(opened["resumed"], f"not resumed: {opened}")
            equal([read(recv_data(ws, codec)) for _ in range(5)], list(range(5)), "replayed payloads")
