"""Kill parts of a running Plinth at named points, and check that nothing is lost or doubled.

Used by the kill journeys. A subject is something held at a point (see kill_points); who is shared
by all is killed once for all subjects that are held at that moment.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from plinth.kit.errors import PlinthError, Temporary
from plinth.kit.home import Home
from plinth.metering.ledger import Ledger
from plinth.tracking.mlflow import Tracking
from plinth.units import processes
from plinth.units.client import AgentClient
from plinth.units.processes import Process
from tests.journeys.kill_points import AGENT, CONTROL, ENVOY, MLFLOW, VICTIMS, Point
from tests.journeys.plinth_node import FINAL, Json, Plinth, is_alive, kill, wait_for

UNIT_OF = {CONTROL: "control", MLFLOW: "mlflow", ENVOY: "envoy"}
# A process that was killed may have written its last beat this long before its end was written.
SLACK_S = 5.0
# What is promised on a machine that does nothing else; other tests share its processors here.
CONVERGED_S = 10.0
PATIENCE_S = 60.0


@dataclass
class Subject:
    """A run that is held at a point: how it stands, and the processes of its unit, if it has any.

    `endpoint`: the endpoint that the point belongs to, and the reason it has there.
    """

    points: tuple[Point, ...]
    run: str
    phase: str
    reason: str | None = None
    unit: str | None = None
    endpoint: tuple[str, str] | None = None

    def stands(self, plinth: Plinth) -> bool:
        """Tell whether the API says that it is at its point."""
        try:
            run = plinth.client.run(self.run)
            if run["phase"] != self.phase or self.reason not in (None, run["reason"]):
                return False
            if self.endpoint is None:
                return True
            name, reason = self.endpoint
            return bool(plinth.client.endpoint(name)["reason"] == reason)
        except PlinthError:
            return False

    def processes(self, plinth: Plinth) -> Json | None:
        """Return who runs it."""
        return plinth.identity(self.unit) if self.unit is not None else None


@dataclass
class Matrix:
    """The cells that were tried, and how long each took until all was well again."""

    plinth: Plinth
    cells: dict[tuple[Point, str], float] = field(default_factory=dict)

    def kill_shared(
        self,
        victim: str,
        subjects: Sequence[Subject],
        just_before: Callable[[], object] = int,
        *,
        waits: bool = True,
    ) -> None:
        """Kill a part that all share; the subjects stay where they are, undisturbed.

        `just_before` is called as the last thing before the kill. `waits`: until it is back.
        """
        plinth = self.plinth
        for subject in subjects:
            wait_for(lambda s=subject: s.stands(plinth), f"{subject} at its point")
        before = [subject.processes(plinth) for subject in subjects]
        with self.timed(victim, *(point for s in subjects for point in s.points)):
            old = pid_of(plinth, victim)
            just_before()
            kill(old)
            if waits:
                bring_back(plinth, victim, old)
            for subject in subjects:
                what = f"{subject} after the kill of {victim}"
                wait_for(lambda s=subject: s.stands(plinth), what, within_s=PATIENCE_S)
            wait_until_tidy(plinth)
        assert [subject.processes(plinth) for subject in subjects] == before

    @contextmanager
    def timed(self, victim: str, *points: Point) -> Iterator[None]:
        """Note the cells of a block, with the seconds it took."""
        started = time.monotonic()
        yield
        for point in points:
            assert victim in point.victims, f"{point} has no {victim}"
            self.cells[point, victim] = time.monotonic() - started

    def missing(self, points: Sequence[Point]) -> list[str]:
        """Return the cells that exist and were not tried."""
        wanted = [(point, victim) for point in points for victim in point.victims]
        return [
            f"{point} x {victim}" for point, victim in wanted if (point, victim) not in self.cells
        ]

    def table(self, points: Sequence[Point]) -> str:
        """Return the matrix: seconds, or `-` where there is nobody to kill."""
        width = max(len(str(point)) for point in points)
        lines = [" " * width + "".join(f"{victim:>15}" for victim in VICTIMS)]
        for point in points:
            cells = [self.cells.get((point, victim)) for victim in VICTIMS]
            shown = "".join(f"{'-' if s is None else f'{s:.1f} s':>15}" for s in cells)
            lines.append(f"{point!s:<{width}}{shown}")
        return "\n".join(lines)


# -- killing, pausing, and what comes back ------------------------------------------------------


def pid_of(plinth: Plinth, victim: str) -> int:
    """Return the process that is killed for a shared victim; asks no control plane."""
    if victim == AGENT:
        return AgentClient(plinth.home.socket("agent")).ping().pid
    return plinth.pid_of(UNIT_OF[victim])


def bring_back(plinth: Plinth, victim: str, old: int) -> None:
    """Wait until another one is there and answers; the agent is begun anew, as a person would."""
    wait_for(lambda: not is_alive(old), f"the end of {victim}")
    if victim == AGENT:
        revive(plinth)
        return
    wait_for(lambda: _has_other(plinth, victim, old), f"another {victim}")
    wait_for(lambda: answers(plinth, victim), f"an answer of {victim}")


def revive(plinth: Plinth) -> None:
    """Begin an agent, without waiting for anything else."""
    home, port = str(plinth.home.root), str(plinth.port)
    up = [sys.executable, "-m", "plinth.node", "up", "--home", home, "--port", port]
    done = subprocess.run(up, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout


def answers(plinth: Plinth, victim: str) -> bool:
    """Tell whether a part does its work."""
    try:
        if victim == MLFLOW:
            with Tracking(plinth.home.socket("mlflow")) as tracking:
                tracking.ready()
        else:
            plinth.client.version()
    except PlinthError:
        return False
    return True


def _has_other(plinth: Plinth, victim: str, old: int) -> bool:
    try:
        return plinth.pid_of(UNIT_OF[victim]) != old
    except FileNotFoundError:
        return False


@contextmanager
def paused(*pids: int) -> Iterator[None]:
    """Stop processes for a block; those that still live go on after it."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            if is_alive(pid):
                os.kill(pid, signal.SIGCONT)


