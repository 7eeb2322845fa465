"""Begin new logs and drop old ones that were read.

Called by the control plane after each reading. Nothing is dropped before it stands in the ledger.
`fence` is called right before each file is renamed or removed, and raises to leave it: somebody
else may be at it by then.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from plinth.kit.errors import Invalid
from plinth.metering.journal import FileState, state_of

Fence = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Retention:
    """What is kept of rotated logs: what was written since `since`, in `room_bytes` at most."""

    since: datetime
    room_bytes: int


def rotated(path: Path) -> list[Path]:
    """Return the rotated files of the log `path`, the one written last at the end."""
    found = []
    for each in path.parent.glob(f"{path.name}.*"):
        try:
            found.append((each.stat().st_mtime_ns, each))
        except FileNotFoundError:
            continue  # dropped or renamed since it was listed
    return [each for _, each in sorted(found)]


def rotate(path: Path, now: datetime, fence: Fence | None = None) -> Path:
    """Rename the log to a number that no log had before, and return the new path.

    The number is the time (`access.log.20260102030405678901`), so it does not come again when the
    others are gone; and it is above theirs, also when the clock was set back.
    Envoy writes on into the renamed file until it is told to reopen its logs; both are read.
    Raises Invalid when there is no log.
    """
    numbers = [
        int(name.suffix[1:])
        for name in path.parent.glob(f"{path.name}.*")
        if name.suffix[1:].isdigit()
    ]
    number = max([int(now.strftime("%Y%m%d%H%M%S%f")), *(each + 1 for each in numbers)])
    target = path.with_name(f"{path.name}.{number}")
    if fence is not None:
        fence()
    try:
        os.rename(path, target)
    except FileNotFoundError as err:
        raise Invalid(f"there is no log `{path.name}` to rotate") from err
    return target


def drop(
    path: Path, finished: Mapping[Path, FileState], kept: Retention, fence: Fence | None = None
) -> list[Path]:
    """Remove rotated files of the log `path`, the oldest first, and return them.

    Only those that are as they were when they were `finished`: read to their end. Those not read
    yet count for the room, as they take it.
    """
    sizes = {each: each.stat() for each in rotated(path)}
    total = sum(seen.st_size for seen in sizes.values())
    dropped = []
    for each, seen in sizes.items():
        if each not in finished:
            continue
        if seen.st_mtime < kept.since.timestamp() or total > kept.room_bytes:
            if fence is not None:
                fence()
            if not _is_still(each, finished[each]):
                continue
            each.unlink()
            total -= seen.st_size
            dropped.append(each)
    return dropped


def _is_still(path: Path, state: FileState) -> bool:
    """Tell whether the name is that file's yet, and nothing was added to it."""
    try:
        return state_of(path.stat()) == state
    except FileNotFoundError:
        return False
