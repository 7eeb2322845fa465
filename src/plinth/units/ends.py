"""The ends of a unit that is always restarted: one line of JSON each, in order, each once.

Written by the agent before it makes room for the unit's next run, so no end is forgotten; read by
metering, as a server that was killed took with it what it had not written to its log. The file
keeps a bounded number of ends: when it is large it is renamed, and the oldest goes.
"""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from plinth.kit.clock import to_text

LARGEST_BYTES = 1024 * 1024
# With a restart every five seconds, the fastest there is, this holds for some three weeks.
MOST_FILES = 64

_LONGEST_REASON = 300
# More than one line has.
_TAIL_BYTES = 8192


def note_end(path: Path, unit: str, ended: dict[str, Any], noticed_at: datetime) -> None:
    """Append an end to the file `path`, unless it is the last one there; on the disk on return.

    `noticed_at`: when it was written down, on the wall's clock as it was then. The caller holds the
    unit's lock. A kill on the way leaves a part of a line, which the next call takes away. Raises
    OSError when the disk has no room.
    """
    line = {**ended, "unit": unit, "reason": _short(ended.get("reason"))}
    latest = path if _has_lines(path) else _newest_before(path)
    if latest is not None and _last_end(latest) == line:
        return
    if _mend(path) > LARGEST_BYTES:
        _rotate(path)
    content = json.dumps(line | {"noticed_at": to_text(noticed_at)}, separators=(",", ":"))
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o600)
    try:
        whole = content.encode() + b"\n"
        if os.write(descriptor, whole) != len(whole):
            raise OSError(f"`{path}` took a part of a line only")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def written_at(path: Path) -> datetime:
    """Return when the file `path` was written last, on the wall's clock as it was then."""
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)


def _short(reason: str | None) -> str | None:
    return None if reason is None else reason[:_LONGEST_REASON]


def _has_lines(path: Path) -> bool:
    return path.exists() and b"\n" in _tail(path)


def _tail(path: Path) -> bytes:
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - _TAIL_BYTES))
        return stream.read()


def _last_end(path: Path) -> dict[str, Any] | None:
    """Return the last whole line without the time at which it was noticed."""
    whole = _tail(path).rpartition(b"\n")[0]
    try:
        end = json.loads(whole.rpartition(b"\n")[2])
    except ValueError:
        return None
    if not isinstance(end, dict):
        return None
    end.pop("noticed_at", None)
    return end


def _mend(path: Path) -> int:
    """Take away a last line that was written in part; return the bytes that the file has then."""
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        return 0
    tail = _tail(path)
    whole = size - (len(tail) - (tail.rfind(b"\n") + 1))
    if whole != size:
        os.truncate(path, whole)
    return whole


def _rotate(path: Path) -> None:
    older = _numbered(path)
    for each in older[: max(0, len(older) - MOST_FILES + 2)]:
        each.unlink(missing_ok=True)
    number = int(older[-1].suffix[1:]) + 1 if older else 1
    os.rename(path, path.with_name(f"{path.name}.{number:06d}"))


def _newest_before(path: Path) -> Path | None:
    older = _numbered(path)
    return older[-1] if older else None


def _numbered(path: Path) -> list[Path]:
    found = path.parent.glob(f"{path.name}.*")
    return sorted(each for each in found if each.suffix[1:].isdigit())
