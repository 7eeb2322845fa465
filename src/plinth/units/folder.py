"""A unit's folder: everything that is known of it, written so that any kill leaves it readable.

The protocol, which holds against kill -9 of anybody at any point:

- The folder appears by one rename, with `spec.json` inside: the unit is accepted.
- `lock` is held by the supervisor for its whole life: held means alive. Whoever speaks for
  a dead supervisor takes the lock first.
- No `identity.json` and no `exit.json`: it never started, and may be started.
- `identity.json` without `exit.json`, lock free: its supervisor was killed; it is lost.
- `exit.draft`: room for `exit.json`, taken before the start, so that a full disk hides no end.
- `exit.json`: it ended. `stop.json`: somebody wants it stopped, so it never starts again.
- `stop.draft`: room for `stop.json`, taken before the unit is accepted: a full disk stops no stop.
- `previous.json`: the run before this one, with how often it was restarted.
- `ends`: how every run before this one ended, a line each, where the unit is always restarted.
- `workers`: when each worker of an elastic unit ran, a line at its start and one at its end.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from plinth.kit.files import read_json, write_json
from plinth.units.ends import note_end, written_at
from plinth.units.spec import UnitSpec

Record = dict[str, Any]

_RECORD_BYTES = 4096


@dataclass(frozen=True, slots=True)
class UnitFolder:
    """The files of one unit. Every file is 0600."""

    path: Path

    @property
    def log(self) -> Path:
        """Standard output and error of the unit, appended."""
        return self.path / "log"

    @property
    def workers(self) -> Path:
        """When each worker of an elastic unit ran (`worker_times.py`)."""
        return self.path / "workers"

    def spec(self) -> UnitSpec:
        """Return what is to run. Raises FileNotFoundError when the folder is gone."""
        content = read_json(self.path / "spec.json")
        if content is None:
            raise FileNotFoundError(self.path / "spec.json")
        return UnitSpec.from_json(content)

    def accepted_ns(self) -> int:
        """Return when the unit was accepted, to put units in the order of their start."""
        return (self.path / "spec.json").stat().st_mtime_ns

    def identity(self) -> Record | None:
        """Return who runs it, if it was started."""
        return self._read("identity.json")

    def exit(self) -> Record | None:
        """Return how it ended, if it did."""
        return self._read("exit.json")

    def stop_wish(self) -> Record | None:
        """Return the wish to stop it, if there is one."""
        return self._read("stop.json")

    def previous(self) -> Record | None:
        """Return the run before this one, with the count of restarts."""
        return self._read("previous.json")

    def write_identity(self, record: Record) -> None:
        """Say who runs it."""
        write_json(self.path / "identity.json", record)

    def last_sign(self) -> datetime:
        """Return the latest time at which a started unit certainly still lived.

        Output, its start, a wish to stop it and what its spec names are signs; how long it lived on
        in silence, nobody knows.
        """
        named = [Path(sign) for sign in self.spec().signs]
        paths = (self.log, self.path / "identity.json", self.path / "stop.json", *named)
        times = [path.stat().st_mtime for path in paths if path.exists()]
        return datetime.fromtimestamp(max(times), UTC)

    def write_spec(self, spec: UnitSpec) -> None:
        """Say what is to run from the next start on."""
        write_json(self.path / "spec.json", spec.to_json())

    def reserve_exit(self) -> None:
        """Take the room on the disk that `write_exit` will need."""
        _fill(self.path / "exit.draft", b"")

    def write_exit(self, record: Record) -> None:
        """Say how it ended, in the room that was kept for it. The caller holds the lock."""
        _fill(self.path / "exit.draft", _to_bytes(record))
        os.replace(self.path / "exit.draft", self.path / "exit.json")

    def write_stop_wish(self, record: Record) -> None:
        """Say that it shall stop, before anybody is told, in the room that was kept for it.

        A wish that is there already is written over in place: it needs no room either.
        """
        wish = self.path / "stop.json"
        if wish.exists():
            _fill(wish, _to_bytes(record))
            return
        _fill(self.path / "stop.draft", _to_bytes(record))
        os.replace(self.path / "stop.draft", wish)

    def archive(self, failures: int) -> None:
        """Make room for the next run of an ended unit, counting it exactly once.

        The caller holds the lock. A kill between the steps leaves `exit.json`, so that the next
        caller comes here again and finds the same end already counted.
        """
        self.note_end()
        ended = self.exit()
        before = self.previous()
        if before is None or before.get("exit") != ended:
            restarts = (before or {}).get("restarts", 0) + 1
            record = {"restarts": restarts, "failures": failures, "exit": ended}
            write_json(self.path / "previous.json", record)
        (self.path / "identity.json").unlink(missing_ok=True)
        (self.path / "exit.json").unlink(missing_ok=True)

    def note_end(self) -> None:
        """Add the end of the run before to `ends`, exactly once; the caller holds the lock."""
        ended = self.exit()
        if ended is not None:
            noticed_at = written_at(self.path / "exit.json")
            note_end(self.path / "ends", self.path.name, ended, noticed_at)

    def renew(self, spec: UnitSpec) -> None:
        """Take a new spec for a unit that was stopped, and let it start again.

        Only for an ended unit. The wish to stop goes last: until then nothing starts.
        """
        self.note_end()
        self.write_spec(spec)
        for name in ("previous.json", "identity.json", "exit.json"):
            (self.path / name).unlink(missing_ok=True)
        # Its room is kept for the next wish.
        os.replace(self.path / "stop.json", self.path / "stop.draft")

    def remove(self) -> None:
        """Remove the folder; a kill on the way leaves a hidden one for `sweep`."""
        hidden = self.path.with_name(f".{self.path.name}.{os.getpid()}.gone")
        os.rename(self.path, hidden)
        shutil.rmtree(hidden)

    def _read(self, name: str) -> Record | None:
        content = read_json(self.path / name)
        return content if isinstance(content, dict) else None


def claim(units: Path, spec: UnitSpec) -> bool:
    """Accept a unit: make its folder whole and give it its name in one step.

    Returns False when a folder of that name is already there, which is then left as it is.
    """
    target = units / spec.id
    if target.exists():
        return False
    draft = units / f".{spec.id}.{os.getpid()}.new"
    shutil.rmtree(draft, ignore_errors=True)
    try:
        draft.mkdir(mode=0o700)
        write_json(draft / "spec.json", spec.to_json())
        _fill(draft / "stop.draft", b"")
        os.close(os.open(draft / "lock", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        os.rename(draft, target)
    except OSError:
        shutil.rmtree(draft, ignore_errors=True)
        # A folder that is not empty is never replaced: another claim was faster.
        if target.exists():
            return False
        raise
    return True


def sweep(units: Path) -> None:
    """Remove what a killed agent left half made or half removed. Only one agent may run."""
    for path in units.iterdir():
        if path.name.startswith(".") and path.suffix in (".new", ".gone"):
            shutil.rmtree(path, ignore_errors=True)


def take_lock(folder: UnitFolder) -> int | None:
    """Take the unit's lock; return its descriptor, or None when it is held or gone.

    Closing the descriptor frees it. The file is compared after locking, because the folder may
    have been removed and made again in between.
    """
    path = folder.path / "lock"
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(descriptor), os.stat(path)):
            return descriptor
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(descriptor)
    return None


@contextlib.contextmanager
def holding(folder: UnitFolder) -> Iterator[bool]:
    """Hold the unit's lock for a block; yield whether it was got."""
    descriptor = take_lock(folder)
    try:
        yield descriptor is not None
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _to_bytes(record: Record) -> bytes:
    return json.dumps(record, separators=(",", ":")).encode()


def _fill(path: Path, content: bytes) -> None:
    # Written over in place and filled with spaces, which JSON allows: it needs no new block.
    whole = content.ljust(_RECORD_BYTES)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(whole)
        stream.flush()
        stream.truncate()
        os.fsync(stream.fileno())
