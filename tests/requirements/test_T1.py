"""T1: compute only while the batch runs: nothing runs and nothing is billed before and after."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal

import pytest

from plinth.control.bill import make_bill, parse_query
from plinth.domain.plan import Outcome
from plinth.kit.errors import Temporary
from plinth.metering.bill import Total
from plinth.planning.rules.duty import compute_ends
from tests.control.plane import Plane, make_plane
from tests.planning.rules.placed import need, place

HOUR_S = 3600


@pytest.fixture
def plane() -> Iterator[Plane]:
    with make_plane() as made:
        yield made


def billed(plane: Plane) -> list[Total]:
    query = parse_query(since=None, until=None, by="team", team=None, now=plane.clock.now())
    return list(make_bill(plane.context, plane.parts.metering, query, lambda _team: True).totals)


def running(plane: Plane) -> list[str]:
    return [name for name, each in plane.world.replicas.items() if not each.phase.is_final]


def hours_pass(plane: Plane, hours: int) -> None:
    for _ in range(hours):
        plane.step(HOUR_S)
        plane.parts.metering.collect()


def test_before_the_job_nothing_runs_and_nothing_is_billed(plane: Plane) -> None:
    # It waits for what it needs, as it does for its environment.
    plane.tracking.error = Temporary("MLflow starts")
    run = plane.submit()
    hours_pass(plane, 3)
    assert not plane.run(run).phase.is_final
    assert (running(plane), billed(plane)) == ([], [])


def test_a_job_is_billed_from_the_start_of_its_replica_to_its_end(plane: Plane) -> None:
    plane.tracking.error = Temporary("MLflow starts")
    run = plane.submit(resources={"cpu": 1, "memory": "1GB"})
    hours_pass(plane, 1)
    plane.tracking.error = None
    plane.until(lambda: bool(running(plane)))
    plane.step(HOUR_S)
    plane.world.end(f"{run}.0.1")
    hours_pass(plane, 1)
    replica = plane.world.replicas.get(f"{run}.0.1")
    attempt = plane.attempts(run)[0]
    assert replica is None or replica.ended_at == attempt.ended_at
    assert attempt.started_at is not None
    assert attempt.ended_at is not None
    hours = (attempt.ended_at - attempt.started_at) / timedelta(hours=1)
    (total,) = billed(plane)
    assert float(total.cost.amount) == pytest.approx(hours * (0.033 + 0.0034925), abs=1e-9)


def test_after_the_job_nothing_runs_and_the_bill_stands_still(plane: Plane) -> None:
    run = plane.submit()
    plane.until(lambda: bool(running(plane)))
    plane.step(90)
    plane.world.end(f"{run}.0.1")
    plane.until(lambda: plane.run(run).closed)
    plane.parts.metering.collect()
    before = billed(plane)
    assert before[0].cost.amount > Decimal(0)
    hours_pass(plane, 5)
    plane.restart()
    hours_pass(plane, 5)
    assert (running(plane), plane.live_keys(run)) == ([], 0)
    assert billed(plane) == before


def train(runs: int, duration: str) -> dict[str, object]:
    return {"train": {"demand": {"runs": runs, "duration": duration}}}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("azureml-compute-cluster", "its compute ends with each run"),
        ("databricks-jobs", "its compute ends with each run"),
        ("local", "its compute ends with each run"),
    ],
)
def test_a_plan_accepts_compute_that_ends_with_the_run(name: str, reason: str) -> None:
    said = compute_ends(need(part="train", **train(4, "5h")), place(name))
    assert said is not None
    assert (said.outcome, said.reason) == (Outcome.OK, reason)


def test_a_plan_rejects_machines_that_stay_with_the_hours_that_they_idle() -> None:
    said = compute_ends(need(part="train", **train(4, "5h")), place("data-science-vm"))
    assert said is not None
    assert (said.outcome, said.reason) == (
        Outcome.NOT_OK,
        "busy 20 h of 730 a month; its machines stay, and are paid for, in between",
    )


def test_machines_that_stay_suit_work_that_never_ends() -> None:
    said = compute_ends(need(part="train", **train(30, "24h")), place("data-science-vm"))
    assert said is not None
    assert (said.outcome, said.reason) == (
        Outcome.OK,
        "its machines stay, and are busy 720 h of 730 a month",
    )


def test_whether_compute_ends_may_be_unknown() -> None:
    unclear = compute_ends(need(part="train", **train(4, "5h")), place("prompt-flow"))
    assert unclear is not None
    assert unclear.outcome is Outcome.UNKNOWN
    assert "`compute.ephemeral` is missing in platforms/prompt-flow.yaml" in unclear.reason


def test_more_hours_than_a_month_has_are_those_of_several_machines() -> None:
    demand = {"runs": 700, "duration": "30h"}
    asked = need(part="train", train={"demand": demand})
    said = compute_ends(asked, place("data-science-vm"))
    assert said is not None
    assert said.reason == (
        "its machines stay, and are busy 21,000 h of a month, as much as 29 machines have"
    )
