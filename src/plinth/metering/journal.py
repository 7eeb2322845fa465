"""Read logs into the ledger: every line once, whatever dies in between.

Called by the control plane every second or so, for the gateway's access log and for the ends of
the gateway's unit. A log file is known by the digest of its beginning, up to the end of its first
whole record, which is like no other: so a file keeps its identity when it is renamed or copied,
and one that was emptied and begun again is another file, although name and inode are the same.
A record's position is the byte where it begins. So what a record is called follows from what the
files hold, and never from when they were read: `replay.py` depends on it.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum, auto
from pathlib import Path

from plinth.domain.usage import Gap, Meter, UsageRecord
from plinth.kit.ids import digest_of
from plinth.metering.counters import Series, add_counts
from plinth.metering.ledger import Ledger

# A line of the access log has a path of 256 bytes and some 20 short fields.
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
    replica: int | None = None
    deployment: str | None = None
    model: str | None = None
    estimated: bool = False
    shadow: bool = False


@dataclass(frozen=True, slots=True)
class GapDraft:
    """A time that one line of a log says may be missing in another."""

    reason: str
    started_at: datetime
    ended_at: datetime


@dataclass(frozen=True, slots=True)
class Line:
    """What one line says when that is more than one thing.

    `drafts`: each of another meter, always in the same order: the first has the line's place, and
    the others that and their meter. `counts`: what it adds to which counters.
    """

    drafts: tuple[UsageDraft, ...] = ()
    counts: Mapping[Series, float] = field(default_factory=dict)


Said = Line | UsageDraft | GapDraft | None
# Returns None for a line that is no usage. Raises ValueError for one that cannot be read.
Parse = Callable[[bytes], Said]


# Returns where in a line, behind its beginning, a record that is no JSON may begin.
Behind = Callable[[bytes], Iterable[int]]


def _nowhere(_line: bytes) -> Iterable[int]:
    return ()


@dataclass(frozen=True, slots=True)
class Reading:
    """How a log is read. `origin`: the first word of its sources' names.

    `chunk`: bytes read at once, more than `longest`, the bytes of the longest line there can be.
    Other values of the two give the same records of lines that are not longer. `behind`: where a
    record that is no JSON may begin behind the half of another one.
    """

    parse: Parse
    origin: str = "gateway"
    chunk: int = _CHUNK
    longest: int = _LONGEST_LINE
    behind: Behind = _nowhere


@dataclass(slots=True)
class Collected:
    """What one reading committed. `malformed` lines could not be read: what they said is lost.

    `rewritten`: how many files were found cut or written over, after they were read. `counts`: what
    was added to the counters.
    """

    records: int = 0
    lines: int = 0
    malformed: int = 0
    rewritten: int = 0
    counts: dict[Series, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Cursor:
    """How far a file was read; `tail` is the digest of the bytes just before `offset`.

    `generation` counts how often a file of this identity was found cut or rewritten. It stays 0
    as long as no byte that was read is lost.
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
    """What one piece of a file holds, and where the next piece begins."""

    end: int
    records: list[UsageRecord] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    counts: dict[Series, float] = field(default_factory=dict)
    lines: int = 0
    malformed: int = 0

    def add(self, source: str, position: str, said: Said) -> None:
        if isinstance(said, GapDraft):
            self.gaps.append(_gap(source, position, said))
        elif isinstance(said, UsageDraft):
            self.records.append(_record(source, position, said))
        elif isinstance(said, Line):
            for number, draft in enumerate(said.drafts):
                place = f"{position}:{draft.meter}" if number else position
                self.records.append(_record(source, place, draft))
            add_counts(self.counts, said.counts)


class _Step(Enum):
    """How the reading of one piece ended."""

    COMMITTED = auto()
    AT_END = auto()
    CHANGED = auto()


# What a file's `stat` says of its content: unchanged as long as these are.
FileState = tuple[int, int, int]


