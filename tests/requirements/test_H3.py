"""H3: a central platform needs chargeback: cost by team and workload; sums reconcile.

What holds today: cost by team and workload, each line explained, sums to the last coin. Idle and
shared cost are in no bill (docs/howto/bill.md says so); a whole FOCUS export is not there yet.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from tests.api.service import OTHER, TEAM, Service, make_service


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    """Two teams have run jobs, and one of them serves a model with two replicas."""
    with make_service() as service:
        plane = service.plane
        jobs = [
            plane.submit(team=TEAM, name="train", resources={"cpu": 2, "memory": "4GB"}),
            plane.submit(team=OTHER, name="train", resources={"cpu": 0.5, "memory": "1GB"}),
            plane.submit(team=OTHER, name="tune"),
        ]
        plane.apply(replicas=2)
        plane.until(lambda: plane.endpoint() is not None and len(plane.world.starts) == 5)
        plane.step(1000)
        for job in jobs:
            plane.world.end(f"{job}.0.1")
        plane.until(lambda: all(plane.run(job).closed for job in jobs))
        plane.parts.metering.collect()
        plane.step(77)
        yield service


def bill(service: Service, by: str) -> Any:
    return service.as_admin("GET", "/bill", params={"by": by, "to": "2026-02-01"})


def test_cost_is_by_team_and_workload(service: Service) -> None:
    lines = bill(service, "team,workload")["lines"]
    assert {(line["team"], line["workload"]) for line in lines} == {
        (TEAM, "job/train"),
        (TEAM, "endpoint/delay"),
        (OTHER, "job/train"),
        (OTHER, "job/tune"),
    }
    assert all(Decimal(line["exact"]) > 0 for line in lines)


def test_every_line_is_its_quantities_times_their_prices(service: Service) -> None:
    made = bill(service, "team,workload")
    sources = {(price["sku"], price["valid_from"]): price["source"] for price in made["prices"]}
    for line in made["lines"]:
        parts = line["parts"]
        assert sum(Decimal(part["exact"]) for part in parts) == Decimal(line["exact"])
        for part in parts:
            cost = Decimal(part["fine_quantity"]) * Decimal(part["price"])
            assert abs(cost / part["fine_units"] - Decimal(part["exact"])) < Decimal("1e-11")
            assert sources[part["sku"], part["price_from"]]


@pytest.mark.parametrize("by", ["team", "workload", "team,workload", "run", "sku", "day", "meter"])
def test_sums_reconcile_to_the_last_coin_whatever_the_lines_are(service: Service, by: str) -> None:
    made = bill(service, by)
    (total,) = made["totals"]
    for amount in ("amount", "exact"):
        assert sum(Decimal(line[amount]) for line in made["lines"]) == Decimal(total[amount])
    assert made["totals"] == bill(service, "team,workload")["totals"]


def test_the_bill_is_of_the_seconds_that_usage_shows(service: Service) -> None:
    used = {
        (row["team"], row["workload"]): row["training_seconds"] + row["serving_seconds"]
        for row in service.as_admin("GET", "/usage")
    }
    for line in bill(service, "team,workload")["lines"]:
        cpu = [part for part in line["parts"] if part["sku"] == "local.cpu_hour"]
        cores = {"job/train": {TEAM: 2.0, OTHER: 0.5}[line["team"]]}.get(line["workload"], 1.0)
        seconds = sum(Decimal(part["fine_quantity"]) for part in cpu) / Decimal(str(cores))
        assert float(seconds) == pytest.approx(used[line["team"], line["workload"]], abs=0.002)
