"""Measure what a plan costs: `python -m benchmarks.planner [--json]`.

The applications are those of examples/plans, each over every platform, region and size of the
catalog. There is no peer: no other tool that was found chooses a platform for each function with
its reasons; SkyPilot and dstack rank the machines of one job by price.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from benchmarks.machine import processor
from plinth.catalog.catalog import Catalog
from plinth.catalog.machine import local_offer
from plinth.catalog.platforms import load_platforms, platform_names
from plinth.domain.application import Declaration
from plinth.domain.load import load_workload
from plinth.domain.platform import Platform
from plinth.domain.workload import Job
from plinth.planning.advice import make_advice
from plinth.planning.context import Context, Market
from plinth.planning.planner import plan

EXAMPLES = Path(__file__).parents[1] / "examples" / "plans"
ROUNDS = 15
_LOCAL_ROUNDS = 200
TODAY = date(2026, 11, 22)
# Run in a process of its own, so that nothing is loaded yet; prints milliseconds of CPU.
FIRST = """
import time
from benchmarks.planner import EXAMPLES, every_platform, read
from plinth.catalog.catalog import Catalog
from plinth.planning.advice import make_advice
from plinth.planning.context import Context, Market
imported = time.process_time()
declaration = read(EXAMPLES / "bank-churn.yaml")
make_advice(declaration, Market(every_platform(), Catalog(), Context(currency="USD")))
done = time.process_time()
print((done - imported) * 1000, done * 1000)
"""


def read(file: Path) -> Declaration:
    """Return what a file declares."""
    return load_workload(file.read_text(encoding="utf-8"), file.name)


def every_platform() -> tuple[Platform, ...]:
    """Return every platform that Plinth knows."""
    others: dict[str, tuple[()]] = dict.fromkeys(platform_names(), ())
    return load_platforms([local_offer()], None, others=others)


def cpu_ms(call: Callable[[], object], rounds: int) -> list[float]:
    """Return the CPU-milliseconds of each of so many calls."""
    spent = []
    for _ in range(rounds):
        before = time.process_time()
        call()
        spent.append((time.process_time() - before) * 1000)
    return spent


def first_plan() -> tuple[float, float]:
    """Return the CPU-milliseconds of a first plan with all that it loads, and of its process."""
    said = subprocess.run(
        [sys.executable, "-c", FIRST], capture_output=True, text=True, check=True, timeout=60
    )
    loaded, whole = said.stdout.split()
    return float(loaded), float(whole)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark and print what it measured."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    chosen = parser.parse_args(arguments)
    firsts = [first_plan() for _ in range(5)]
    market = Market(every_platform(), Catalog(), Context(currency="USD", today=TODAY))
    result: dict[str, Any] = {
        "first_plan_cpu_ms": round(statistics.median(loaded for loaded, _ in firsts), 1),
        "first_process_cpu_ms": round(statistics.median(whole for _, whole in firsts), 1),
    }
    every: list[float] = []
    for file in sorted(EXAMPLES.glob("*.yaml")):
        declaration = read(file)

        def once(declaration: Declaration = declaration) -> object:
            return make_advice(declaration, market)

        spent = cpu_ms(once, ROUNDS)
        result[f"{file.stem}_cpu_ms"] = round(statistics.median(spent), 1)
        every += spent
    job = Job.model_validate({"kind": "job", "name": "train", "command": ["python"]})
    local = load_platforms([local_offer()], 2)
    alone = cpu_ms(lambda: plan(job, local, Context()), _LOCAL_ROUNDS)
    result |= {
        "plan_cpu_ms_median": round(statistics.median(every), 1),
        "plan_cpu_ms_most": round(max(every), 1),
        "plans_per_second": round(1000 / statistics.mean(every), 1),
        "local_plan_cpu_ms": round(statistics.median(alone), 2),
        "rounds": ROUNDS,
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{os.cpu_count()} x {processor()}, Linux {platform.release()}",
        "load_1_minute": round(os.getloadavg()[0], 2),
    }
    if chosen.json:
        print(json.dumps(result))
        return
    print("\n".join(f"{name:28} {value}" for name, value in result.items()))


if __name__ == "__main__":
    main()
