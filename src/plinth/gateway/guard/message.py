"""The two messages that Envoy and the guard exchange, in protobuf's encoding.

`RateLimitRequest` and `RateLimitResponse` of `envoy.service.ratelimit.v3`: of the first the
entries of its first descriptor, of the second the few fields that are set. Read and written here,
they take less time than by the protobuf library
(docs/decisions/0028-the-guard-holds-reservations.md).
"""

from __future__ import annotations

from collections.abc import Iterable

_OK, _OVER_LIMIT = b"\x08\x01", b"\x08\x02"
# Field numbers with the wire type of what has a length.
_DESCRIPTORS = 2 << 3 | 2
_ENTRIES = 1 << 3 | 2
_RESPONSE_HEADERS = b"\x1a"
_RAW_BODY = b"\x2a"
_DYNAMIC_METADATA = b"\x32"
_FIRST, _SECOND, _THIRD = b"\x0a", b"\x12", b"\x1a"
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5


def read_entries(message: bytes) -> dict[str, str]:
    """Return the entries of a request's first descriptor. Raises ValueError."""
    try:
        for field, content in _fields(message):
            if field == _DESCRIPTORS:
                return _entries(content)
    except IndexError as err:
        raise ValueError("this is no RateLimitRequest") from err
    return {}


def _entries(descriptor: bytes) -> dict[str, str]:
    """Read the entries as Envoy nearly always sends them: each of two short texts, and no more."""
    found = {}
    place, end = 0, len(descriptor)
    while place < end:
        start = place + 2
        size = descriptor[place + 1]
        is_entry = descriptor[place] == _ENTRIES and size < 0x80
        place = start + size
        if not is_entry or place > end:
            return dict(_any_entries(descriptor))
        middle = start + 2 + descriptor[start + 1]
        is_pair = descriptor[start] == _FIRST[0] and middle + 1 < place
        if (
            not is_pair
            or descriptor[middle] != _SECOND[0]
            or middle + 2 + descriptor[middle + 1] != place
        ):
            return dict(_any_entries(descriptor))
        found[_text(descriptor[start + 2 : middle])] = _text(descriptor[middle + 2 : place])
    return found


def _any_entries(descriptor: bytes) -> Iterable[tuple[str, str]]:
    for field, entry in _fields(descriptor):
        if field != _ENTRIES:
            continue
        pair = ["", ""]
        for part, content in _fields(entry):
            if part in (_FIRST[0], _SECOND[0]):
                pair[part == _SECOND[0]] = _text(content)
        yield pair[0], pair[1]


def _text(content: bytes) -> str:
    # What a caller wrote is never a reason not to decide.
    return content.decode(errors="replace")


def _fields(message: bytes) -> Iterable[tuple[int, bytes]]:
    """Yield the fields that have a length; the others are passed over."""
    place, end = 0, len(message)
    while place < end:
        tag, place = _varint(message, place)
        kind = tag & 7
        if kind == _LENGTH:
            length, place = _varint(message, place)
            stop = place + length
            if stop > end:
                raise ValueError("a field is longer than its message")
            yield tag, message[place:stop]
            place = stop
        elif kind == _VARINT:
            _, place = _varint(message, place)
        elif kind in (_FIXED64, _FIXED32):
            place += 8 if kind == _FIXED64 else 4
        else:
            raise ValueError(f"a field has the unknown kind {kind}")


def _varint(message: bytes, place: int) -> tuple[int, int]:
    byte = message[place]
    if byte < 0x80:
        return byte, place + 1
    value, shift = 0, 0
    while True:
        byte = message[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
        shift += 7
        if shift > 63:
            raise ValueError("a number has more than 64 bits")


def admitted(name: bytes, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return the answer that lets a request pass; `name`: its reservation."""
    value = _length(_THIRD, name)
    entry = _FIRST + b"\x03rid" + _length(_SECOND, value)
    metadata = _length(_FIRST, entry)
    return _OK + _headers(headers) + _length(_DYNAMIC_METADATA, metadata)


PASSED = _OK


def refused(body: bytes, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return the answer that refuses a request with this body."""
    return _OVER_LIMIT + _headers(headers) + _length(_RAW_BODY, body)


def _headers(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    return b"".join(
        [
            _length(_RESPONSE_HEADERS, _length(_FIRST, name) + _length(_SECOND, value))
            for name, value in headers
        ]
    )


def _length(tag: bytes, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return tag + bytes((size,)) + content
    if size < 0x4000:
        return tag + bytes((size & 0x7F | 0x80, size >> 7)) + content
    return tag + bytes((size & 0x7F | 0x80, size >> 7 & 0x7F | 0x80, size >> 14)) + content
