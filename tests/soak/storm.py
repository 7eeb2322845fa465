"""A storm of random kills over jobs and endpoints, drawn from a seed, and what must hold after it.

`make soak` runs a long one, tests/journeys/test_kill_storm.py a short one.
"""

from __future__ import annotations

import random
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from plinth.kit.errors import PlinthError, Temporary
from plinth.units.client import AgentClient
from tests.journeys.kill_matrix import (
    UNIT_OF,
    Life,
    bring_back,
    charged_s,
    moment,
    pid_of,
    revive,
    strays,
    wait_until_tidy,
)
from tests.journeys.kill_points import AGENT, CONTROL, ENVOY, JOB, MLFLOW, SERVER, SUPERVISOR
from tests.journeys.kill_stage import Served
from tests.journeys.plinth_node import FINAL, Json, Plinth, infer, is_alive, kill, wait_for

GUARD = "guard"
# How often each is killed beside the others. MLflow takes seconds to start, and jobs wait for it.
WEIGHTS = {
    CONTROL: 4,
    AGENT: 3,
    ENVOY: 3,
    MLFLOW: 1,
    SUPERVISOR: 8,
    JOB: 8,
    SERVER: 4,
    GUARD: 2,
}
KILLED = ("its supervisor was killed", "ended by SIGKILL")
# How far apart two kills are at most.
LONGEST_PAUSE_S = 1.5
AT_ONCE = 8
# A job that is asked to stop instead of being left alone: one in so many.
STOPPED_ONE_IN = 8


@dataclass(frozen=True)
class Size:
    """How large a storm is. `job_s`: how long a job runs at least and at most."""

    kills: int
    jobs: int
    endpoints: int
    job_s: tuple[float, float] = (1.0, 20.0)


