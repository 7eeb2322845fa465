"""Clear away what a killed supervisor left, and write down that its unit is lost.

Used by the unit's guard and by the agent: whoever holds the unit's lock speaks for the dead.
"""

from __future__ import annotations

import contextlib
import signal
from datetime import datetime
from pathlib import Path

from plinth.kit.clock import to_text
from plinth.units import processes
from plinth.units.folder import Record, UnitFolder
from plinth.units.processes import Process
from plinth.units.worker_times import running_workers

SUPERVISOR_KILLED = "its supervisor was killed"
ANOTHER_BOOT = "the machine was started anew"

# No process has that number; what carries the unit's mark is still looked for.
_NOBODY = Process(-1, 0)


def kill_left(folder: UnitFolder, identity: Record) -> bool:
    """Kill what the dead supervisor of this boot left; tell whether there was anything.

    Call it again until there was not: what forks meanwhile is met the next time.
    """
    left: set[Process] = set()
    for main in _leaders(folder, identity):
        left.update(processes.left_behind(main, str(folder.path)))
        if processes.is_alive(main):
            left.add(main)
    for process in left:
        processes.send(process, signal.SIGKILL)
    return bool(left)


def _leaders(folder: UnitFolder, identity: Record) -> list[Process]:
    """Return what the supervisor itself had started; of a unit that slept, nobody."""
    if "child" in identity:
        return [Process(**identity["child"])]
    return running_workers(folder.workers) or [_NOBODY]


def write_lost(folder: UnitFolder, identity: Record, reason: str, ended_at: datetime) -> None:
    """Say that the unit is lost since `ended_at`; its socket goes. The caller holds the lock."""
    folder.write_exit(
        {
            "phase": "lost",
            "code": None,
            "signal": None,
            "stopped": False,
            "reason": reason,
            "started_at": identity["started_at"],
            "ended_at": to_text(ended_at),
        }
    )
    socket = folder.spec().socket
    if socket is not None:
        with contextlib.suppress(OSError):
            Path(socket).unlink()
