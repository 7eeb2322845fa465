"""Measure whether tokens are charged as the servers of the models counted them.

A part of `metering_loss`; `python -m benchmarks.token_loss [--json]` runs it alone. An endpoint
with `failover` and `mirror` is asked for answers, embeddings and streams; some of the streams break
off by the server, some by the caller, some requests are refused by the first deployment, and a
fifth of all is copied. Meanwhile the control plane is killed with `kill -9` and the access log is
rotated. Then what the ledger has of each id is compared with what the server of the model counted.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import shutil
import signal
import sqlite3
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from benchmarks.machine import free_port
from plinth.domain.usage import Meter
from plinth.gateway.admin import Admin
from plinth.kit.errors import Temporary
from plinth.metering.rotation import rotate
from tests.conformance.upstream_stand import Server, serving
from tests.journeys.plinth_node import Plinth, running_plinth, wait_for
from tests.journeys.token_model import KINDS, Model, body_of, path_of

ENDPOINT = "tokens"
TEAM = "research"
_SETTLED_S = 3.0
_LONG_S = 3600.0
_PATIENCE_S = 60.0
# Of 100 requests: how many are answered whole, how many streams the server breaks off and the
# caller leaves, and how many the first deployment refuses.
_ENDS = {"whole": 84, "died": 3, "left": 5, "retry": 8}
_COPIED_PERCENT = 20
_TOKEN_METERS = [meter for meter in Meter if meter.value.endswith("_tokens")]

# By (request id, whether it is a copy): quantity by meter, and which of them are estimated.
Ledgered: TypeAlias = dict[tuple[str, bool], tuple[dict[str, int], set[str]]]


@dataclass(frozen=True, slots=True)
class Asked:
    """One request that was answered: how it ended, and the id of its answer."""

    id: str
    end: str


@dataclass
class Outcome:
    """What became of the load. `counted`: by id, what served it counted, and how many events."""

    asked: list[Asked]
    failed: int
    counted: dict[str, dict[str, int]]
    sent: dict[str, int]
    copied: dict[str, dict[str, int]]
    copies_sent: dict[str, int]
    ledger: Ledgered
    took_s: float

    @property
    def lost(self) -> list[str]:
        """The ids of which the ledger has less than the server counted, or nothing at all."""
        return [each for each, less, _ in self._compared() if less]

    @property
    def doubled(self) -> list[str]:
        """The ids of which the ledger has more than the server counted, or sent."""
        return [each for each, _, more in self._compared() if more]

    @property
    def estimated(self) -> int:
        """How many requests of callers are charged by an estimate."""
        return sum(bool(marked) for (_, is_copy), (_, marked) in self.ledger.items() if not is_copy)

    def _compared(self) -> Iterator[tuple[str, bool, bool]]:
        """Give each id, with whether the ledger has less of it, and whether it has more."""
        for each in self.asked:
            found, marked = self.ledger.get((each.id, False), ({}, set()))
            if each.end in ("died", "left"):
                is_estimate = marked == {"input_tokens", "output_tokens"}
                least = self.sent[each.id] - 1 if each.end == "died" else 1
                output = found.get("output_tokens", 0)
                yield each.id, not is_estimate or output < least, output > self.sent[each.id]
            else:
                yield each.id, *_differs(found, self.counted[each.id], marked)
        for name, counted in self.copied.items():
            found, marked = self.ledger.get((name, True), ({}, set()))
            if marked:  # it broke off, by either side
                yield name, not found, found.get("output_tokens", 0) > self.copies_sent[name]
            else:
                yield name, *_differs(found, counted, marked)


def _differs(found: dict[str, int], counted: dict[str, int], marked: set[str]) -> tuple[bool, bool]:
    wanted = {**counted, "requests": 1}
    less = bool(marked) or any(found.get(meter, 0) < each for meter, each in wanted.items())
    return less, any(number > wanted.get(meter, 0) for meter, number in found.items())


@dataclass
class _Caller(threading.Thread):
    """Asks one request after the other over one connection at a time."""

    port: int
    key: str
    times: int
    seed: int
    asked: list[Asked] = field(default_factory=list)
    failed: int = 0

    def __post_init__(self) -> None:
        super().__init__(daemon=True)

    __hash__ = threading.Thread.__hash__

    def run(self) -> None:
        chance = random.Random(self.seed)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_PATIENCE_S)
        for _ in range(self.times):
            end = chance.choices(list(_ENDS), list(_ENDS.values()))[0]
            try:
                self._ask(connection, chance, end)
            except (OSError, http.client.HTTPException):
                self.failed += 1
                connection.close()
        connection.close()

    def _ask(self, connection: http.client.HTTPConnection, chance: random.Random, end: str) -> None:
        """Ask once. A connection whose answer broke off is closed; the next request opens it."""
        kind = "stream" if end in ("died", "left") else chance.choice(KINDS)
        given = chance.randint(1, 9999)
        tell: dict[str, Any] = {
            "in": given,
            "cached": chance.randint(0, given),
            "out": chance.randint(10, 16),
        }
        tell |= {"died": {"dies_after": 10}, "left": {"slowly": True, "out": 200}}.get(end, {})
        tell |= {"retry": True} if end == "retry" else {}
        headers = {"authorization": f"Bearer {self.key}", "content-type": "application/json"}
        body = body_of(kind, ENDPOINT, **tell)
        connection.request("POST", path_of(kind, ENDPOINT), body, headers)
        answer = connection.getresponse()
        if end == "left":
            answer.read(600)
        else:
            with suppress(http.client.IncompleteRead, ConnectionError):
                answer.read()
        if answer.status == http.HTTPStatus.OK:
            self.asked.append(Asked(str(answer.headers["x-plinth-id"]), end))
        else:
            self.failed += 1
        if end in ("died", "left"):
            answer.close()
            connection.close()


@dataclass
class Scenario:
    """A load on a Plinth that runs, and what happens to it meanwhile."""

    plinth: Plinth
    models: dict[str, Model]
    requests: int = 20_000
    connections: int = 8
    seed: int = 1

    def run(self) -> Outcome:
        """Ask, kill, rotate, wait until the ledger has all it gets, and compare."""
        key = self.plinth.key(TEAM)
        share = self.requests // self.connections
        callers = [
            _Caller(self.plinth.port, key, share, self.seed * 1000 + number)
            for number in range(self.connections)
        ]
        began = time.monotonic()
        for each in callers:
            each.start()
        for part, happen in ((0.35, self._kill_control), (0.65, self._rotate)):
            count = int(part * self.requests)
            wait_for(partial(_have_asked, callers, count), f"{count} requests", within_s=_LONG_S)
            happen()
        for each in callers:
            each.join()
        took_s = time.monotonic() - began
        self._settle()
        served = (self.models["first"], self.models["second"])
        return Outcome(
            asked=[asked for each in callers for asked in each.asked],
            failed=sum(each.failed for each in callers),
            counted={name: each for model in served for name, each in model.counted.items()},
            sent={name: each for model in served for name, each in model.sent.items()},
            copied=dict(self.models["copy"].counted),
            copies_sent=dict(self.models["copy"].sent),
            ledger=self._ledger(),
            took_s=took_s,
        )

    def _kill_control(self) -> None:
        pid = self.plinth.pid_of("control")
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: self._pid() not in (None, pid), "the control plane being started again")

    def _pid(self) -> int | None:
        try:
            return self.plinth.pid_of("control")
        except FileNotFoundError:
            return None  # between two runs

    def _rotate(self) -> None:
        rotate(self.plinth.home.gateway / "access.log", datetime.now(UTC))
        wait_for(self._reopens, "Envoy reopening its log")

    def _reopens(self) -> bool:
        try:
            with Admin(self.plinth.home.socket("envoy-admin")) as admin:
                admin.reopen_logs()
        except Temporary:
            return False
        return True

    def _settle(self) -> None:
        wait_for(self.plinth.is_up, "everything being up again")
        seen, since = -1, time.monotonic()
        while time.monotonic() < since + _SETTLED_S:
            count = len(self._ledger())
            if count != seen:
                seen, since = count, time.monotonic()
            time.sleep(0.5)

    def _ledger(self) -> Ledgered:
        found: Ledgered = {}
        with closing(sqlite3.connect(self.plinth.home.ledger)) as connection:
            rows = connection.execute(
                "select request_id, shadow, meter, sum(quantity), max(estimated) from usage "
                "where workload = ? and team = ? group by request_id, shadow, meter",
                (f"endpoint/{ENDPOINT}", TEAM),
            )
            for request_id, shadow, meter, quantity, estimated in rows:
                place = (request_id.rpartition("/")[2], bool(shadow))
                quantities, marked = found.setdefault(place, ({}, set()))
                quantities[meter] = int(quantity)
                if estimated:
                    marked.add(meter)
        return found


def _have_asked(callers: Sequence[_Caller], count: int) -> bool:
    return sum(len(each.asked) + each.failed for each in callers) >= count


@contextmanager
def serving_models(plinth: Plinth) -> Iterator[dict[str, Model]]:
    """Have an endpoint of three deployments that Plinth does not run, on loopback ports."""
    models = {"first": Model(refuses=True), "second": Model(), "copy": Model()}
    with ExitStack() as stack:
        servers: dict[str, Server] = {
            name: stack.enter_context(serving(model)) for name, model in models.items()
        }
        deployments = {
            name: {"external": {"url": f"http://127.0.0.1:{server.port}/v1", "protocol": "openai"}}
            for name, server in servers.items()
        }
        plinth.client.apply(
            plinth.endpoint_of(
                ENDPOINT,
                TEAM,
                deployments=deployments,
                failover=["first", "second"],
                mirror={"copy": _COPIED_PERCENT},
            )
        )
        wait_for(lambda: plinth.client.endpoint(ENDPOINT)["ready"], "the endpoint being ready")
        yield models


def result_of(outcome: Outcome) -> dict[str, Any]:
    """Return the figures of an outcome."""
    ends = Counter(each.end for each in outcome.asked)
    return {
        "token_requests": len(outcome.asked),
        "token_failed": outcome.failed,
        "token_lost": len(outcome.lost),
        "token_doubled": len(outcome.doubled),
        "token_estimated": outcome.estimated,
        "token_cut_by_server": ends["died"],
        "token_left_by_caller": ends["left"],
        "token_retried": ends["retry"],
        "token_copied": len(outcome.copied),
        "tokens": sum(
            number
            for (quantities, _) in outcome.ledger.values()
            for meter, number in quantities.items()
            if meter in _TOKEN_METERS
        ),
        "token_requests_per_s": round(len(outcome.asked) / outcome.took_s, 1),
    }


def allowing_home() -> Path:
    """Return a folder whose Plinth takes models on this machine for models elsewhere."""
    folder = Path(tempfile.mkdtemp(prefix="pl-"))
    (folder / "settings.toml").write_text("allow_private_upstreams = true\n")
    return folder


def main(arguments: Sequence[str] | None = None) -> None:
    """Run it and print what it measured."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--requests", type=int, default=Scenario.requests)
    parser.add_argument("--seed", type=int, default=Scenario.seed)
    cache = os.environ.get("PLINTH_TEST_CACHE") or Path.home() / ".cache" / "plinth-tests"
    parser.add_argument("--environments", type=Path, default=Path(cache) / "environments")
    chosen = parser.parse_args(arguments)
    chosen.environments.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = allowing_home()
    with (
        running_plinth(chosen.environments, free_port(), teams=[TEAM], folder=folder) as plinth,
        serving_models(plinth) as models,
    ):
        scenario = Scenario(plinth, models, chosen.requests, seed=chosen.seed)
        result = result_of(scenario.run())
    shutil.rmtree(folder)
    if chosen.json:
        print(json.dumps(result))
        return
    print("\n".join(f"{name:32} {value}" for name, value in result.items()))


if __name__ == "__main__":
    main()
