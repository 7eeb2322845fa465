"""Read Envoy's access log into the ledger: every line once, whatever dies in between.

Called by the control plane every second or so. A log file is known by the digest of its first
line, which holds a random request id: so a file keeps its identity when it is renamed or copied,
and one that was emptied and begun again is another file, although name and inode are the same.
A record's position is the byte where its line begins.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from plinth.domain.usage import Meter, UsageRecord
from plinth.kit.errors import Invalid
from plinth.kit.ids import digest_of
from plinth.metering.ledger import Ledger

# A line has a path of 256 bytes and some 20 short fields.
_LONGEST_LINE = 64 * 1024
_CHUNK = 1024 * 1024
_TAIL = 256
_DIGEST_LENGTH = 16


@dataclass(frozen=True, slots=True)
class UsageDraft:
    """What one line of a log says of usage; the journal adds where it stood."""

    meter: Meter
    quantity: float
    team: str
    workload: str
    started_at: datetime
    ended_at: datetime
    principal: str | None = None
    run: str | None = None
    request_id: str | None = None


# Returns None for a line that is no usage. Raises ValueError for one that cannot be read.
Parse = Callable[[bytes], UsageDraft | None]


@dataclass(slots=True)
class Collected:
    """What one reading found. `malformed` lines could not be read: their usage is lost."""

    records: int = 0
    lines: int = 0
    malformed: int = 0
    rewritten: int = 0


@dataclass(frozen=True, slots=True)
class _Cursor:
    """How far a file was read; `tail` is the digest of the bytes just before `offset`.

    `generation` counts how often a file with this first line was found cut or rewritten.
    """

    generation: int = 0
    offset: int = 0
    tail: str = ""

    def to_text(self) -> str:
        return f"{self.generation}:{self.offset}:{self.tail}"

    @staticmethod
    def from_text(text: str | None) -> _Cursor:
        if text is None:
            return _Cursor()
        generation, offset, tail = text.split(":")
        return _Cursor(int(generation), int(offset), tail)


@dataclass(slots=True)
class _Batch:
    """The records of one piece of a file, and where the next piece begins."""

    end: int
    records: list[UsageRecord] = field(default_factory=list)


class AccessJournal:
    """The reader of `path` and of the rotated files beside it (`path` + `.` + anything)."""

    def __init__(self, path: Path, ledger: Ledger, parse: Parse, *, chunk: int = _CHUNK) -> None:
        self._path = path
        self._ledger = ledger
        self._parse = parse
        self._chunk = chunk

    def collect(self) -> Collected:
        """Read all complete lines that no one has read; commit piece by piece.

        A crash at any point loses nothing and doubles nothing. Raises Conflict when another
        reader is at work (call again later), Temporary when the ledger cannot be written.
        """
        found = Collected()
        for source, path in self._files().items():
            try:
                descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                continue  # rotated since it was listed: its new name comes with the next call
            try:
                while self._read_piece(source, descriptor, found):
                    pass
            finally:
                os.close(descriptor)
        return found

    def _files(self) -> dict[str, Path]:
        """Return the files by source; of two with the same first line the longer one.

        A log that is being copied away has two names for a moment, one of them incomplete.
        """
        found: dict[str, tuple[int, Path]] = {}
        rotated = sorted(self._path.parent.glob(f"{self._path.name}.*"))
        for path in (*rotated, self._path):
            try:
                descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
            try:
                source, size = _source_of(descriptor), os.fstat(descriptor).st_size
            finally:
                os.close(descriptor)
            if source is not None and size > found.get(source, (0, path))[0]:
                found[source] = (size, path)
        return {source: path for source, (_, path) in found.items()}

    def _read_piece(self, source: str, descriptor: int, found: Collected) -> bool:
        """Commit the next piece; return whether there may be more."""
        text = self._ledger.cursor(source)
        cursor = _Cursor.from_text(text)
        if _tail(descriptor, cursor.offset) != cursor.tail:
            found.rewritten += 1
            cursor = _Cursor(generation=cursor.generation + 1)
        content = os.pread(descriptor, self._chunk, cursor.offset)
        batch = self._batch(source, cursor, content, found)
        unchanged = _tail(descriptor, cursor.offset) == cursor.tail
        if batch.end == cursor.offset or not unchanged or _source_of(descriptor) != source:
            return False  # nothing new, or the file was emptied while it was read
        moved = replace(cursor, offset=batch.end, tail=_tail(descriptor, batch.end))
        self._ledger.commit(source, batch.records, expected=text, cursor=moved.to_text())
        found.records += len(batch.records)
        return True

    def _batch(self, source: str, cursor: _Cursor, content: bytes, found: Collected) -> _Batch:
        end = content.rfind(b"\n") + 1
        if end == 0 and len(content) == self._chunk:
            end = len(content)  # no line is that long: skip what it is, or reading ends for ever
        batch = _Batch(cursor.offset + end)
        for start, line in _lines(content[:end]):
            found.lines += 1
            seen = self._read_line(line)
            if seen is None:
                found.malformed += 1
            elif seen[1] is not None:
                position = f"{cursor.generation}.{cursor.offset + start + seen[0]:015d}"
                batch.records.append(_record(source, position, seen[1]))
        return batch

    def _read_line(self, line: bytes) -> tuple[int, UsageDraft | None] | None:
        """Return where in the line its record begins and what it says; None: unreadable.

        An Envoy that was killed leaves half a line, and the next one writes on behind it: the
        second record is whole and counts.
        """
        start = 0
        while start != -1:
            try:
                return start, self._parse(line[start:])
            except ValueError:
                start = line.find(b'{"', start + 1)
        return None


def _record(source: str, position: str, draft: UsageDraft) -> UsageRecord:
    return UsageRecord(
        source=source,
        position=position,
        meter=draft.meter,
        quantity=draft.quantity,
        team=draft.team,
        workload=draft.workload,
        principal=draft.principal,
        run=draft.run,
        request_id=draft.request_id,
        started_at=draft.started_at,
        ended_at=draft.ended_at,
    )


def _lines(content: bytes) -> Iterator[tuple[int, bytes]]:
    start = 0
    # Not splitlines(): it also cuts at a carriage return, which is part of a damaged line.
    for line in content.split(b"\n"):
        if line.strip():
            yield start, line
        start += len(line) + 1


def _source_of(descriptor: int) -> str | None:
    """Return the file's identity; None while its first line is not complete."""
    head = os.pread(descriptor, _LONGEST_LINE, 0)
    end = head.find(b"\n")
    if end == -1 and len(head) < _LONGEST_LINE:
        return None
    first = head if end == -1 else head[: end + 1]
    return f"gateway:{digest_of(first)[:_DIGEST_LENGTH]}"


def _tail(descriptor: int, offset: int) -> str:
    """Return the digest of the bytes before `offset`; of fewer when the file is shorter."""
    if offset == 0:
        return ""
    start = max(0, offset - _TAIL)
    return digest_of(os.pread(descriptor, offset - start, start))[:_DIGEST_LENGTH]


def rotate(path: Path) -> Path:
    """Rename the log to the next free number (`access.log.000001`) and return the new path.

    Envoy writes on into the renamed file until it is told to reopen its logs; both are read.
    Raises Invalid when there is no log.
    """
    numbers = [
        int(name.suffix[1:])
        for name in path.parent.glob(f"{path.name}.*")
        if name.suffix[1:].isdigit()
    ]
    target = path.with_name(f"{path.name}.{max(numbers, default=0) + 1:06d}")
    try:
        os.rename(path, target)
    except FileNotFoundError as err:
        raise Invalid(f"there is no log `{path.name}` to rotate") from err
    return target
