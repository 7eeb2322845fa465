"""Find, name and signal processes so that a reused number is never mistaken for the old one.

Used by the supervisor for its own tree and by the agent for what a killed supervisor left. Reads
/proc; where there is none (macOS) only process groups and plain existence are known.
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from plinth.units.kernel import IS_LINUX

# The variable that marks every process of a unit; its value is the unit's folder.
MARKER = "PLINTH_UNIT"

_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Process:
    """A process: its number and its start, in clock ticks since boot (0 where unknown)."""

    pid: int
    ticks: int

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class _Stat:
    state: str
    parent: int
    session: int
    ticks: int


@functools.cache
def boot_id() -> str:
    """Return what changes when the machine starts anew."""
    if not IS_LINUX:
        return "unknown"
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def identify(pid: int) -> Process:
    """Name the process that has the number `pid` now."""
    seen = _stat(pid)
    return Process(pid, seen.ticks if seen else 0)


def is_alive(process: Process) -> bool:
    """Tell whether it still runs; one that ended and waits to be reaped does not."""
    if not IS_LINUX:
        try:
            os.kill(process.pid, 0)
        except OSError:
            return False
        return True
    seen = _stat(process.pid)
    return seen is not None and seen.ticks == process.ticks and seen.state not in "ZX"


def watch(process: Process) -> int | None:
    """Return a descriptor that becomes readable when the process ends; None if it cannot be."""
    if not hasattr(os, "pidfd_open"):
        return None
    try:
        descriptor = os.pidfd_open(process.pid)
    except OSError:
        return None
    if is_alive(process):
        return descriptor
    os.close(descriptor)
    return None


def send(process: Process, number: int) -> bool:
    """Signal exactly this process; tell whether it was there."""
    if not hasattr(os, "pidfd_open"):
        try:
            os.kill(process.pid, number)
        except OSError:
            return False
        return True
    descriptor = watch(process)
    if descriptor is None:
        return False
    try:
        signal.pidfd_send_signal(descriptor, number)
    except ProcessLookupError:
        return False
    finally:
        os.close(descriptor)
    return True


def descendants(root: int) -> list[Process]:
    """Return all living children, grandchildren ... of `root`, without itself."""
    return trees([root])[root]


def trees(roots: Iterable[int]) -> dict[int, list[Process]]:
    """Return the living descendants of each root, from one look at the machine."""
    return _trees(roots, _table())


def _trees(roots: Iterable[int], table: dict[int, _Stat]) -> dict[int, list[Process]]:
    children: dict[int, list[int]] = {}
    for pid, seen in table.items():
        children.setdefault(seen.parent, []).append(pid)
    return {root: _below(root, children, table) for root in roots}


def _below(root: int, children: dict[int, list[int]], table: dict[int, _Stat]) -> list[Process]:
    found: list[Process] = []
    todo = [root]
    while todo:
        for pid in children.get(todo.pop(), ()):
            todo.append(pid)
            if table[pid].state not in "ZX":
                found.append(Process(pid, table[pid].ticks))
    return found


def left_behind(main: Process, mark: str) -> list[Process]:
    """Return living processes of the session of `main` or with the mark, and their descendants.

    Only for units whose supervisor is gone: it reads the environment of every process it may.
    """
    table = _table()
    leader = table.get(main.pid)
    # A number is not given anew while a session has it: another leader means nobody is left.
    session = main.pid if leader is None or leader.ticks == main.ticks else None
    wanted = f"{MARKER}={mark}".encode()
    found = {
        pid: Process(pid, seen.ticks)
        for pid, seen in table.items()
        if pid != os.getpid()
        and seen.state not in "ZX"
        and (seen.session == session or wanted in _environment(pid))
    }
    for tree in _trees(list(found), table).values():
        found.update((process.pid, process) for process in tree)
    return list(found.values())


def memory_of(pids: Iterable[int]) -> int:
    """Return the bytes of memory that the processes use: Pss, or where it is hidden, RSS."""
    return sum(_memory(pid) for pid in pids)


def _memory(pid: int) -> int:
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in (_PROC / str(pid) / "smaps_rollup").read_bytes().splitlines():
            if line.startswith(b"Pss:"):
                return int(line.split()[1]) * 1024
    with contextlib.suppress(OSError, ValueError, IndexError):
        pages = int((_PROC / str(pid) / "statm").read_bytes().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    return 0


def _environment(pid: int) -> list[bytes]:
    try:
        return (_PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return []


def _stat(pid: int) -> _Stat | None:
    try:
        text = (_PROC / str(pid) / "stat").read_bytes()
    except OSError:
        return None
    # The command's name stands in brackets and may itself hold spaces and brackets.
    words = text[text.rindex(b")") + 2 :].split()
    return _Stat(words[0].decode(), int(words[1]), int(words[3]), int(words[19]))


def _table() -> dict[int, _Stat]:
    if not IS_LINUX:
        return {}
    pids = (int(name) for name in os.listdir(_PROC) if name.isdigit())
    return {pid: seen for pid in pids if (seen := _stat(pid)) is not None}
