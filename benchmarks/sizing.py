"""Measure what sizing a trace costs: `python -m benchmarks.sizing [--json]`.

Every trace has 10,000 requests and is made here from a seed: steady, in waves, and in bursts.
There is no peer: no other tool that was found sizes provisioned units from a trace.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import statistics
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

from benchmarks.machine import processor
from plinth.catalog.provisioned import find_provisioned, load_provisioned
from plinth.planning.sizing.arrivals import Arrivals
from plinth.planning.sizing.sizing import size
from plinth.planning.sizing.sizing_inputs import Given, make_inputs

REQUESTS = 10_000
_ROUNDS = 5


def steady(_part: float) -> float:
    """Ask as often in every part of the trace."""
    return 1.0


def waves(part: float) -> float:
    """Ask ten times as often in every tenth part of each tenth."""
    return 10.0 if part * 100 % 10 >= 9 else 1.0


def bursts(part: float) -> float:
    """Ask a hundred times as often in one hundredth of the trace."""
    return 100.0 if 0.5 <= part < 0.51 else 1.0


def trace(rate: Callable[[float], float], seed: int) -> Arrivals:
    """Return a trace of an hour with lengths like those of a chat, at the rate for each part."""
    chance = random.Random(seed)
    steps = [1 / rate(number / REQUESTS) for number in range(REQUESTS)]
    length = 3600 / sum(steps)
    times, now = [], 0.0
    for step in steps:
        now += step * length * 2 * chance.random()
        times.append(now)
    inputs = tuple(chance.randrange(50, 4000) for _ in times)
    return Arrivals(tuple(times), inputs, tuple(chance.randrange(5, 800) for _ in times))


def measure(arrivals: Arrivals, given: Given) -> float:
    """Return the median CPU-seconds of sizing the trace for gpt-4o."""
    spent = []
    for _ in range(_ROUNDS):
        before = time.process_time()
        inputs = make_inputs(
            arrivals, find_provisioned(load_provisioned(), "gpt-4o", "Global"), given
        )
        size(inputs.question)
        spent.append(time.process_time() - before)
    return statistics.median(spent)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark and print what it measured."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    chosen = parser.parse_args(arguments)
    result: dict[str, Any] = {"requests": REQUESTS, "rounds": _ROUNDS}
    for rate in (steady, waves, bursts):
        arrivals = trace(rate, seed=1)
        result[f"{rate.__name__}_cheapest_cpu_s"] = round(measure(arrivals, Given()), 3)
        given = Given(spill=Fraction(1, 20))
        result[f"{rate.__name__}_spill_cpu_s"] = round(measure(arrivals, given), 3)
    result["date"] = datetime.now(UTC).date().isoformat()
    result["machine"] = f"{os.cpu_count()} x {processor()}, Linux {platform.release()}"
    result["load_1_minute"] = round(os.getloadavg()[0], 2)
    if chosen.json:
        print(json.dumps(result))
        return
    print("\n".join(f"{name:24} {value}" for name, value in result.items()))


if __name__ == "__main__":
    main()
