"""An undecodable message closes its own socket with the right code and no other. PROTOCOL.md §2, RFC 6455."""

import struct

import frames
import wire
from harness import about, echo, equal, expect, expect_close, scenario

NOT_JSON = [
    b"",
    b"{",
    b"nope",
    b"\x00",
    b'{"event":"x"} x',
    b"{'event':1}",
    b'{"payload":01}',
    b'{"payload":"\n"}',
    b'{"a":1,}',
]
NOT_UTF8 = [
    b"\xff",
    b'{"event":"\xc3\x28"}',
    b'{"payload":"\xed\xa0\x80"}',
    b'{"payload":"\xf4\x90\x80\x80"}',
    b'{"payload":"\xe2\x98',
]
NOT_A_FRAME = [b"[1]", b'"text"', b"1", b"null", b"true"]
WRONG_MEMBERS = [
    b'{"id":null}',
    b'{"event":null}',
    b'{"event":1}',
    b'{"id":1}',
    b'{"id":["a"],"event":"x"}',
    b'{"event":{}}',
    b'{"re":1}',
    b'{"re":null}',
    b'{"more":"true"}',
    b'{"more":null}',
    b'{"volatile":1}',
    b'{"room":{}}',
]


def each_mode(ctx):
    """Functions that open a socket, one for plain mode and one for session mode."""
    return (ctx.plain, lambda: ctx.session().ws)


def closes(ctx, code, *writes):
    """Expects this close code for each of these raw byte strings, each on its own socket, in both modes."""
    check = ctx.bystander()
    for connect in each_mode(ctx):
        for data in writes:
            with about(data[:60]):
                ws = connect()
                try:
                    ws.send_bytes(data)
                except wire.ConnectionLost:
                    pass  # The server may refuse before it has read everything.
                expect_close(ws, code)
        check()


def texts(*data):
    return [wire.encode_frame(wire.TEXT, text) for text in data]


@scenario
def invalid_json_closes_with_1007(ctx):
    closes(ctx, 1007, *texts(*NOT_JSON))


@scenario
def invalid_utf8_closes_with_1007(ctx):
    closes(ctx, 1007, *texts(*NOT_UTF8))


@scenario
def json_that_is_no_object_closes_with_1008(ctx):
    closes(ctx, 1008, *texts(*NOT_A_FRAME))


@scenario
def members_of_another_type_close_with_1008(ctx):
    closes(ctx, 1008, *texts(*WRONG_MEMBERS))


@scenario
def a_binary_message_to_the_json_codec_closes_with_1008(ctx):
    messages = (b'{"event":"x"}', b"", b"\x81\xa5event\xa1x")
    closes(ctx, 1008, *(wire.encode_frame(wire.BINARY, data) for data in messages))


@scenario
def a_session_closed_for_bad_data_has_ended(ctx):
    for data in (b"nope", b"[1]"):
        member = ctx.session()
        member.ws.send_text(data)
        expect_close(member, (1007, 1008))
        ctx.lost(member, "unknown")


@scenario
def an_unmasked_frame_closes_with_1002(ctx):
    opcodes = (wire.TEXT, wire.BINARY, wire.PING, wire.CLOSE)
    closes(ctx, 1002, *(wire.encode_frame(opcode, b"", masked=False) for opcode in opcodes))
    closes(ctx, 1002, wire.encode_frame(wire.TEXT, b'{"event":"x"}', masked=False))


@scenario
def reserved_bits_close_with_1002(ctx):
    closes(ctx, 1002, *(wire.encode_frame(wire.TEXT, b'{"event":"x"}', rsv=rsv) for rsv in (1, 2, 4, 7)))


@scenario
def reserved_opcodes_close_with_1002(ctx):
    closes(ctx, 1002, *(wire.encode_frame(opcode, b"{}") for opcode in (0x3, 0x7, 0xB, 0xF)))


@scenario
def bad_fragments_close_with_1002(ctx):
    begin = wire.encode_frame(wire.TEXT, b'{"event":', fin=False)
    closes(
        ctx,
        1002,
        wire.encode_frame(wire.CONTINUATION, b"{}"),
        wire.encode_frame(wire.CONTINUATION, b"{}", fin=False),
        begin + wire.encode_frame(wire.TEXT, b'"x"}'),
        begin + wire.encode_frame(wire.BINARY, b'"x"}', fin=False),
        wire.encode_frame(wire.PING, b"", fin=False),
        wire.encode_frame(wire.CLOSE, b"", fin=False),
    )


@scenario
def long_control_frames_close_with_1002(ctx):
    closes(ctx, 1002, wire.encode_frame(wire.PING, b"x" * 126), wire.encode_frame(wire.PONG, b"x" * 300))


