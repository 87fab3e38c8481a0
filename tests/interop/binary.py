"""The parts of MessagePack and protobuf that the scenarios of the binary codecs need."""

import struct


# MessagePack.


def pack(value):
    """Encodes None, bool, int, float, str, bytes, list and dict; `Raw` is inserted verbatim."""
    if isinstance(value, Raw):
        return value.data
    if value is None:
        return b"\xc0"
    if isinstance(value, bool):
        return b"\xc3" if value else b"\xc2"
    if isinstance(value, int):
        if 0 <= value < 128:
            return bytes([value])
        return b"\xcf" + struct.pack(">Q", value) if value >= 0 else b"\xd3" + struct.pack(">q", value)
    if isinstance(value, float):
        return b"\xcb" + struct.pack(">d", value)
    if isinstance(value, str):
        data = value.encode("utf-8")
        return (bytes([0xA0 | len(data)]) if len(data) < 32 else b"\xdb" + struct.pack(">I", len(data))) + data
    if isinstance(value, bytes):
        return b"\xc6" + struct.pack(">I", len(value)) + value
    if isinstance(value, list):
        return b"\xdd" + struct.pack(">I", len(value)) + b"".join(map(pack, value))
    return b"\xdf" + struct.pack(">I", len(value)) + b"".join(pack(k) + pack(v) for k, v in value.items())


class Raw:
    """MessagePack that is already encoded."""

    def __init__(self, data):
        self.data = data


def unpack(data):
    value, at = _unpack(data, 0)
    if at != len(data):
        raise ValueError("bytes after the MessagePack value")
    return value


def unpack_frame(data):
    """The members of a frame; `payload` as its raw bytes."""
    count, at = _head(data)
    members = {}
    for _ in range(count):
        name, at = _unpack(data, at)
        start = at
        value, at = _unpack(data, at)
        members[name] = data[start:at] if name == "payload" else value
    if at != len(data):
        raise ValueError("bytes after the frame")
    return members


def _head(data):
    if data[0] & 0xF0 == 0x80:
        return data[0] & 0x0F, 1
    size = {0xDE: 2, 0xDF: 4}[data[0]]
    return int.from_bytes(data[1 : 1 + size], "big"), 1 + size


_FIXED = {0xCA: ">f", 0xCB: ">d", 0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q"}
_FIXED |= {0xD0: ">b", 0xD1: ">h", 0xD2: ">i", 0xD3: ">q"}
_LENGTH = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4}
_LENGTH |= {0xDC: 2, 0xDD: 4, 0xDE: 2, 0xDF: 4, 0xC7: 1, 0xC8: 2, 0xC9: 4}
_KINDS = ((0xC6, "bin"), (0xC9, "ext"), (0xDB, "str"), (0xDD, "array"), (0xDF, "map"))  # up to this tag


def _unpack(data, at):
    tag, at = data[at], at + 1
    if tag < 0x80:
        return tag, at
    if tag >= 0xE0:
        return tag - 256, at
    if tag in (0xC0, 0xC2, 0xC3):
        return {0xC0: None, 0xC2: False, 0xC3: True}[tag], at
    if tag in _FIXED:
        size = struct.calcsize(_FIXED[tag])
        return struct.unpack(_FIXED[tag], data[at : at + size])[0], at + size
    if 0xD4 <= tag <= 0xD8:
        size = 1 + (1 << (tag - 0xD4))
        return ("ext", data[at : at + size]), at + size
    if tag < 0x90:
        kind, count = "map", tag & 0x0F
    elif tag < 0xA0:
        kind, count = "array", tag & 0x0F
    elif tag < 0xC0:
        kind, count = "str", tag & 0x1F
    else:
        size = _LENGTH[tag]
        count, at = int.from_bytes(data[at : at + size], "big"), at + size
        kind = next(kind for last, kind in _KINDS if tag <= last)
    if kind in ("str", "bin", "ext"):
        end = at + count + (kind == "ext")
        if end > len(data):
            raise ValueError("truncated MessagePack")
        value = data[at:end]
        return (value.decode("utf-8") if kind == "str" else value if kind == "bin" else ("ext", value)), end
    items = []
    for _ in range(count * (2 if kind == "map" else 1)):
        value, at = _unpack(data, at)
        items.append(value)
    return (dict(zip(items[::2], items[1::2])) if kind == "map" else items), at


# Protobuf: message Frame { string id = 1; string event = 2; optional bytes payload = 3; PayloadFormat format = 4;
# string re = 5; bool volatile = 6; bool more = 7; string room = 8; }

BYTES, JSON, MSGPACK = 0, 1, 2


def encode_message(*, id=None, event=None, payload=None, format=None, re=None, volatile=None, more=None, room=None):
    out = b""
    for number, value in ((1, id), (2, event), (3, payload), (5, re), (8, room)):
        if value is not None:
            data = value if isinstance(value, bytes) else value.encode("utf-8")
            out += bytes([number << 3 | 2]) + varint(len(data)) + data
    for number, value in ((4, format), (6, volatile), (7, more)):
        if value is not None:
            out += bytes([number << 3]) + varint(int(value))
    return out


def decode_message(data):
    """A dict with the fields that are present; `format` is 0 if it is absent."""
    fields, at = {"format": 0}, 0
    names = {1: "id", 2: "event", 3: "payload", 4: "format", 5: "re", 6: "volatile", 7: "more", 8: "room"}
    while at < len(data):
        tag, at = read_varint(data, at)
        name = names[tag >> 3]
        if tag & 7 == 0:
            fields[name], at = read_varint(data, at)
            continue
        length, at = read_varint(data, at)
        value, at = data[at : at + length], at + length
        fields[name] = value if name == "payload" else value.decode("utf-8")
    return fields


def varint(value):
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def read_varint(data, at):
    value = shift = 0
    while True:
        byte, at = data[at], at + 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at
