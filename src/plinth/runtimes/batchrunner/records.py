"""Where the rows of a text file begin: lines of JSON, and CSV with quotes. Standard library only.

An empty line is no row. A line break within quotes belongs to its field, as in RFC 4180.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import BinaryIO

from .work import Index

_QUOTE = ord(b'"')
_MARK = b"\xef\xbb\xbf"
# A quote that is never closed would make one row of the rest of the file.
LONGEST_RECORD_BYTES = 16_000_000


class Unreadable(ValueError):
    """The file has no rows that can be told apart; the message says why."""


def csv_records(stream: BinaryIO, *, at_start: bool = True) -> Iterator[bytes]:
    """Yield the records of a CSV file as they stand, the header first, with their line ends.

    `at_start`: the stream begins where the file does, where a byte order mark may stand.
    """
    parts: list[bytes] = []
    size, is_open, began = 0, False, 1
    for number, line in enumerate(stream, 1):
        text = line.removeprefix(_MARK) if at_start and number == 1 else line
        if not is_open and not text.strip():
            # Its bytes belong to the record before, so that offsets add up.
            parts.append(line)
            size += len(line)
            continue
        if not is_open and _has_text(parts):
            yield b"".join(parts)
            parts, size = [], 0
        if not is_open:
            began = number
        parts.append(line)
        size += len(line)
        if b'"' in text:
            is_open = _is_open(text, is_open)
        if is_open and size > LONGEST_RECORD_BYTES:
            raise Unreadable(
                f"the row of line {began:,} opens a quote that is not closed within "
                f"{LONGEST_RECORD_BYTES:,} bytes"
            )
    if is_open:
        raise Unreadable(f"the row of line {began:,} opens a quote that is never closed")
    if _has_text(parts):
        yield b"".join(parts)


def fields_of(text: str, *, strict: bool) -> list[str]:
    """Return the fields of one record, which may have empty lines behind it.

    Raises csv.Error for what is no record or, `strict`, has a quote in a wrong place; and
    Unreadable where a CR alone stands in it, which some programs take for the end of a line.
    """
    body, _, rest = text.rpartition("\n")
    while body and not rest.strip():
        text = body
        body, _, rest = text.rpartition("\n")
    lines = list(csv.reader(io.StringIO(text.removesuffix("\r"), newline=""), strict=strict))
    if len(lines) > 1:
        raise Unreadable("a CR stands alone in it; lines must end with LF, or CR and LF")
    return lines[0] if lines else []


def header_names(record: bytes) -> tuple[str, ...]:
    """Return the names in a header. Raises Unreadable where the file's lines end with CR alone."""
    text = record.decode("utf-8-sig", errors="replace")
    first, _, rest = text.partition("\n")
    while rest and not first.strip():
        text = rest
        first, _, rest = text.partition("\n")
    try:
        return tuple(fields_of(text, strict=False))
    except Unreadable as err:
        why = "its lines end with CR alone; they must end with LF, or CR and LF"
        raise Unreadable(why) from err


def json_records(stream: BinaryIO) -> Iterator[bytes]:
    """Yield the lines of a file of JSON lines that are not empty, with empty ones behind them."""
    held = b""
    for line in stream:
        if not line.strip():
            held += line
            continue
        if held.strip():
            yield held
            held = b""
        held += line
    if held.strip():
        yield held


def index_records(number: int, records: Iterator[bytes], size: int, *, header: bool) -> Index:
    """Count the records and note where each mini-batch begins; the header is no row."""
    position, rows = 0, -1 if header else 0
    offsets: list[int] = []
    for record in records:
        if rows >= 0 and rows % size == 0:
            offsets.append(position)
        rows += 1
        position += len(record)
    rows = max(rows, 0)
    return Index(number, rows, (*offsets, position) if rows else ())


def _has_text(parts: list[bytes]) -> bool:
    return any(part.removeprefix(_MARK).strip() for part in parts)


def _is_open(line: bytes, is_open: bool) -> bool:
    """Tell whether a quoted field goes on behind this line; a quote within a bare field is text."""
    place, at_start = 0, True
    while place < len(line):
        if is_open:
            place = line.find(b'"', place)
            if place < 0:
                return True
            if line[place + 1 : place + 2] == b'"':
                place += 2
                continue
            is_open, at_start = False, False
            place += 1
            continue
        if at_start and line[place] == _QUOTE:
            is_open, at_start = True, False
            place += 1
            continue
        comma = line.find(b",", place)
        if comma < 0:
            return False
        place, at_start = comma + 1, True
    return is_open
