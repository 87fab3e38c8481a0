"""JSON frames as text: members keep their raw text, so that a payload can be compared byte for byte."""

import json
from dataclasses import dataclass
from typing import Optional

_DECODER = json.JSONDecoder()
_SPACE = " \t\r\n"


class NotAFrame(Exception):
    """The server sent something that is not a JSON frame."""


@dataclass
class Frame:
    """`payload` is the raw text of the member, or None if it is absent."""

    id: Optional[str] = None
    event: Optional[str] = None
    payload: Optional[str] = None
    number: int = 0
    re: Optional[str] = None
    more: bool = False
    volatile: bool = False
    room: Optional[str] = None

    @property
    def value(self):
        return None if self.payload is None else json.loads(self.payload)

    @property
    def is_control(self):
        return (self.event or "").startswith("$")


def encode(event=None, payload=None, id=None, **rare):
    """`payload` is raw JSON text; `rare` may have `re`, `more`, `volatile` and `room`."""
    members = []
    for name, value in {"id": id, "event": event, **rare}.items():
        if value is not None:
            members.append(f'"{name}":{json.dumps(value)}')
    if payload is not None:
        members.append('"payload":' + payload)
    return "{" + ",".join(members) + "}"


def decode(text):
    members = raw_members(text)
    frame = Frame(payload=members.get("payload"))
    for name, kind in (("id", str), ("event", str), ("re", str), ("room", str), ("more", bool), ("volatile", bool)):
        if name in members:
            value = json.loads(members[name])
            if not isinstance(value, kind):
                raise NotAFrame(f"{name} is no {kind.__name__}: {text[:200]}")
            setattr(frame, name, value if kind is bool else value or None)
    return frame


def raw_members(text):
    """The members of an object, each value as its raw text without the whitespace around it."""
    members = {}
    at = _expect(text, _skip(text, 0), "{")
    at = _skip(text, at)
    if text[at : at + 1] == "}":
        _end(text, at + 1)
        return members
    while True:
        name, at = _value(text, at)
        if not isinstance(name, str):
            raise NotAFrame(f"a member name is not a string: {text[:200]}")
        at = _skip(text, _expect(text, _skip(text, at), ":"))
        start = at
        _, at = _value(text, at)
        if name in members:
            raise NotAFrame(f"member {name} twice: {text[:200]}")
        members[name] = text[start:at]
        at = _skip(text, at)
        if text[at : at + 1] != ",":
            break
        at = _skip(text, at + 1)
    _end(text, _expect(text, at, "}"))
    return members


def _value(text, at):
    try:
        return _DECODER.raw_decode(text, at)
    except (ValueError, RecursionError) as error:
        raise NotAFrame(f"{error}: {text[:200]}") from None


def _skip(text, at):
    while at < len(text) and text[at] in _SPACE:
        at += 1
    return at


def _expect(text, at, char):
    if text[at : at + 1] != char:
        raise NotAFrame(f"{char!r} expected at {at}: {text[:200]}")
    return at + 1


def _end(text, at):
    if _skip(text, at) != len(text):
        raise NotAFrame(f"text after the object: {text[:200]}")