def tree_of(plinth: Plinth, unit: str) -> list[int]:
    """Return the main process of a unit and all below it."""
    main = plinth.pid_of(unit)
    return [main, *(process.pid for process in processes.descendants(main))]


# -- what must hold at any time -----------------------------------------------------------------


def wait_until_tidy(plinth: Plinth) -> None:
    """Wait until no process of this home runs without a supervisor that answers for it."""
    try:
        wait_for(lambda: not strays(plinth.home), "a tidy home", within_s=CONVERGED_S)
    except AssertionError as err:
        raise AssertionError(f"{err}: {strays(plinth.home)}") from err


def strays(home: Home) -> list[str]:
    """Return the processes of the home that nobody answers for, by command line.

    A process of a unit must descend from the unit's supervisor, and its unit must not have ended.
    A supervisor or guard must be the one that its unit names.
    """
    known, mains = _known(home)
    parents: dict[int, int] = {}
    found = []
    for pid in [int(name) for name in os.listdir("/proc") if name.isdigit()]:
        seen = _look(pid)
        if seen is None:
            continue
        parents[pid] = seen.parent
        if seen.is_own(home) and seen.name in ("plinth-unit", "plinth-guard") and pid not in known:
            found.append((pid, f"{seen.name} {pid} belongs to no unit"))
        mark = seen.mark
        if mark is not None and mark.startswith(f"{home.units}/"):
            unit = mark.removeprefix(f"{home.units}/")
            found.append((pid, f"{pid} of {unit}: {seen.command[:80]}"))
    return [
        text
        for pid, text in found
        if "belongs to no unit" in text or not _descends(pid, parents, set(mains.values()))
    ]


@dataclass(frozen=True)
class _Seen:
    parent: int
    name: str
    command: str
    mark: str | None

    def is_own(self, home: Home) -> bool:
        """Tell whether it was forked by the home's agent."""
        return f"--home {home.root}" in self.command


def _look(pid: int) -> _Seen | None:
    folder = Path("/proc") / str(pid)
    try:
        stat = (folder / "stat").read_text()
        command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        variables = (folder / "environ").read_bytes().split(b"\0")
    except OSError:
        return None
    rest = stat.rpartition(")")[2].split()
    if rest[0] in "ZX":
        return None
    name = stat[stat.index("(") + 1 : stat.rindex(")")]
    marks = [v.decode() for v in variables if v.startswith(f"{processes.MARKER}=".encode())]
    mark = marks[0].partition("=")[2] if marks else None
    return _Seen(int(rest[1]), name, command, mark)


def _known(home: Home) -> tuple[set[int], dict[str, int]]:
    """Return the supervisors and guards of units that have not ended, and each supervisor."""
    known, mains = set(), {}
    for folder in home.units.iterdir():
        try:
            identity = json.loads((folder / "identity.json").read_text())
        except (FileNotFoundError, NotADirectoryError):
            continue
        supervisor = Process(**identity["supervisor"])
        if processes.is_alive(supervisor):
            known |= {supervisor.pid, identity["guard"]["pid"]}
            mains[folder.name] = supervisor.pid
    return known, mains


def _descends(pid: int, parents: dict[int, int], supervisors: set[int]) -> bool:
    while pid > 1:
        pid = parents.get(pid, 0)
        if pid in supervisors:
            return True
    return False


