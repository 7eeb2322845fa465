"""Say what a unit's folder shows: from its files to a UnitState. Changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from plinth.units import processes
from plinth.units.beginning import Beginning
from plinth.units.folder import UnitFolder
from plinth.units.spec import Phase, UnitSpec, UnitState
from plinth.units.worker_times import running_workers


def state_of(spec: UnitSpec, folder: UnitFolder, *, may_restart: bool) -> UnitState:
    """Return the state of a unit. `may_restart`: an ended unit is on its way to start again."""
    # The end is read after the identity: it is written later, so nothing falls between the two.
    identity = folder.identity() or {}
    ended = folder.exit()
    main = identity.get("child", {}).get("pid")
    state = UnitState(
        id=spec.id,
        phase="running" if identity else "starting",
        pid=main,
        started_at=identity.get("started_at"),
        restarts=int((folder.previous() or {}).get("restarts", 0)),
        isolation=identity.get("isolation"),
    )
    if ended is None:
        beginning = Beginning.of(identity, processes.boot_id())
        state = replace(state, age_s=beginning.age_s()) if beginning else state
        return _with_workers(state, folder) if spec.elastic is not None and identity else state
    # One that waits to start again may be stopped after its end, another may not.
    is_called_off = spec.restart == "always" and folder.stop_wish() is not None
    final: Phase = "lost" if ended.get("phase") == "lost" else "exited"
    return replace(
        state,
        phase="starting" if may_restart else final,
        pid=None,
        started_at=ended.get("started_at") or state.started_at,
        ended_at=ended.get("ended_at"),
        exit_code=exit_code(ended),
        stopped=bool(ended.get("stopped")) or is_called_off,
        reason=ended.get("reason"),
    )


def _with_workers(state: UnitState, folder: UnitFolder) -> UnitState:
    running = running_workers(folder.workers)
    return replace(state, workers=len(running), pid=running[0].pid if running else None)


def exit_code(ended: dict[str, Any]) -> int | None:
    """Return the code of an end, 128 + the signal when a signal caused it, None if unknown."""
    if ended.get("signal") is not None:
        return 128 + int(ended["signal"])
    return ended.get("code")


def with_memory(states: Sequence[UnitState], folders: Sequence[UnitFolder]) -> list[UnitState]:
    """Return the states with the memory of each running unit, its supervisor's included."""
    supervisors: list[int | None] = []
    for state, folder in zip(states, folders, strict=True):
        identity = folder.identity() if state.phase == "running" else None
        supervisors.append(identity["supervisor"]["pid"] if identity else None)
    trees = processes.trees([pid for pid in supervisors if pid is not None])
    return [
        state
        if pid is None
        else replace(
            state,
            memory_bytes=processes.memory_of([pid, *(child.pid for child in trees[pid])]),
        )
        for state, pid in zip(states, supervisors, strict=True)
    ]
