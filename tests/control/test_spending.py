"""What single runs and workloads cost, whatever else there is."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from plinth.control.bill import make_bill, parse_query
from plinth.control.spending import Wanted, costs_of
from plinth.domain.money import Money
from plinth.domain.run import Phase
from plinth.metering.bill import Group
from tests.control.plane import Plane


def ended_job(plane: Plane, name: str, steps: int = 20) -> str:
    run = plane.submit(name=name, resources={"cpu": 2, "memory": "4GB"})
    plane.until(lambda: plane.run(run).phase is Phase.RUNNING)
    for _ in range(steps):
        plane.step(10)
    plane.world.end(f"{run}.0.1")
    plane.until(lambda: plane.run(run).closed)
    plane.parts.metering.collect()
    return run


def cost(plane: Plane, wanted: Wanted) -> dict[str, Money]:
    return costs_of(plane.context, plane.parts.metering, wanted, lambda _team: True)


def billed(plane: Plane, run: str) -> Decimal:
    query = parse_query(since=None, until=None, by="run", team=None, now=plane.clock.now())
    made = make_bill(plane.context, plane.parts.metering, query, lambda _team: True)
    assert made.query.by == (Group.RUN,)
    return next(line.cost.amount for line in made.lines if line.cost and line.key == (run,))


def test_a_runs_cost_is_what_the_bill_says_and_no_others(plane: Plane) -> None:
    mine, other = ended_job(plane, "a"), ended_job(plane, "b", 40)
    found = cost(plane, Wanted(runs={mine: plane.run(mine).created_at}))
    assert set(found) == {mine}
    assert float(found[mine].amount) == pytest.approx(float(billed(plane, mine)))
    assert billed(plane, other) > found[mine].amount > 0


def test_what_still_runs_counts_up_to_when_it_was_seen(plane: Plane) -> None:
    run = plane.submit(resources={"cpu": 2, "memory": "4GB"})
    plane.until(lambda: plane.run(run).phase is Phase.RUNNING)
    for _ in range(20):
        plane.step(10)
    found = cost(plane, Wanted(runs={run: plane.run(run).created_at}))
    assert float(found[run].amount) == pytest.approx(float(billed(plane, run)))


def test_a_workload_counts_from_its_creation_on(plane: Plane) -> None:
    run = ended_job(plane, "a")
    began = plane.run(run).created_at
    assert "job/a" in cost(plane, Wanted(workloads={"job/a": began}))
    later = plane.clock.now() + timedelta(hours=1)
    assert cost(plane, Wanted(workloads={"job/a": later})) == {}


def test_a_run_that_serves_costs_what_it_used_for_its_workload(plane: Plane) -> None:
    run = ended_job(plane, "a")
    began = plane.run(run).created_at
    wanted = Wanted(served={run: ("job/a", began), "r_none": ("job/a", began)})
    assert set(cost(plane, wanted)) == {run}


def test_another_teams_usage_is_not_counted(plane: Plane) -> None:
    run = ended_job(plane, "a")
    wanted = Wanted(runs={run: plane.run(run).created_at})
    assert costs_of(plane.context, plane.parts.metering, wanted, lambda _team: False) == {}
