"""Keep every unit of a node as its folder says: start it, adopt it, declare it lost, restart it.

Used by the agent's loop, which calls `tick` when a process ended or a time has come. The folders
are the truth; what stands in memory (who is watched, when to try again) can be lost at any time.
Nothing here blocks.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from plinth.kit.clock import Clock, from_text, to_text
from plinth.kit.errors import Conflict, Permanent, PlinthError, Temporary
from plinth.units import logs, processes, view
from plinth.units.beginning import Beginning
from plinth.units.folder import UnitFolder, claim, holding, sweep
from plinth.units.lost import ANOTHER_BOOT, SUPERVISOR_KILLED, kill_left, write_lost
from plinth.units.processes import Process
from plinth.units.spec import UnitSpec, UnitState, attempt_of, check_grace, check_id
from plinth.units.supervisor import supervise
from plinth.units.tree import HANDLED
from plinth.units.waiting import HEALTHY_S, LONGEST_WAIT_S, wait_before

log = logging.getLogger(__name__)

_SOON_S = 0.02
# A new agent gives whoever started it this long to bring a newer spec of what must always run.
_NEWS_S = 2.0
# Without a descriptor to wait on (macOS), an adopted supervisor is looked at this often.
_LOOK_S = 1.0


@dataclass
class _Unit:
    """What the agent remembers of one unit while it lives."""

    folder: UnitFolder
    spec: UnitSpec
    supervisor: Process | None = None
    descriptor: int | None = None
    is_child: bool = False
    is_told: bool = False
    was_seen_alive: bool = False
    fruitless: int = 0
    ended: UnitState | None = None
    not_before: float = 0.0
    due_at: float | None = field(default=0.0)


@dataclass(frozen=True)
class Watching:
    """How the loop is told which descriptors become readable when a supervisor ends."""

    begin: Callable[[int], None]
    end: Callable[[int], None]


class Keeper:
    """All units of one node. One keeper at a time may exist for a folder of units."""

    def __init__(self, units: Path, level: int, clock: Clock, watching: Watching) -> None:
        """Read the folders below `units`; `level` is the isolation given to confined units."""
        self._root = units
        self._level = level
        self._clock = clock
        self._watching = watching
        self._boot = processes.boot_id()
        self._units: dict[str, _Unit] = {}
        self._leaving: list[str] | None = None
        sweep(units)
        for path in sorted(units.iterdir()):
            self._load(path)

    # What clients ask for.

    def start(self, spec: UnitSpec) -> UnitState:
        """Accept a unit and begin it; idempotent. Raises Permanent, Conflict or Temporary.

        A unit that was accepted before is returned as it is, ended or not. Only a unit that is
        always restarted takes the new spec, for when it starts next; one that was stopped or
        does not live begins with it now.
        """
        self._check(spec)
        known = self._units.get(spec.id)
        if known is not None:
            self._revive(known, spec)
        elif claim(self._root, spec):
            log.info("unit %s accepted", spec.id)
            self._units[spec.id] = _Unit(UnitFolder(self._root / spec.id), spec)
        else:
            raise Conflict(
                f"the folder of unit `{spec.id}` is there and cannot be read",
                hint=f"see what is in `{self._root / spec.id}`, then remove it",
            )
        self._settle_due()
        return self.observe([spec.id])[0]

    def stop(self, unit: str, grace_s: float) -> None:
        """Have a unit stop; a unit that is not there, or ended, is success."""
        known = self._units.get(check_id(unit))
        if known is None or self._has_ended_for_good(known):
            return
        wish = {"grace_s": check_grace(grace_s), "at": to_text(self._clock.now())}
        known.folder.write_stop_wish(wish)
        known.is_told = False
        known.due_at = 0.0
        self._settle_due()

    def observe(self, units: Sequence[str] | None, *, memory: bool = False) -> list[UnitState]:
        """Return the state of the units that are known, in the order they were accepted.

        `memory`: measure it too, a few milliseconds for each process.
        """
        chosen = list(self._units) if units is None else [u for u in units if u in self._units]
        if units is None:
            chosen.sort(key=lambda unit: self._units[unit].folder.accepted_ns())
        states = [self._state(self._units[unit]) for unit in chosen]
        if not memory:
            return states
        return view.with_memory(states, [self._units[unit].folder for unit in chosen])

    def forget(self, unit: str) -> None:
        """Remove what is known of an ended unit. Raises Conflict while it may run."""
        known = self._units.get(check_id(unit))
        if known is None:
            return
        if not self._has_ended_for_good(known):
            raise Conflict(f"unit `{unit}` has not ended", hint="stop it first")
        # Its supervisor may still hold the lock, but writes nothing after the end.
        known.folder.remove()
        self._unwatch(known)
        del self._units[unit]

    def leave(self) -> None:
        """Begin to stop every unit: jobs at once, then the system's, the last started first."""
        order = [state.id for state in self.observe(None)]
        jobs = [unit for unit in order if self._units[unit].spec.restart == "never"]
        for unit in jobs:
            self.stop(unit, self._units[unit].spec.grace_s)
        self._leaving = [unit for unit in order if unit not in jobs]
        log.info("stopping %d units", len(order))

    @property
    def has_left(self) -> bool:
        """Tell whether `leave` was called and no unit is left."""
        return self._leaving == [] and not self._is_any_alive()

    # What the loop calls.

    def next_in_s(self) -> float | None:
        """Return the seconds until `tick` has something to do; None: only after an event."""
        times = [u.due_at for u in self._units.values() if u.due_at is not None]
        return max(0.0, min(times) - self._clock.monotonic()) if times else None

    def reap(self) -> None:
        """Collect the supervisors of this process that ended."""
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        for unit in self._units.values():
            if unit.supervisor is not None and not processes.is_alive(unit.supervisor):
                self._unwatch(unit)
                unit.due_at = 0.0

    def tick(self) -> None:
        """Settle every unit whose time has come, and go on with leaving."""
        self._settle_due()
        while self._leaving and not self._is_any_alive(besides=self._leaving):
            unit = self._leaving.pop()
            self.stop(unit, self._units[unit].spec.grace_s)

    def _settle_due(self) -> None:
        now = self._clock.monotonic()
        for name, unit in list(self._units.items()):
            if unit.due_at is not None and unit.due_at <= now:
                try:
                    self._settle(name, unit)
                except OSError as err:
                    # A full disk, no more processes: the folder still says what is to be done.
                    log.warning("unit %s: %s", name, err)
                    unit.due_at = now + LONGEST_WAIT_S

    def trim_logs(self) -> None:
        """Give the oldest part of large logs back to the disk."""
        for name, unit in self._units.items():
            try:
                logs.trim(unit.folder.log)
            except OSError as err:
                log.warning("unit %s: its log cannot be trimmed: %s", name, err)

    # How one unit is settled.

    def _settle(self, name: str, unit: _Unit) -> None:
        unit.due_at = None
        if unit.supervisor is not None and processes.is_alive(unit.supervisor):
            self._attend(unit)
            return
        self._unwatch(unit)
        begin = False
        with holding(unit.folder) as is_free:
            if is_free:
                begin = self._settle_idle(name, unit)
        if not unit.folder.path.exists():
            log.warning("unit %s: somebody removed its folder", name)
            del self._units[name]
        elif not is_free:
            self._adopt(name, unit)
        elif begin:
            self._begin(unit)

    def _attend(self, unit: _Unit) -> None:
        """Pass on a wish to stop to a living supervisor."""
        if unit.folder.stop_wish() is not None and not unit.is_told:
            assert unit.supervisor is not None
            unit.is_told = processes.send(unit.supervisor, signal.SIGTERM)
        if unit.descriptor is None and not unit.is_child:
            self._later(unit, _LOOK_S)

    def _adopt(self, name: str, unit: _Unit) -> None:
        """Watch a supervisor that another agent began."""
        identity = unit.folder.identity()
        if identity is not None and identity["boot_id"] == self._boot:
            supervisor = Process(**identity["supervisor"])
            descriptor = processes.watch(supervisor)
            if descriptor is not None or processes.is_alive(supervisor):
                log.info("unit %s adopted, supervisor %d", name, supervisor.pid)
                self._watch(unit, supervisor, descriptor)
                unit.is_child = False
                self._attend(unit)
                return
        # It holds the lock and has not written who it is, or is just ending.
        self._later(unit, _SOON_S)

    def _settle_idle(self, name: str, unit: _Unit) -> bool:
        """Decide, while holding the lock, what a unit without supervisor needs; True: begin it."""
        folder = unit.folder
        ended = folder.exit()
        if ended is not None:
            return self._settle_ended(unit, ended)
        identity = folder.identity()
        if identity is not None:
            if self._clear(unit, identity):
                self._write_lost(name, unit, identity)
                self._later(unit, 0.0)
            else:
                self._later(unit, _SOON_S)
            return False
        if folder.stop_wish() is not None:
            folder.write_exit(self._ending("stopped before it began", stopped=True))
            return False
        return self._leaving is None

    def _settle_ended(self, unit: _Unit, ended: dict[str, Any]) -> bool:
        if self._has_ended_for_good(unit) or self._leaving is not None:
            return False
        failures = 0 if _lasted_s(ended) >= HEALTHY_S else self._failures(unit) + 1
        due = from_text(ended["ended_at"]) + timedelta(seconds=wait_before(failures))
        wait = (due - self._clock.now()).total_seconds()
        # A wall clock that was set back must not hold a unit back with it.
        if 0 < wait <= LONGEST_WAIT_S:
            self._later(unit, wait)
            return False
        unit.folder.archive(failures)
        return True

    def _begin(self, unit: _Unit) -> None:
        now = self._clock.monotonic()
        if now < unit.not_before:
            self._later(unit, unit.not_before - now)
            return
        # A supervisor that ends before it wrote anything is not begun in a hurry again.
        unit.not_before = now + wait_before(unit.fruitless)
        unit.fruitless += 1
        signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)
        try:
            pid = os.fork()
            if pid == 0:
                supervise(unit.folder.path, self._level)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)
        supervisor = processes.identify(pid)
        self._watch(unit, supervisor, processes.watch(supervisor))
        unit.is_child = True
        if not processes.is_alive(supervisor):
            # Its end came before there was something to notice it by.
            self._later(unit, _SOON_S)

    def _clear(self, unit: _Unit, identity: dict[str, Any]) -> bool:
        """Kill what a killed supervisor left; True when nothing is left."""
        if identity["boot_id"] != self._boot:
            return True
        was_any_left = kill_left(unit.folder, identity)
        unit.was_seen_alive = unit.was_seen_alive or was_any_left
        return not was_any_left

    def _write_lost(self, name: str, unit: _Unit, identity: dict[str, Any]) -> None:
        reason = SUPERVISOR_KILLED if identity["boot_id"] == self._boot else ANOTHER_BOOT
        log.warning("unit %s is lost: %s", name, reason)
        beginning = Beginning.of(identity, self._boot)
        ended_at = beginning.until_now() if beginning else self._clock.now()
        if not unit.was_seen_alive:
            # Nobody is charged for the time in which this node was down.
            ended_at = min(unit.folder.last_sign(), ended_at)
        write_lost(unit.folder, identity, reason, ended_at)

    def _ending(self, reason: str, *, stopped: bool = False) -> dict[str, Any]:
        ended_at = to_text(self._clock.now())
        ending = {"phase": "exited", "code": None, "signal": None, "stopped": stopped}
        return {**ending, "reason": reason, "started_at": None, "ended_at": ended_at}

    # Small questions.

    def _check(self, spec: UnitSpec) -> None:
        if self._leaving is not None:
            raise Temporary("this node is being stopped", retry_after_s=5.0)
        wanted = spec.confinement.minimum_level if spec.confinement else None
        if wanted is not None and wanted > self._level:
            raise Permanent(
                f"unit `{spec.id}` needs isolation level {wanted}; this node offers {self._level}",
                hint="lower `requirements.isolation`, or choose another platform",
            )
        attempt = attempt_of(spec.id)
        if attempt is None:
            return
        later = [a for a in map(attempt_of, self._units) if a and a[0] == attempt[0]]
        highest = max((number for _, number in later), default=attempt[1])
        if highest > attempt[1]:
            raise Conflict(
                f"attempt {attempt[1]} of `{attempt[0]}` is over: attempt {highest} was started"
            )

    def _revive(self, unit: _Unit, spec: UnitSpec) -> None:
        if spec.restart != "always" or unit.spec.restart != "always":
            return
        if unit.folder.stop_wish() is None:
            self._update(unit, spec)
            return
        if unit.folder.exit() is None:
            raise Temporary(f"unit `{spec.id}` is still stopping")
        unit.folder.renew(spec)
        unit.spec, unit.ended, unit.fruitless, unit.due_at = spec, None, 0, 0.0

    def _update(self, unit: _Unit, spec: UnitSpec) -> None:
        if spec != unit.spec:
            unit.folder.write_spec(spec)
            unit.spec = spec
        if unit.supervisor is None and not unit.fruitless:
            unit.not_before, unit.due_at = 0.0, 0.0

    def _load(self, path: Path) -> None:
        try:
            folder = UnitFolder(path)
            unit = _Unit(folder, folder.spec())
            if unit.spec.restart == "always":
                unit.not_before = self._clock.monotonic() + _NEWS_S
            self._units[path.name] = unit
        except (OSError, ValueError, PlinthError) as err:
            log.error("unit folder %s cannot be read: %s", path.name, err)

    def _state(self, unit: _Unit) -> UnitState:
        # A node keeps many ended units, which never change again.
        if unit.ended is not None:
            return unit.ended
        may_restart = self._may_restart(unit)
        state = view.state_of(unit.spec, unit.folder, may_restart=may_restart)
        if state.phase in ("exited", "lost"):
            unit.ended = state
        return state

    def _may_restart(self, unit: _Unit) -> bool:
        return unit.spec.restart == "always" and unit.folder.stop_wish() is None

    def _has_ended_for_good(self, unit: _Unit) -> bool:
        return self._state(unit).phase in ("exited", "lost")

    def _is_any_alive(self, besides: Sequence[str] = ()) -> bool:
        return any(
            name not in besides and not self._has_ended_for_good(unit)
            for name, unit in self._units.items()
        )

    def _failures(self, unit: _Unit) -> int:
        return int((unit.folder.previous() or {}).get("failures", 0))

    def _later(self, unit: _Unit, wait_s: float) -> None:
        unit.due_at = self._clock.monotonic() + wait_s

    def _watch(self, unit: _Unit, supervisor: Process, descriptor: int | None) -> None:
        unit.supervisor, unit.descriptor, unit.is_told = supervisor, descriptor, False
        unit.was_seen_alive = True
        if descriptor is not None:
            self._watching.begin(descriptor)

    def _unwatch(self, unit: _Unit) -> None:
        if unit.descriptor is not None:
            self._watching.end(unit.descriptor)
            os.close(unit.descriptor)
        if unit.folder.identity() is not None or unit.folder.exit() is not None:
            unit.fruitless = 0
        unit.supervisor = unit.descriptor = None


def _lasted_s(ended: dict[str, Any]) -> float:
    if ended.get("started_at") is None:
        return 0.0
    return (from_text(ended["ended_at"]) - from_text(ended["started_at"])).total_seconds()