@dataclass
class Storm:
    """One storm. `say` gets a line now and then; `converged_s`: until all must be well after it."""

    served: Served
    size: Size
    seed: int
    say: Callable[[str], object] = print
    converged_s: float = 10.0
    jobs: dict[str, int] = field(default_factory=dict)
    asked_to_stop: set[str] = field(default_factory=set)
    killed: Counter[str] = field(default_factory=Counter)
    blows: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._endpoints = [f"e{number}" for number in range(self.size.endpoints)]

    @property
    def plinth(self) -> Plinth:
        return self.served.plinth

    def rage(self) -> None:
        """Serve, submit, kill; then check everything."""
        began = time.monotonic()
        runs = {name: self.served.apply(name, "go", grace=5) for name in self._endpoints}
        for name, run in runs.items():
            self.served.wait_until_serving(name, run)
        self.say(f"seed {self.seed}: {len(runs)} endpoints serve")
        told = 0
        while self.killed.total() < self.size.kills:
            self._submit_some()
            self._strike()
            if self.killed.total() // 10 > told:
                told = self.killed.total() // 10
                self.say(self._progress(time.monotonic() - began))
        self.say(f"{self.killed.total()} kills; converged after {self._converge():.1f} s")
        assert len(self.jobs) == self.size.jobs
        self._check_jobs()
        self._check_endpoints(runs)
        self.say(f"all is well after {time.monotonic() - began:.0f} s: {dict(self.killed)}")

    # -- while it rages ------------------------------------------------------------------------

    def _submit_some(self) -> None:
        """Submit jobs so that all are there before the last kill, and few run at once."""
        due = 1 + (self.killed.total() + 1) * self.size.jobs // self.size.kills
        while len(self.jobs) < min(due, self.size.jobs) and len(self._active()) < AT_ONCE:
            attempts = self._random.randint(1, 4)
            seconds = self._random.uniform(*self.size.job_s)
            name = f"j{len(self.jobs)}"
            run = self.plinth.submit(
                name, "python", "witness.py", f"{seconds:.1f}", attempts=attempts, grace=2
            )
            self.jobs[run] = attempts
            if self._random.randrange(STOPPED_ONE_IN) == 0:
                self.plinth.client.stop_run(run)
                self.asked_to_stop.add(run)

    def _active(self) -> list[Json]:
        return list(self.plinth.client.runs(kind="job", active=True))

    def _strike(self) -> None:
        time.sleep(self._random.uniform(0.0, LONGEST_PAUSE_S))
        victims = self._random.choices(list(WEIGHTS), list(WEIGHTS.values()), k=2)
        # One in five times two at the same moment.
        chosen = victims if self._random.random() < 0.2 else victims[:1]
        found = {victim: self._find(victim) for victim in dict.fromkeys(chosen)}
        for victim, pid in found.items():
            if pid is not None and is_alive(pid):
                kill(pid)
                self.killed[victim] += 1
        if found.get(AGENT) is not None:
            # A person, or an init, is not there at once.
            time.sleep(self._random.uniform(0.0, 1.0))
            wait_for(lambda: not is_alive(found[AGENT] or 0), "the end of the agent")
            revive(self.plinth)
        for victim in (ENVOY, CONTROL):
            pid = found.get(victim)
            if pid is not None:
                bring_back(self.plinth, victim, pid)

    def _find(self, victim: str) -> int | None:
        """Return the process to kill, None when there is none now; asks no control plane."""
        try:
            if victim in (AGENT, *UNIT_OF):
                return pid_of(self.plinth, victim)
            units = self._units(serving=victim == SERVER, job=victim == JOB)
            if not units:
                return None
            unit = self._random.choice(units)
            who = {SUPERVISOR: "supervisor", GUARD: "guard"}.get(victim, "child")
            pid = self.plinth.pid_of(unit, who)
        except (FileNotFoundError, Temporary):
            return None
        if victim != GUARD:
            self.blows[unit] += 1
        return pid

    def _units(self, *, serving: bool, job: bool) -> list[str]:
        """Return the replicas that run: of jobs, of deployments, or all."""
        states = AgentClient(self.plinth.home.socket("agent")).observe()
        replicas = [s.id for s in states if s.phase == "running" and s.id.count(".") == 2]
        if not (serving or job):
            return sorted(replicas)
        return sorted(unit for unit in replicas if (unit.partition(".")[0] in self.jobs) == job)

    def _progress(self, seconds: float) -> str:
        ended, kills = len(self.jobs) - len(self._active()), self.killed.total()
        return f"{seconds:5.0f} s: {kills} kills, {ended} of {len(self.jobs)} jobs have ended"

    # -- after it ------------------------------------------------------------------------------

    def _converge(self) -> float:
        """Wait until all is as the rows say; return the seconds that took."""
        began = time.monotonic()
        within_s = self.converged_s
        wait_for(self._is_well, "everything being well", within_s=within_s)
        for name in self._endpoints:
            with self.plinth.http(self.served.key) as client:
                wait_for(lambda c=client, n=name: _answers(c, n), f"an answer of {name}")
        took = time.monotonic() - began
        assert took <= within_s, f"{took:.1f} s"
        wait_until_tidy(self.plinth)
        return took

    def _is_well(self) -> bool:
        """Tell whether everybody answers, and the rows of runs say what their units show."""
        try:
            status = self.plinth.client.status()
            phases = {unit["id"]: unit["phase"] for unit in status["units"]}
            if not (status["node"] and status["gateway"]["ready"]):
                return False
            for run in self._active():
                for attempt in self.plinth.client.run(run["id"])["attempts"][-1:]:
                    unit = f"{run['id']}.{attempt['replica']}.{attempt['number']}"
                    is_final = attempt["phase"] in FINAL
                    if is_final != (phases.get(unit, "starting") in ("exited", "lost")):
                        return False
        except PlinthError:
            return False
        return not strays(self.plinth.home)

    def _check_jobs(self) -> None:
        for run_id, attempts in self.jobs.items():
            run = self.plinth.ended(run_id)
            wait_for(lambda r=run: self._is_charged(r["id"]), f"the usage of {run_id}")
            Life(self.plinth, run).check()
            self._check_end(run, attempts)
        phases = Counter(self.plinth.client.run(run)["phase"] for run in self.jobs)
        self.say(f"{len(self.jobs)} jobs ended once each: {dict(phases)}")

    def _check_end(self, run: Json, allowed: int) -> None:
        """Check that a job ended as its kills and its attempts say."""
        attempts = sorted(run["attempts"], key=lambda each: each["number"])
        failed = [a for a in attempts if a["phase"] == "failed"]
        assert all(a["reason"] in KILLED for a in failed), attempts
        for attempt in failed:
            assert self.blows[f"{run['id']}.0.{attempt['number']}"], ("nobody killed it", attempt)
        assert len(attempts) <= allowed, attempts
        if run["phase"] == "stopped":
            assert run["id"] in self.asked_to_stop
        elif run["phase"] == "failed":
            assert len(failed) == len(attempts) == allowed, attempts
        else:
            assert [a["phase"] for a in attempts][-1] == "succeeded", attempts
            assert len(failed) == len(attempts) - 1, attempts

    def _check_endpoints(self, runs: dict[str, str]) -> None:
        for name in self._endpoints:
            self.plinth.client.stop_endpoint(name)
        for name, run in runs.items():
            self.plinth.ended(run)
            wait_for(lambda r=run: self._is_charged(r), f"the usage of {name}")
            spans = self._spans(run)
            ends = [end for _, end in spans]
            begins = [begin for begin, _ in spans]
            assert all(e <= b for e, b in zip(ends, begins[1:], strict=False)), spans
            self.say(f"{name}: {len(spans)} attempts, {self._run_time_s(run):.1f} s charged")
        wait_until_tidy(self.plinth)

    def _is_charged(self, run: str) -> bool:
        return abs(charged_s(self.plinth, run) - self._run_time_s(run)) < 1e-5

    def _run_time_s(self, run: str) -> float:
        return sum(end - begin for begin, end in self._spans(run))

    def _spans(self, run: str) -> list[tuple[float, float]]:
        """Return when each attempt ran, from the rows: the API shows the newest only."""
        query = "select started_at, ended_at from attempt where run = ? order by number"
        return [
            (moment(f"{begin}+00:00"), moment(f"{end}+00:00"))
            for begin, end in _select(self.plinth.home.database, query, (run,))
            if begin is not None
        ]


def _select(path: Path, query: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return list(connection.execute(query, values))


def _answers(client: Any, name: str) -> bool:
    return bool(infer(client, name, 2.0).status_code == 200)