# -- what must hold at the end ------------------------------------------------------------------


@dataclass
class Life:
    """A job of `workloads/witness.py` that has ended: its rows, and what it wrote down itself."""

    plinth: Plinth
    run: Json

    @property
    def work(self) -> Path:
        return self.plinth.home.runs / self.run["id"] / "work"

    def attempts(self) -> list[Json]:
        """Return the attempts' rows, oldest first."""
        found: list[Json] = sorted(self.run["attempts"], key=lambda each: each["number"])
        return found

    def lines(self) -> list[tuple[str, int, float]]:
        """Return what it wrote down: what, which attempt, when."""
        try:
            text = (self.work / "witness").read_text()
        except FileNotFoundError:
            return []
        words = [line.split() for line in text.splitlines()]
        return [(what, int(attempt), float(at)) for what, attempt, at in words]

    def check(self, slack_s: float = SLACK_S) -> None:
        """Check that it ended once, that attempts never overlapped, and that all times agree.

        `slack_s`: how long after its last beat an attempt's end may be written.
        """
        run = self.run
        # That MLflow could not be told is an event of its own.
        phases = [e["phase"] for e in run["events"] if e["reason"] != "NotClosed"]
        assert sum(phases.count(phase) for phase in FINAL) == 1, phases
        seen = self.lines()
        assert not [line for line in seen if line[0] == "overlap"], seen
        starts = [attempt for what, attempt, _ in seen if what == "start"]
        assert starts == sorted(set(starts)), seen
        for attempt in self.attempts():
            times = [at for _, n, at in seen if n == attempt["number"]]
            self._check_times(attempt, times, slack_s)
        ends = [moment(a["ended_at"]) for a in self.attempts() if a["ended_at"]]
        begins = [moment(a["started_at"]) for a in self.attempts() if a["started_at"]]
        assert all(end <= begin for end, begin in zip(ends, begins[1:], strict=False)), run
        assert charged_s(self.plinth, run["id"]) == pytest.approx(run_time_s(run), abs=2e-6)

    def _check_times(self, attempt: Json, seen: list[float], slack_s: float) -> None:
        beat = self.work / f"beat.{attempt['number']}"
        if beat.exists():
            seen = [*seen, float(beat.read_text())]
        if not seen:
            return
        assert attempt["started_at"], attempt
        started, ended = moment(attempt["started_at"]), moment(attempt["ended_at"])
        assert started <= min(seen) <= max(seen) <= ended <= max(seen) + slack_s, (attempt, seen)


def end_of(
    plinth: Plinth, run_id: str, phase: str, attempts: int, *, slack_s: float = SLACK_S
) -> Life:
    """Wait for the end of a witness; check it, and that it is the right one."""
    run = plinth.ended(run_id)
    assert (run["phase"], len(run["attempts"])) == (phase, attempts), (run, plinth.log(run_id))
    wait_for(lambda: _is_charged(plinth, run), f"the usage of {run_id}", within_s=20.0)
    life = Life(plinth, run)
    life.check(slack_s)
    return life


def moment(text: str) -> float:
    """Return a time of the API as seconds."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def run_time_s(run: Json) -> float:
    """Return how long the attempts of a run ran together, as its rows say."""
    return sum(
        moment(each["ended_at"]) - moment(each["started_at"])
        for each in run["attempts"]
        if each["started_at"]
    )


def charged_s(plinth: Plinth, run_id: str) -> float:
    """Return the seconds that the ledger has for a run."""
    ledger = Ledger(plinth.home.ledger)
    try:
        records = ledger.records()
    finally:
        ledger.close()
    return sum(
        float(record.quantity)
        for record in records
        if record.run == run_id and str(record.source).startswith("engine:")
    )


def _is_charged(plinth: Plinth, run: Json) -> bool:
    return abs(charged_s(plinth, run["id"]) - run_time_s(run)) < 2e-6


def touch(plinth: Plinth, run_id: str, name: str = "go") -> None:
    """Let a witness go on."""
    (plinth.home.runs / run_id / "work" / name).touch()


def is_at(plinth: Plinth, run_id: str, phase: str, attempts: int = 1) -> bool:
    """Tell whether a run is in a phase, at that attempt."""
    run = plinth.client.run(run_id)
    return bool(run["phase"] == phase and len(run["attempts"]) == attempts)


def try_often(do: Callable[[], Any], what: str) -> Any:
    """Ask a server that may be away for a moment."""

    def once() -> Any:
        try:
            return do()
        except PlinthError as err:
            if not isinstance(err, Temporary) and err.status < 500:
                raise
            return None

    return wait_for(once, what)