class Journal:
    """The reader of `path` and of the rotated files beside it (`path` + `.` + anything)."""

    def __init__(self, path: Path, ledger: Ledger, reading: Reading) -> None:
        """Remember what to read. `ledger` may have been filled by other readers before."""
        self._path = path
        self._ledger = ledger
        self._reading = reading
        self._known: dict[Path, tuple[FileState, str]] = {}
        self._ended: dict[str, FileState] = {}
        self._suspected: set[str] = set()
        self._found: dict[str, list[Path]] = {}

    def collect(self) -> Collected:
        """Read all complete lines that no one has read; commit piece by piece.

        A crash at any point loses nothing and doubles nothing. Raises Conflict when another
        reader is at work (call again later), Temporary when the ledger cannot be written.
        """
        collected = Collected()
        self._found = self._files()
        self._ended = {name: at for name, at in self._ended.items() if name in self._found}
        for source, (path, *_) in self._found.items():
            try:
                descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                continue  # rotated since it was listed: its new name comes with the next call
            try:
                self._read(source, descriptor, collected)
            finally:
                os.close(descriptor)
        return collected

    def finished(self) -> dict[Path, FileState]:
        """Return the rotated files that the last `collect` had read to their end, as it saw them.

        Another file may have the name by now, or more may be written: then its state is another.
        Not those that are a copy of what the log still holds: the copy may be in the making.
        """
        return {
            path: self._known[path][0]
            for source, paths in self._found.items()
            if self._ended.get(source) == self._known[paths[0]][0] and self._path not in paths
            for path in paths
        }

    def _files(self) -> dict[str, list[Path]]:
        """Return the files by source; of several with the same beginning the longest comes first.

        A log that is being copied away has two names for a moment, one of them incomplete.
        """
        found: dict[str, list[tuple[int, Path]]] = {}
        known: dict[Path, tuple[FileState, str]] = {}
        # The log itself first: if it is renamed or copied away now, it is among the others then.
        for path in self._paths():
            seen = self._identify(path)
            if seen is not None:
                known[path] = seen
                found.setdefault(seen[1], []).append((seen[0][1], path))
        self._known = known
        return {
            source: [path for _, path in sorted(paths, key=lambda each: -each[0])]
            for source, paths in found.items()
        }

    def _paths(self) -> Iterator[Path]:
        yield self._path
        yield from sorted(self._path.parent.glob(f"{self._path.name}.*"))

    def _identify(self, path: Path) -> tuple[FileState, str] | None:
        """Return the file's state and source; None while it has no whole record."""
        try:
            known = self._known.get(path)
            if known is not None and known[0] == state_of(os.stat(path)):
                return known
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            state = state_of(os.fstat(descriptor))
            source = self._source_of(descriptor)
        finally:
            os.close(descriptor)
        return None if source is None else (state, source)

    def _read(self, source: str, descriptor: int, collected: Collected) -> None:
        # Taken before the reading: what is added meanwhile is seen as a change.
        state = state_of(os.fstat(descriptor))
        if self._ended.get(source) == state:
            return
        self._ended.pop(source, None)
        step = _Step.COMMITTED
        while step is _Step.COMMITTED:
            step = self._read_piece(source, descriptor, collected)
        if step is _Step.AT_END:
            self._ended[source] = state

    def _read_piece(self, source: str, descriptor: int, collected: Collected) -> _Step:
        text = self._ledger.cursor(source)
        cursor = _Cursor.from_text(text)
        before, content = self._piece(descriptor, cursor.offset)
        was_cut = _tail(before) != cursor.tail
        if was_cut and not self._is_certain(source):
            return _Step.CHANGED
        if was_cut:
            cursor = _Cursor(generation=cursor.generation + 1)
            before, content = self._piece(descriptor, 0)
        batch = self._batch(source, cursor, content)
        if was_cut or cursor.generation:
            batch.counts.clear()  # nobody knows which of its lines were counted before
        if self._source_of(descriptor) != source:
            return _Step.CHANGED  # the file was emptied while it was read
        if not was_cut:
            self._suspected.discard(source)
        if batch.end == cursor.offset:
            return _Step.AT_END
        tail = _tail(before + content[: batch.end - cursor.offset])
        moved = replace(cursor, offset=batch.end, tail=tail)
        self._ledger.commit(
            source,
            batch.records,
            expected=text,
            cursor=moved.to_text(),
            gaps=batch.gaps,
            unreadable=batch.malformed,
            counts=batch.counts,
        )
        collected.records += len(batch.records) + len(batch.gaps)
        collected.lines += batch.lines
        collected.malformed += batch.malformed
        collected.rewritten += was_cut
        add_counts(collected.counts, batch.counts)
        return _Step.COMMITTED

    def _is_certain(self, source: str) -> bool:
        """Tell whether a file was found cut before.

        Once may mean that its whole copy was just being renamed, and was not found.
        """
        was_suspected = source in self._suspected
        self._suspected ^= {source}
        return was_suspected

    def _piece(self, descriptor: int, offset: int) -> tuple[bytes, bytes]:
        """Return some bytes before `offset` and a piece from there on, as of one moment.

        Two readings could see two files: one may be emptied and written again in between.
        """
        start = max(0, offset - _TAIL)
        content = os.pread(descriptor, offset - start + self._reading.chunk, start)
        return content[: offset - start], content[offset - start :]

    def _batch(self, source: str, cursor: _Cursor, content: bytes) -> _Batch:
        lines, end = _lines(content, self._reading.longest)
        batch = _Batch(cursor.offset + end)
        for start, line in lines:
            batch.lines += 1
            seen = _read_line(line, self._reading)
            if seen is None:
                batch.malformed += 1
                continue
            position = f"{cursor.generation}.{cursor.offset + start + seen[0]:015d}"
            batch.add(source, position, seen[1])
        return batch

    def _source_of(self, descriptor: int) -> str | None:
        """Return the file's identity; None while it has no whole record.

        Not its first line only: that may be the rest of one whose beginning was copied away, and
        the rests of two lines can be alike.
        """
        before = b""
        while True:
            content = os.pread(descriptor, self._reading.longest + 1, len(before))
            lines, end = _lines(content, self._reading.longest)
            for start, line in lines:
                if _read_line(line, self._reading) is not None:
                    known = before + content[: start + len(line) + 1]
                    return f"{self._reading.origin}:{digest_of(known)[:_DIGEST_LENGTH]}"
            if end == 0:
                return None
            before += content[:end]


