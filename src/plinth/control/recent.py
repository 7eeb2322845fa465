"""The newest lines of the gateway's log, for people who watch it: live, and summed up.

Nothing is kept: each call reads the files. What is charged is read by `metering.py`.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any

from plinth.control.outcome import outcome
from plinth.domain.tokens import TokenMeter
from plinth.gateway.access_log import AccessRecord, parse
from plinth.kit.clock import to_text
from plinth.kit.errors import Invalid
from plinth.kit.excerpt import excerpt
from plinth.metering.rotation import rotated

# What one call reads at most: some thousand lines.
_CHUNK = 1024 * 1024
_FIRST = 64 * 1024
_SUMMED = 4 * 1024 * 1024
_OURS = HTTPStatus.INTERNAL_SERVER_ERROR


@dataclass(frozen=True, slots=True)
class Page:
    """Some lines, oldest first, and from where to read on."""

    records: tuple[AccessRecord, ...]
    cursor: str


@dataclass(frozen=True, slots=True)
class Traffic:
    """What came for one endpoint, or for all, in the last `seconds`.

    `errors`: answered with 500 or more, or not at all. `spilled`: by another deployment than the
    one asked first.
    """

    seconds: float
    requests: int = 0
    errors: int = 0
    spilled: int = 0
    input_tokens: int = 0
    output_tokens: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return it with its rates; shares are None where nothing came."""
        return {
            "seconds": round(self.seconds, 1),
            "requests": self.requests,
            "requests_per_second": round(self.requests / self.seconds, 2) if self.seconds else 0.0,
            "errors": self.errors,
            "error_share": _share(self.errors, self.requests),
            "spilled": self.spilled,
            "spilled_share": _share(self.spilled, self.requests),
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
        }


def read_on(log: Path, cursor: str | None) -> Page:
    """Return the lines behind `cursor`; without one the newest, as many as 64 KiB hold.

    A log that was renamed meanwhile is read to its end first. Where it is gone, reading goes on
    with the beginning of the one there is. Raises Invalid for what is no cursor of ours.
    """
    files = {path.stat().st_ino: path for path in [*rotated(log), log] if path.exists()}
    if cursor is None:
        inode = log.stat().st_ino if log.exists() else 0
        offset = max(0, log.stat().st_size - _FIRST) if inode else 0
        is_amid = offset > 0
    else:
        inode, offset = _parse(cursor)
        is_amid = False
    if inode not in files:
        if not log.exists():
            return Page((), f"{inode}.{offset}")
        inode, offset = log.stat().st_ino, 0
    path = files.get(inode, log)
    content = _content(path, offset, _CHUNK)
    if is_amid:
        cut = content.find(b"\n") + 1
        offset, content = offset + cut, content[cut:]
    records, consumed = parse(content)
    if consumed == 0 and path != log and log.exists():
        return Page((), f"{log.stat().st_ino}.0")
    return Page(tuple(records), f"{inode}.{offset + consumed}")


def sum_up(
    log: Path, now: datetime, seconds: float, may_see: Callable[[AccessRecord], bool]
) -> dict[str, Traffic]:
    """Return the traffic of the last `seconds` by endpoint, as far as the caller may see it.

    No more than 4 MiB are read: where more came, `seconds` is what they reach back to.
    """
    content, is_cut = _newest(log)
    records, _ = parse(content)
    since = now - timedelta(seconds=seconds)
    ends = [(each, each.started_at + timedelta(milliseconds=each.duration_ms)) for each in records]
    if is_cut and ends:
        since = max(since, ends[0][1])
    found: defaultdict[str, list[AccessRecord]] = defaultdict(list)
    for record, ended_at in ends:
        if record.endpoint is not None and ended_at >= since and may_see(record):
            found[record.endpoint].append(record)
    reached = (now - since).total_seconds()
    return {name: _traffic(found[name], reached) for name in sorted(found)}


def newest_records(log: Path) -> list[AccessRecord]:
    """Return what the newest 4 MiB of the log hold, oldest first."""
    return parse(_newest(log)[0])[0]


def total(traffic: Iterable[Traffic], seconds: float) -> Traffic:
    """Return the traffic of all endpoints together."""
    parts = list(traffic)
    return Traffic(
        parts[0].seconds if parts else seconds,
        *(
            sum(getattr(part, name) for part in parts)
            for name in ("requests", "errors", "spilled", "input_tokens", "output_tokens")
        ),
    )


def to_json(record: AccessRecord) -> dict[str, Any]:
    """Return a line for a person who may see it: no body, no key, no query."""
    counted = record.tokens
    return {
        "at": to_text(record.started_at),
        "id": record.request_id,
        "team": record.team,
        "principal": record.principal,
        "endpoint": record.endpoint,
        "deployment": record.deployment,
        "model": record.answered,
        "method": record.method,
        "path": record.path,
        "code": record.code,
        "duration_ms": record.duration_ms,
        "first_ms": record.first_ms,
        "attempts": record.attempts,
        "spilled": record.was_spilled,
        "served": record.was_served,
        "input_tokens": counted.usage[TokenMeter.INPUT] if counted else None,
        "output_tokens": counted.usage[TokenMeter.OUTPUT] if counted else None,
        "estimated": bool(counted and counted.estimated),
        "why": outcome(record),
        "details": record.unserved or record.details,
        "flags": record.flags,
    }


def _traffic(records: Sequence[AccessRecord], seconds: float) -> Traffic:
    tokens = [each.tokens for each in records]
    return Traffic(
        seconds,
        requests=len(records),
        errors=sum(each.code == 0 or each.code >= _OURS for each in records),
        spilled=sum(each.was_spilled for each in records),
        input_tokens=sum(each.usage[TokenMeter.INPUT] for each in tokens if each),
        output_tokens=sum(each.usage[TokenMeter.OUTPUT] for each in tokens if each),
    )


def _newest(log: Path) -> tuple[bytes, bool]:
    """Return the end of the log, with what was renamed last before it; tell whether there is more.

    It begins with a whole line.
    """
    content = b""
    for path in (log, *rotated(log)[-1:]):
        size = path.stat().st_size if path.exists() else 0
        room = _SUMMED - len(content)
        if size > room:
            cut = _content(path, size - room, room)
            return cut[cut.find(b"\n") + 1 :] + content, True
        content = _content(path, 0, size) + content
    return content, False


def _content(path: Path, offset: int, most: int) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return b""
    try:
        return os.pread(descriptor, most, offset)
    finally:
        os.close(descriptor)


def _parse(cursor: str) -> tuple[int, int]:
    inode, _, offset = cursor.partition(".")
    if not (inode.isascii() and inode.isdigit() and offset.isascii() and offset.isdigit()):
        raise Invalid(
            f"`{excerpt(cursor, 40)}` is no place in the log",
            hint="send what the answer before said",
        )
    # The kernel takes a signed number of 64 bits.
    return int(inode[:20]), min(int(offset[:18]), 2**62)


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None
