"""Measure what callers notice when one of two deployments refuses, is dead, hangs, or changes.

`python -m benchmarks.failover [--json]`. A real Envoy, configured as the product does, stands
before two servers elsewhere in failover. Both refuse half of all attempts, drawn from the seed:
with four tries a sixteenth is lost to chance (`floor`). Then one is dead, then one hangs. At last
streams run while what stands behind their endpoint is changed again and again.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import os
import platform
import random
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from benchmarks.machine import free_port, percentile, processor
from tests.conformance.upstream_stand import Behaviour, Request, hang, says
from tests.journeys.gateway_stand import eventually
from tests.journeys.spill_stand import BODY, CHAT, Stand, running_stand

_NAMES = ("one", "two")
_RETRIES = 3
_FLOOR = 0.5 ** (_RETRIES + 1)
_ATTEMPT_S = 0.5
_CALLERS = 4
_GAP_S = 0.1
_LAST = b"data: [DONE]"
_OK = http.client.OK


@dataclass(frozen=True)
class Load:
    """How much is asked in each part, how many streams are open, how often they are changed."""

    requests: int = 8000
    fewer: int = 400
    streams: int = 100
    changes: int = 100
    seed: int = 1


@dataclass(frozen=True, slots=True)
class _Asked:
    """The status of every answer, and how long it took in milliseconds."""

    statuses: list[int]
    times_ms: list[float]

    @property
    def errors(self) -> int:
        return sum(each != _OK for each in self.statuses)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark and print what it measured."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--requests", type=int, default=Load.requests)
    parser.add_argument("--streams", type=int, default=Load.streams)
    parser.add_argument("--changes", type=int, default=Load.changes)
    parser.add_argument("--seed", type=int, default=Load.seed)
    chosen = parser.parse_args(arguments)
    load = Load(
        requests=chosen.requests,
        streams=chosen.streams,
        changes=chosen.changes,
        seed=chosen.seed,
    )
    result = run(load)
    if chosen.json:
        print(json.dumps(result))
        return
    print("\n".join(f"{name:36} {value}" for name, value in result.items()))


def run(load: Load) -> dict[str, Any]:
    """Measure every part, each with an Envoy of its own; return the figures."""
    parts = (_refusing, _dead, _hanging, _changing)
    found: dict[str, Any] = {"floor": _FLOOR}
    for part in parts:
        with running_stand(free_port, workers=2) as stand:
            found |= part(stand, load)
    return {
        **found,
        "requests": load.requests,
        "tries": _RETRIES + 1,
        "streams": load.streams,
        "changes": load.changes,
        "seed": load.seed,
        "load_average": round(os.getloadavg()[0], 1),
        "machine": f"{os.cpu_count()} x {processor()}, {platform.system()} {platform.release()}",
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
    }


def _refusing(stand: Stand, load: Load) -> dict[str, float]:
    found = {}
    draw = random.Random(load.seed)
    for status in (429, 503):
        one, two = (stand.external(name, _half(name, status, draw)) for name in _NAMES)
        stand.apply(one, two, failover=_NAMES, retries=_RETRIES)
        asked = _ask(stand, load.requests)
        found[f"leak_share_{status}"] = round(asked.errors / load.requests, 4)
    return found


def _dead(stand: Stand, load: Load) -> dict[str, float]:
    _two(stand, says("one"))
    stand.servers["one"].stop()
    asked = _ask(stand, load.fewer)
    return {"errors_one_dead": asked.errors, "ms_p95_one_dead": _p95(asked)}


def _hanging(stand: Stand, load: Load) -> dict[str, float]:
    _two(stand, hang)
    asked = _ask(stand, load.fewer)
    return {"errors_one_hanging": asked.errors, "ms_p95_one_hanging": _p95(asked)}


def _two(stand: Stand, first: Behaviour) -> None:
    one, two = stand.external("one", first), stand.external("two", says("two"))
    stand.apply(one, two, failover=_NAMES, retries=_RETRIES, timeouts={"attempt": _ATTEMPT_S})


def _p95(asked: _Asked) -> float:
    return round(percentile(asked.times_ms, 0.95), 1)


def _changing(stand: Stand, load: Load) -> dict[str, float]:
    """Change the endpoint in turns, so that the streams' own deployment is there and away."""
    is_over = threading.Event()
    one, two = stand.external("one", _until(is_over)), stand.external("two", says("two"))
    stand.apply(one, two, failover=_NAMES)
    with ThreadPoolExecutor(load.streams) as pool:
        ends = [pool.submit(_read_stream, stand) for _ in range(load.streams)]
        if not eventually(lambda: len(stand.servers["one"].seen) == load.streams, 30):
            raise RuntimeError("not every stream has begun")
        times_ms = []
        for turn in range(load.changes):
            began = time.monotonic()
            if turn % 2:
                stand.apply(one, two, failover=_NAMES, max_body=10_000 + turn)
            else:
                stand.apply(two, max_body=10_000 + turn)
            times_ms.append((time.monotonic() - began) * 1000)
        is_over.set()
        survived = sum(each.result() for each in ends)
    return {
        "streams_survived": survived,
        "change_ms_p95": round(percentile(times_ms, 0.95), 1),
    }


def _half(name: str, status: int, draw: random.Random) -> Behaviour:
    """Refuse half of all attempts, whichever they are."""

    async def behave(request: Request) -> None:
        is_refused = draw.random() < 0.5
        await request.reply(status if is_refused else _OK, headers={"x-name": name})

    return behave


def _until(is_over: threading.Event) -> Behaviour:
    async def behave(request: Request) -> None:
        head = {"content-type": "text/event-stream", "transfer-encoding": "chunked"}
        await request.begin(_OK, head)
        while not is_over.is_set():
            await request.chunk(b"data: {}\n\n")
            await asyncio.sleep(_GAP_S)
        await request.chunk(_LAST + b"\n\n")
        await request.chunk(b"")

    return behave


def _ask(stand: Stand, count: int) -> _Asked:
    """Ask so often, by a few callers, each on a connection of its own."""
    shares = [count // _CALLERS] * _CALLERS
    with ThreadPoolExecutor(_CALLERS) as pool:
        parts = list(pool.map(_caller(stand), shares))
    statuses = [status for part in parts for status, _ in part]
    return _Asked(statuses, [time_ms for part in parts for _, time_ms in part])


def _caller(stand: Stand) -> Callable[[int], list[tuple[int, float]]]:
    headers = _headers(stand)

    def ask(count: int) -> list[tuple[int, float]]:
        found = []
        with closing(stand.gateway.connect()) as connection:
            for _ in range(count):
                began = time.monotonic()
                connection.request("POST", CHAT, BODY, headers)
                answer = connection.getresponse()
                answer.read()
                found.append((answer.status, (time.monotonic() - began) * 1000))
        return found

    return ask


def _read_stream(stand: Stand) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", stand.gateway.state.port, timeout=120)
    with closing(connection):
        connection.request("POST", CHAT, BODY, _headers(stand))
        try:
            return _LAST in connection.getresponse().read()
        except http.client.HTTPException:
            return False


def _headers(stand: Stand) -> dict[str, str]:
    return {
        "authorization": f"Bearer {stand.gateway.key()}",
        "content-type": "application/json",
    }


if __name__ == "__main__":
    main()
