"""When each worker of an elastic unit ran: a line of JSON at its start, and one at its end.

Written by the unit's supervisor: the start before the worker may begin, the end when it is gone.
So the file is enough to charge by, and to find who runs. A supervisor that is killed leaves starts
without an end: those workers ended with their unit. Each line also says who runs from then on.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from plinth.kit.clock import from_text, to_text
from plinth.units.processes import Process

# More than one line has: 64 workers are named in some 50 bytes each.
_TAIL_BYTES = 16384


@dataclass(frozen=True, slots=True)
class WorkerTime:
    """One worker's life. `number` counts the starts. `ended_at` None: no end is written."""

    number: int
    started_at: datetime
    ended_at: datetime | None = None


def note_start(path: Path, worker: WorkerTime, running: Iterable[Process]) -> None:
    """Write that a worker starts; `running`: who runs then, it among them.

    It is on the disk on return. Raises OSError, and has written nothing, when there is no room.
    """
    _append(path, {"worker": worker.number, "started_at": to_text(worker.started_at)}, running)


def note_end(path: Path, worker: WorkerTime, how: str | None, running: Iterable[Process]) -> None:
    """Write that a worker has ended; `how`: in words, None when it ended well. As `note_start`."""
    assert worker.ended_at is not None
    times = {"started_at": to_text(worker.started_at), "ended_at": to_text(worker.ended_at)}
    _append(path, {"worker": worker.number, **times, "reason": how}, running)


def running_workers(path: Path) -> list[Process]:
    """Return who ran when the last whole line was written; nobody where there is no file."""
    try:
        with path.open("rb") as stream:
            stream.seek(max(0, path.stat().st_size - _TAIL_BYTES))
            whole = stream.read().rpartition(b"\n")[0]
    except FileNotFoundError:
        return []
    line = whole.rpartition(b"\n")[2]
    return [Process(*each) for each in json.loads(line)["running"]] if line else []


def read_times(path: Path, offset: int) -> tuple[list[WorkerTime], int]:
    """Return the workers of the lines from byte `offset` on, and the byte to read from next time.

    That is before the first start that has no end yet: everything in front of it is told. A worker
    may be told again, with the same times. Nothing where there is no file.
    """
    try:
        with path.open("rb") as stream:
            stream.seek(offset)
            content = stream.read()
    except FileNotFoundError:
        return [], offset
    found: dict[int, WorkerTime] = {}
    begun: dict[int, int] = {}
    following = offset
    for place, line in _lines(content):
        worker = _read(line)
        found[worker.number] = worker
        if worker.ended_at is None:
            begun[worker.number] = offset + place
        else:
            begun.pop(worker.number, None)
        following = offset + place + len(line) + 1
    return list(found.values()), min(begun.values(), default=following)


def _lines(content: bytes) -> Iterator[tuple[int, bytes]]:
    start = 0
    # What a kill left of a line has no end, and says nothing.
    while (end := content.find(b"\n", start)) != -1:
        yield start, content[start:end]
        start = end + 1


def _read(line: bytes) -> WorkerTime:
    told = json.loads(line)
    ended_at = told.get("ended_at")
    return WorkerTime(
        number=int(told["worker"]),
        started_at=from_text(told["started_at"]),
        ended_at=from_text(ended_at) if ended_at else None,
    )


def _append(path: Path, line: dict[str, Any], running: Iterable[Process]) -> None:
    told = line | {"running": [[each.pid, each.ticks] for each in running]}
    whole = json.dumps(told, separators=(",", ":")).encode() + b"\n"
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        size = os.fstat(descriptor).st_size
        if os.write(descriptor, whole) != len(whole):
            os.ftruncate(descriptor, size)
            raise OSError(f"`{path}` took a part of a line only")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