@scenario
def bad_close_frames_are_answered_with_1002(ctx):
    payloads = [b"\x03"] + [struct.pack(">H", code) for code in (0, 999, 1004, 1005, 1006, 1015)]
    closes(ctx, 1002, *(wire.encode_frame(wire.CLOSE, payload) for payload in payloads))
    closes(ctx, (1002, 1007), wire.encode_frame(wire.CLOSE, b"\x03\xe8\xff\xfe"))


@scenario
def an_oversized_message_closes_with_1009(ctx):
    ctx.use("--max-message-size", "4096")
    big = frames.encode("big", '"' + "x" * 5000 + '"').encode()
    third = len(big) // 3
    fragments = (
        wire.encode_frame(wire.TEXT, big[:third], fin=False)
        + wire.encode_frame(wire.CONTINUATION, big[third : 2 * third], fin=False)
        + wire.encode_frame(wire.CONTINUATION, big[2 * third :])
    )
    more = wire.encode_frame(wire.CONTINUATION, b"y" * 1000, fin=False)
    endless = wire.encode_frame(wire.TEXT, b"", fin=False) + more * 6
    announced = b"\x81\xff" + struct.pack(">Q", 1 << 40) + b"abcd" + b"x" * 100
    closes(ctx, 1009, wire.encode_frame(wire.TEXT, big), fragments, endless, announced)
    closes(ctx, (1002, 1009), b"\x81\xff" + b"\xff" * 8 + b"abcd")


@scenario
def a_message_of_exactly_the_limit_is_taken(ctx):
    ctx.use("--max-message-size", "4096")
    frame = frames.encode("big", '""')
    payload = '"' + "x" * (4096 - len(frame)) + '"'
    for ws in (ctx.plain(), ctx.plain()):
        echo(ws, event="big", payload=payload)
    ws.send_text(frames.encode("big", payload[:-1] + 'x"'))
    expect_close(ws, 1009)


@scenario
def deep_nesting_never_ends_the_process(ctx):
    check = ctx.bystander()
    arrays = '{"payload":' + "[" * 30000 + "]" * 30000 + "}"
    objects = '{"x":' + '{"a":' * 10000 + "1" + "}" * 10001
    for connect in each_mode(ctx):
        for text in (arrays, objects, "[" * 60000):
            ws = connect()
            ws.send_text(text)
            message = ws.recv()
            if message.opcode == wire.CLOSE:
                expect(message.code in (1007, 1008), f"closed with {message.code}")
        check()


@scenario
def a_ping_is_answered_by_a_pong_of_the_same_payload(ctx):
    for connect in each_mode(ctx):
        ws = connect()
        for data in (b"", b"x", b"\x00\xff" * 62 + b"z"):
            ws.ping(data)
            message = ws.recv()
            equal((message.opcode, message.data), (wire.PONG, data), "answer")
        ws.send_bytes(wire.encode_frame(wire.PONG, b"unsolicited"))
        ws.ping(b"after")
        equal(ws.recv().data, b"after", "pong after an unsolicited pong")


@scenario
def fragments_with_a_ping_between_make_one_message(ctx):
    for connect in each_mode(ctx):
        ws = connect()
        text = frames.encode("fragmented", '"é☃😀"').encode()
        inside = text.index("☃".encode()) + 1
        parts = [text[:3], text[3:inside], b"", text[inside:]]
        one, two = (wire.encode_frame(wire.PING, data) for data in (b"one", b"two"))
        ws.send_fragments(wire.TEXT, parts, between=[one, b"", two])
        equal([ws.recv().data for _ in range(2)], [b"one", b"two"], "pongs")
        equal(frames.decode(ws.recv_text()).payload, '"é☃😀"', "payload")


@scenario
def one_byte_at_a_time_and_many_frames_at_once_are_the_same(ctx):
    for connect in each_mode(ctx):
        ws = connect()
        for byte in wire.encode_frame(wire.TEXT, frames.encode("drip", "1").encode()):
            ws.send_bytes(bytes([byte]))
        equal(frames.decode(ws.recv_text()).event, "drip", "event")
        ws.send_bytes(b"".join(texts(*(frames.encode("fast", str(i)).encode() for i in range(50)))))
        for i in range(50):
            equal(frames.decode(ws.recv_text()).payload, str(i), "payload")


@scenario
def half_a_frame_and_then_nothing_harms_nobody(ctx):
    check = ctx.bystander()
    for connect in each_mode(ctx):
        frame = wire.encode_frame(wire.TEXT, frames.encode("cut", '"' + "x" * 300 + '"').encode())
        for length in (1, 2, 3, 5, 8, 100, len(frame) - 1):
            ws = connect()
            ws.send_bytes(frame[:length])
            if ctx.rng.random() < 0.5:
                ws.reset()
            else:
                ws.fin()
    check()
