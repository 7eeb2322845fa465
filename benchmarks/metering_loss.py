"""Measure what the ledger loses and doubles while parts of Plinth are killed.

`python -m benchmarks.metering_loss [--json]`. Serves a model on a Plinth of its own and sends it
requests; each caller writes down the id of every answer. Meanwhile, in an order drawn from the
seed, the control plane, the agent and Envoy are killed with `kill -9` and the access log is
rotated. Then every id is looked up in the ledger. `tests/journeys/test_usage_exact.py` runs the
same and holds its outcome. After that as many requests for tokens are sent and compared with what
the servers of the models counted (`token_loss.py`); `lost` and `doubled` are of both.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import shutil
import signal
import sqlite3
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import token_loss
from benchmarks.machine import cpu_s, free_port, has_ended, processor
from benchmarks.witness import Answered, Asking, Broken, Witness, asking, message
from plinth.domain.usage import Gap
from plinth.gateway.admin import Admin
from plinth.kit.errors import Temporary
from plinth.metering.rotation import rotate
from plinth.units.client import AgentClient
from tests.journeys.plinth_node import Plinth, request, running_plinth, wait_for

ENDPOINT = "scale"
TEAM = "research"
_CONNECTIONS = 4
# The ledger is read from the log once a second.
_SETTLED_S = 3.0


@dataclass(frozen=True)
class Load:
    """How much is asked, and the seed of when what is killed."""

    requests: int = 20_000
    connections: int = _CONNECTIONS
    seed: int = 1


@dataclass
class Outcome:
    """What the callers saw and what the ledger holds.

    `records`: how often each id stands in the ledger. `killed_at`: when Envoy was killed (epoch).
    `ended_at`: when it had ended; until then the kernel took connections for it, which came to
    nothing. `cpu`: seconds by process.
    """

    answered: list[Answered]
    broken: list[Broken]
    away_s: float
    records: Counter[str]
    gaps: list[Gap]
    killed_at: float
    ended_at: float
    cpu: dict[str, float]
    took_s: float

    @property
    def missing(self) -> list[Answered]:
        """The answers of a model whose id is not in the ledger."""
        return [each for each in self.served if not self.records[each.id]]

    @property
    def served(self) -> list[Answered]:
        """The answers of a model."""
        return [each for each in self.answered if each.status == 200]

    @property
    def in_gap(self) -> list[Answered]:
        """What is missing and was on its way within a gap that is reported."""
        return [each for each in self.missing if self._is_in_gap(each)]

    @property
    def lost(self) -> list[Answered]:
        """What is missing and nobody told."""
        return [each for each in self.missing if not self._is_in_gap(each)]

    @property
    def doubled(self) -> list[str]:
        """The ids that stand in the ledger more than once."""
        return [each for each, times in self.records.items() if times > 1]

    @property
    def unanswered(self) -> list[str]:
        """The ids in the ledger that no caller knows: their answers were lost on the way."""
        return list(self.records.keys() - {each.id for each in self.answered})

    def _is_in_gap(self, each: Answered) -> bool:
        return any(
            gap.started_at.timestamp() <= each.came_at and each.sent_at <= gap.ended_at.timestamp()
            for gap in self.gaps
        )


@dataclass
class Scenario:
    """What happens to a running Plinth while it is asked."""

    plinth: Plinth
    load: Load
    killed_at: float = 0.0
    ended_at: float = 0.0
    _spent: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))

    def run(self) -> Outcome:
        """Ask, kill, wait until the ledger has all it gets, and look every id up."""
        witnesses = [Witness(self._asking()) for _ in range(self.load.connections)]
        before, began = self._cpu(), time.monotonic()
        with asking(witnesses, self.load.requests):
            for count, happen in self._events():
                wait_for(partial(_have_sent, witnesses, count), f"{count} requests")
                happen()
        took_s = time.monotonic() - began
        self._settle()
        return Outcome(
            answered=[answer for each in witnesses for answer in each.answered],
            broken=[one for each in witnesses for one in each.broken],
            away_s=max(each.away_s for each in witnesses),
            records=self._records(),
            gaps=self._gaps(),
            killed_at=self.killed_at,
            ended_at=self.ended_at,
            cpu={name: spent - before[name] for name, spent in self._cpu().items()},
            took_s=took_s,
        )

    def _asking(self) -> Asking:
        key, path = self.plinth.key(TEAM), f"/v2/models/{ENDPOINT}"
        infer = message("POST", f"{path}/infer", key, request(2.0))
        return Asking(self.plinth.port, [infer])

    def _events(self) -> list[tuple[int, Callable[[], None]]]:
        """Return what happens after how many requests: in any order, well within the load."""
        chance = random.Random(self.load.seed)
        events = [self._kill_control, self._kill_agent, self._rotate, self._kill_envoy]
        chance.shuffle(events)
        parts = sorted(chance.uniform(0.1, 0.8) for _ in events)
        return [
            (int(part * self.load.requests), event)
            for part, event in zip(parts, events, strict=True)
        ]

    def _kill_control(self) -> None:
        self._kill("control")

    def _kill_envoy(self) -> None:
        # Only an agent starts it again: that one may just be coming back.
        wait_for(self._has_agent, "the agent being there")
        self.killed_at, self.ended_at = self._kill("envoy")

    def _kill_agent(self) -> None:
        wait_for(self._has_agent, "the agent being there")
        os.kill(AgentClient(self.plinth.home.socket("agent")).ping().pid, signal.SIGKILL)
        self.plinth.up()

    def _rotate(self) -> None:
        rotate(self.plinth.home.gateway / "access.log", datetime.now(UTC))
        wait_for(self._reopens, "Envoy reopening its log")

    def _kill(self, unit: str) -> tuple[float, float]:
        """Kill a unit and wait for the next; return when it was killed, and when it had ended."""
        pid = self.plinth.pid_of(unit)
        self._spent[unit] += cpu_s(pid)
        at = time.time()
        os.kill(pid, signal.SIGKILL)
        while not has_ended(pid):
            time.sleep(0.001)
        ended_at = time.time()
        wait_for(lambda: self._is_another(unit, pid), f"`{unit}` being started again")
        return at, ended_at

    def _is_another(self, unit: str, pid: int) -> bool:
        try:
            return self.plinth.pid_of(unit) != pid
        except FileNotFoundError:
            return False  # between two runs

    def _reopens(self) -> bool:
        try:
            with Admin(self.plinth.home.socket("envoy-admin")) as admin:
                admin.reopen_logs()
        except Temporary:
            return False
        return True

    def _has_agent(self) -> bool:
        try:
            AgentClient(self.plinth.home.socket("agent")).ping()
        except Temporary:
            return False
        return True

    def _cpu(self) -> dict[str, float]:
        units = {"control": "control", "envoy": "envoy", "server": self._server()}
        return {
            name: self._spent[name] + cpu_s(self.plinth.pid_of(unit))
            for name, unit in units.items()
        }

    def _server(self) -> str:
        serving = self.plinth.client.endpoint(ENDPOINT)["serving"]["main"]
        return f"{serving}.0.1"

    def _settle(self) -> None:
        """Wait until no record was added for some seconds, with everything up."""
        wait_for(self.plinth.is_up, "everything being up again")
        seen, since = -1, time.monotonic()
        while time.monotonic() < since + _SETTLED_S:
            count = sum(self._records().values())
            if count != seen:
                seen, since = count, time.monotonic()
            time.sleep(0.2)

    def _records(self) -> Counter[str]:
        with closing(sqlite3.connect(self.plinth.home.ledger)) as connection:
            rows = connection.execute(
                "select request_id, count(*) from usage where workload = ? and team = ? "
                "and meter = 'requests' group by request_id",
                (f"endpoint/{ENDPOINT}", TEAM),
            )
            return Counter(dict(rows.fetchall()))

    def _gaps(self) -> list[Gap]:
        return [Gap.model_validate(gap) for gap in self.plinth.client.usage_gaps()]


@contextmanager
def serving(environments: Path, port: int, folder: Path | None = None) -> Iterator[Plinth]:
    """Run a Plinth that serves a small model, in a home of its own or in `folder`."""
    with running_plinth(environments, port, teams=[TEAM], folder=folder) as plinth:
        plinth.train(TEAM, "2")
        plinth.serve(ENDPOINT, "models:/scale@champion", team=TEAM)
        yield plinth


def _have_sent(witnesses: Sequence[Witness], count: int) -> bool:
    return sum(each.sent for each in witnesses) >= count


def _length_s(gap: Gap) -> float:
    return round((gap.ended_at - gap.started_at).total_seconds(), 3)


def result_of(load: Load, outcome: Outcome) -> dict[str, Any]:
    """Return the figures of an outcome, with the machine."""
    thousands = load.requests / 1000
    return {
        "sent": len(outcome.answered) + len(outcome.broken),
        "answered": len(outcome.answered),
        "served": len(outcome.served),
        "broken_in_flight": len(outcome.broken),
        "lost": len(outcome.lost),
        "doubled": len(outcome.doubled),
        "in_gap": len(outcome.in_gap),
        "gaps": len(outcome.gaps),
        "gap_s": [_length_s(gap) for gap in outcome.gaps],
        "envoy_away_s": round(outcome.away_s, 3),
        "requests_per_s": round(load.requests / outcome.took_s, 1),
        **{
            f"{name}_cpu_s_per_1000": round(spent / thousands, 4)
            for name, spent in outcome.cpu.items()
        },
        "connections": load.connections,
        "seed": load.seed,
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{os.cpu_count()} x {processor()}, Linux {platform.release()}",
        "load_1_minute": round(os.getloadavg()[0], 2),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark and print what it measured."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--requests", type=int, default=Load.requests)
    parser.add_argument("--connections", type=int, default=Load.connections)
    parser.add_argument("--seed", type=int, default=Load.seed)
    parser.add_argument(
        "--environments",
        type=Path,
        default=Path(os.environ.get("PLINTH_TEST_CACHE") or Path.home() / ".cache" / "plinth-tests")
        / "environments",
        help="managed environments to use again; the first time, MLflow's is built in it",
    )
    chosen = parser.parse_args(arguments)
    load = Load(chosen.requests, chosen.connections, chosen.seed)
    chosen.environments.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = token_loss.allowing_home()
    with serving(chosen.environments, free_port(), folder) as plinth:
        result = result_of(load, Scenario(plinth, load).run())
        with token_loss.serving_models(plinth) as models:
            tokens = token_loss.Scenario(plinth, models, load.requests, seed=load.seed)
            result |= token_loss.result_of(tokens.run())
    for name in ("lost", "doubled"):
        result[name] += result[f"token_{name}"]
    shutil.rmtree(folder)
    if chosen.json:
        print(json.dumps(result))
        return
    print("\n".join(f"{name:32} {value}" for name, value in result.items()))


if __name__ == "__main__":
    main()
