"""Read protobuf's binary form, as `protobuf.py` writes it: whole, or one level of it."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from plinth.gateway.envoy_types import TYPE_PREFIX, Json
from plinth.gateway.fields import ANY, FLOATS, Field, fields_of, names_of

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_GOOGLE = "google.protobuf."
_HALF = 2**63
# What a field holds on the wire: a number, or bytes (of a text, a message, a float).
Raw: TypeAlias = int | bytes


def walk(message: bytes) -> Iterator[tuple[int, Raw]]:
    """Yield number and content of each field. Raises ValueError for what is no message."""
    place, end = 0, len(message)
    try:
        while place < end:
            tag, place = _varint(message, place)
            kind = tag & 7
            if kind == _VARINT:
                value, place = _varint(message, place)
                yield tag >> 3, value
                continue
            size = {_FIXED64: 8, _FIXED32: 4}.get(kind)
            if kind == _LENGTH:
                size, place = _varint(message, place)
            if size is None or place + size > end:
                raise ValueError("this is no message of protobuf")
            yield tag >> 3, message[place : place + size]
            place += size
    except IndexError as err:
        raise ValueError("this is no message of protobuf") from err


def parts(message: bytes, number: int) -> list[bytes]:
    """Return the contents of the field `number` that have a length."""
    return [each for found, each in walk(message) if found == number and isinstance(each, bytes)]


def name_in(message: bytes) -> str:
    """Return the first field of a message, which in Envoy's resources is their name."""
    return next((_bytes(each).decode() for number, each in walk(message) if number == 1), "")


def decode(type_name: str, message: bytes) -> Json:
    """Return a message as JSON. Raises ValueError for what is none of this type."""
    if type_name == ANY:
        return _any(message)
    numbered = {each.number: (name, each) for name, each in fields_of(type_name).items()}
    found: Json = {}
    for number, raw in walk(message):
        if number not in numbered:
            raise ValueError(f"`{type_name}` has no field {number}")
        name, field = numbered[number]
        if field.key is not None:
            entry = dict(walk(_bytes(raw)))
            value = _one(field, entry.get(2, b""))
            found.setdefault(name, {})[_bytes(entry.get(1, b"")).decode()] = value
        elif field.is_repeated:
            found.setdefault(name, []).append(_one(field, raw))
        else:
            found[name] = _one(field, raw)
    return found


def _any(message: bytes) -> Json:
    fields = dict(walk(message))
    if not fields:
        return {}
    url = _bytes(fields.get(1, b"")).decode()
    name = url.removeprefix(TYPE_PREFIX)
    value = _special_or_message(name, _bytes(fields.get(2, b"")))
    return {"@type": url, **({"value": value} if name.startswith(_GOOGLE) else value)}


def _one(field: Field, raw: Raw) -> Any:
    kind = field.type
    if kind == "string":
        return _bytes(raw).decode()
    if kind == "bool":
        return bool(raw)
    if kind in FLOATS:
        return struct.unpack(FLOATS[kind], _bytes(raw))[0]
    if not field.is_message:
        return _number(field, raw)
    return _special_or_message(kind, _bytes(raw))


def _number(field: Field, raw: Raw) -> int | str:
    if isinstance(raw, bytes):
        raise ValueError("a number is expected")
    if field.is_enum:
        return {number: name for name, number in names_of(field.type).items()}[raw]
    is_negative = field.type.startswith("int") and raw >= _HALF
    return raw - 2 * _HALF if is_negative else raw


def _special_or_message(type_name: str, message: bytes) -> Any:
    if type_name in _SPECIAL:
        return _SPECIAL[type_name](message)
    if type_name.endswith("Value") and type_name.startswith(_GOOGLE):
        (field,) = fields_of(type_name).values()
        is_empty = b"" if field.type == "string" else 0
        return _one(field, dict(walk(message)).get(1, is_empty))
    return decode(type_name, message)


def _duration(message: bytes) -> str:
    fields = dict(walk(message))
    seconds, nanos = (fields.get(each, 0) for each in (1, 2))
    if isinstance(seconds, bytes) or isinstance(nanos, bytes):
        raise ValueError("a number is expected")
    return f"{seconds + nanos / 1e9:.9f}".rstrip("0").rstrip(".") + "s"


def _struct(message: bytes) -> Json:
    entries = (dict(walk(each)) for each in parts(message, 1))
    return {_bytes(each[1]).decode(): _value(_bytes(each.get(2, b""))) for each in entries}


def _value(message: bytes) -> Any:
    for number, raw in walk(message):
        if number == 2:
            return struct.unpack("<d", _bytes(raw))[0]
        if number == 3:
            return _bytes(raw).decode()
        if number == 4:
            return bool(raw)
        if number == 5:
            return _struct(_bytes(raw))
        if number == 6:
            return _list(_bytes(raw))
    return None


def _list(message: bytes) -> list[Any]:
    return [_value(each) for each in parts(message, 1)]


_SPECIAL: dict[str, Callable[[bytes], Any]] = {
    "google.protobuf.Duration": _duration,
    "google.protobuf.ListValue": _list,
    "google.protobuf.Struct": _struct,
    "google.protobuf.Value": _value,
}


def _bytes(raw: Raw) -> bytes:
    if not isinstance(raw, bytes):
        raise ValueError("bytes are expected")
    return raw


def _varint(message: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
        shift += 7
        if shift > 63:
            raise ValueError("a number has more than 64 bits")