def _read_line(line: bytes, reading: Reading) -> tuple[int, Said] | None:
    """Return where in the line its record begins and what it says; None: unreadable.

    A writer that was killed leaves half a line, and the next one writes on behind it: the second
    record is whole and counts.
    """
    objects = (each.start() for each in re.finditer(rb'(?!^)\{"', line))
    for start in itertools.chain((0,), objects, reading.behind(line)):
        with contextlib.suppress(ValueError):
            return start, reading.parse(line[start:])
    return None


def _lines(content: bytes, longest: int) -> tuple[list[tuple[int, bytes]], int]:
    """Cut content into its whole lines, each with its place; return where the rest begins.

    What is longer than any line is cut after each `longest` bytes, be its end there or not: else
    what is found would depend on how much was written when it was read.
    """
    found = list(_cut(content, longest))
    end = found[-1][0] + len(found[-1][1]) if found else 0
    if content[end : end + 1] == b"\n":
        end += 1
    return [(start, line) for start, line in found if line.strip()], end


def _cut(content: bytes, longest: int) -> Iterator[tuple[int, bytes]]:
    start = 0
    while True:
        # Not splitlines(): it also cuts at a carriage return, which is part of a damaged line.
        end = content.find(b"\n", start)
        known = (len(content) if end == -1 else end) - start
        if known > longest:
            yield start, content[start : start + longest]
            start += longest
        elif end == -1:
            return
        else:
            yield start, content[start:end]
            start = end + 1


def state_of(seen: os.stat_result) -> FileState:
    """Return what tells a file, and what it holds, from what had its name before."""
    return seen.st_ino, seen.st_size, seen.st_mtime_ns


def _tail(before: bytes) -> str:
    """Return the digest of the last bytes before a place; the empty text at the beginning."""
    return digest_of(before[-_TAIL:])[:_DIGEST_LENGTH] if before else ""


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
        replica=draft.replica,
        deployment=draft.deployment,
        model=draft.model,
        estimated=draft.estimated,
        shadow=draft.shadow,
        started_at=draft.started_at,
        ended_at=draft.ended_at,
    )


def _gap(source: str, position: str, draft: GapDraft) -> Gap:
    return Gap(
        source=source,
        position=position,
        reason=draft.reason,
        started_at=draft.started_at,
        ended_at=draft.ended_at,
    )
