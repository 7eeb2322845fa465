"""The bill is what the ledger and what still runs say, at the prices of each time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from plinth.control.bill import Bill, make_bill, parse_query
from plinth.control.prices import NewPrice, state_price
from plinth.domain.run import Phase
from plinth.domain.usage import Gap, Meter, UsageRecord
from plinth.kit.errors import Invalid
from plinth.metering.bill import Group
from tests.control.plane import TEAM, Plane

HOUR = timedelta(hours=1)
NOW = datetime(2026, 11, 22, 15, 4, 5, tzinfo=UTC)


def bill(
    plane: Plane,
    *,
    by: str = "team,workload",
    since: str | None = None,
    until: str | None = None,
    may_see: Callable[[str], bool] = lambda _team: True,
    team: str | None = None,
) -> Bill:
    query = parse_query(since=since, until=until, by=by, team=team, now=plane.clock.now())
    return make_bill(plane.context, plane.parts.metering, query, may_see)


def shown(made: Bill) -> dict[tuple[str | None, ...], str]:
    return {line.key: str(line.shown) if line.shown else "unknown" for line in made.lines}


def running_job(plane: Plane, **fields: object) -> str:
    resources = {"cpu": 2, "memory": "4GB"}
    run = plane.submit(resources=resources, **fields)
    plane.until(lambda: plane.run(run).phase is Phase.RUNNING)
    return run


def end(plane: Plane, run: str) -> timedelta:
    """Let the job end, and return how long it ran."""
    replica = plane.world.replicas[f"{run}.0.1"]
    plane.world.end(f"{run}.0.1")
    plane.until(lambda: plane.run(run).closed)
    plane.parts.metering.collect()
    assert replica.ended_at is not None
    return replica.ended_at - replica.started_at


def state(plane: Plane, sku: str, amount: str, valid_from: str) -> None:
    new = NewPrice(sku=sku, amount=amount, currency="USD", valid_from=valid_from)
    with plane.write() as connection:
        state_price(connection, plane.context, plane.actor(), new)


def commit(plane: Plane, *records: UsageRecord) -> None:
    plane.context.ledger.commit("test", records, expected=None, cursor="1")


def record(position: str, **changes: object) -> UsageRecord:
    fields: dict[str, object] = {
        "source": "test",
        "position": position,
        "meter": Meter.TRAINING_SECONDS,
        "quantity": 3600,
        "team": TEAM,
        "workload": "job/train",
        "platform": "local",
        "cpu": 1.0,
        "memory_bytes": 1_000_000_000,
        "started_at": datetime(2026, 1, 1, tzinfo=UTC),
        "ended_at": datetime(2026, 1, 1, 1, tzinfo=UTC),
    }
    return UsageRecord.model_validate(fields | changes)


def test_a_job_costs_its_time_at_the_local_rates(plane: Plane) -> None:
    run = running_job(plane)
    plane.step(7200)
    ran = end(plane, run)
    made = bill(plane)
    (line,) = made.lines
    hours = Decimal(ran // timedelta(microseconds=1)) / 3_600_000_000
    wanted = hours * (2 * Decimal("0.033") + 4 * Decimal("0.0034925"))
    assert line.key == (TEAM, "job/train")
    assert line.cost is not None
    assert abs(line.cost.amount - wanted) < Decimal("1e-11")
    assert line.seen_at is None
    assert [str(total.shown) for total in made.totals] == ["0.16 USD"]


def test_what_still_runs_is_billed_up_to_when_it_was_seen_and_marked(plane: Plane) -> None:
    run = running_job(plane)
    plane.step(3600)
    before = bill(plane)
    # Whether its minutes stand in the ledger already makes no difference.
    plane.parts.metering.collect()
    assert [total.cost for total in bill(plane).totals] == [total.cost for total in before.totals]
    plane.step(10)
    seen = plane.attempts(run)[0].seen_at
    assert [line.seen_at for line in bill(plane).lines] == [seen]
    plane.clock.advance(3600)
    assert [line.seen_at for line in bill(plane).lines] == [seen]


def test_a_price_change_counts_from_its_moment_on(plane: Plane) -> None:
    state(plane, "local.memory_gb_hour", "0", "2026-01-01")
    commit(plane, record("1"))
    before = bill(plane, until="2026-01-02")
    assert shown(before) == {(TEAM, "job/train"): "0.03 USD"}
    state(plane, "local.cpu_hour", "4", "2026-01-01T00:45")
    made = bill(plane, until="2026-01-02")
    quantities = [
        (part.quantity, str(part.price.amount))
        for part in made.lines[0].parts
        if part.price and part.sku == "local.cpu_hour"
    ]
    assert quantities == [(2700, "0.033"), (900, "4")]
    assert made.totals[0].cost.amount == Decimal("1.02475")
    # What was used before is as it was.
    assert bill(plane, until="2026-01-01T00:45").totals[0].cost.amount == Decimal("0.02475")


def test_bills_of_adjacent_times_add_up_to_the_bill_of_both(plane: Plane) -> None:
    commit(plane, record("1"), record("2", meter=Meter.REQUESTS, quantity=5))
    halves = [
        bill(plane, since="2026-01-01", until="2026-01-01T00:20"),
        bill(plane, since="2026-01-01T00:20", until="2026-01-02"),
    ]
    (whole,) = bill(plane, since="2026-01-01", until="2026-01-02").totals
    assert halves[0].totals[0].cost + halves[1].totals[0].cost == whole.cost


def test_days_and_months_are_cut_at_midnight(plane: Plane) -> None:
    start = datetime(2026, 1, 31, 23, tzinfo=UTC)
    commit(plane, record("1", started_at=start, ended_at=start + 2 * HOUR, quantity=7200))
    made = bill(plane, by="month", since="2026-01-01", until="2026-03-01")
    assert shown(made) == {("2026-01",): "0.04 USD", ("2026-02",): "0.03 USD"}
    made = bill(plane, by="day,sku", since="2026-01-01", until="2026-03-01")
    assert set(shown(made)) == {
        (day, f"local.{sku}")
        for day in ("2026-01-31", "2026-02-01")
        for sku in ("cpu_hour", "memory_gb_hour")
    }


def test_a_record_without_a_size_is_unknown_and_not_zero(plane: Plane) -> None:
    commit(plane, record("1", cpu=None), record("2", team="other"))
    made = bill(plane, until="2026-01-02")
    assert shown(made) == {("other", "job/train"): "0.04 USD", (TEAM, "job/train"): "unknown"}
    assert [str(total.shown) for total in made.totals] == ["0.04 USD"]
    assert made.lines[1].parts[0].quantity == 3600


def test_only_teams_that_may_be_seen_are_on_it(plane: Plane) -> None:
    commit(plane, record("1"), record("2", team="other"))
    made = bill(plane, until="2026-01-02", may_see=lambda team: team == "other")
    assert set(shown(made)) == {("other", "job/train")}
    assert set(shown(bill(plane, until="2026-01-02", team=TEAM))) == {(TEAM, "job/train")}


def test_gaps_of_the_period_are_named(plane: Plane) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    gap = Gap(source="g", position="1", reason="killed", started_at=start, ended_at=start)
    plane.context.ledger.commit("g", [], expected=None, cursor="1", gaps=[gap])
    assert bill(plane, until="2026-01-02").gaps == (gap,)
    assert bill(plane, since="2026-01-02", until="2026-01-03").gaps == ()


def test_without_times_it_is_this_month_so_far() -> None:
    query = parse_query(since=None, until=None, by="team, workload", team=None, now=NOW)
    assert (query.since, query.until) == (datetime(2026, 11, 1, tzinfo=UTC), NOW)
    assert (query.by, query.is_until_now) == ((Group.TEAM, Group.WORKLOAD), True)
    query = parse_query(since=None, until="2026-11-01", by="day", team=None, now=NOW)
    assert query.since == datetime(2026, 10, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("until", "month"),
    [("2026-12-15", 11), ("2027-03-01", 11), ("2026-11-20", 11), ("2026-10-15", 10)],
)
def test_a_bill_that_ends_later_than_now_begins_with_this_month(until: str, month: int) -> None:
    query = parse_query(since=None, until=until, by="day", team=None, now=NOW)
    assert query.since == datetime(2026, month, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"by": "colour"}, "`colour` is no group of a bill; `team`, `workload`"),
        ({"by": ""}, "is no group"),
        ({"by": "team,team"}, "asked for twice"),
        ({"since": "2026-11-02", "until": "2026-11-01"}, "it begins before it ends"),
        ({"since": "2026-11-01", "until": "2026-11-01"}, "it begins before it ends"),
        ({"since": "2027-01-01"}, "it begins before it ends"),
        ({"since": "01.11.2026"}, "is not a day or a time"),
        ({"until": "2026-02-30"}, "is not a day or a time"),
        ({"until": "9999-12-31"}, "from 2000 to 2099"),
    ],
)
def test_what_cannot_be_billed_is_said(fields: dict[str, str], said: str) -> None:
    asked: dict[str, str | None] = {"since": None, "until": None, "by": "team", **fields}
    with pytest.raises(Invalid, match=said):
        parse_query(**asked, team=None, now=NOW)  # type: ignore[arg-type]


def tokens(position: str, number: int, **changes: object) -> UsageRecord:
    fields = {"meter": Meter.INPUT_TOKENS, "quantity": number, "workload": "endpoint/chat"}
    return record(
        position, **{**fields, "platform": None, "cpu": None, "memory_bytes": None, **changes}
    )


def test_tokens_are_lines_of_their_own_and_copies_are_told_apart(plane: Plane) -> None:
    commit(
        plane,
        tokens("1", 10, run="r_a"),
        tokens("2", 5, deployment="azure", meter=Meter.OUTPUT_TOKENS),
        tokens("3", 7, run="r_b", shadow=True),
    )
    made = bill(plane, by="workload,meter", since="2026-01-01", until="2026-01-02")
    assert shown(made) == {
        ("endpoint/chat", "input_tokens"): "0.00 USD",
        ("endpoint/chat", "output_tokens"): "unknown",
        ("endpoint/chat (shadow)", "input_tokens"): "0.00 USD",
    }


def test_an_endpoint_may_have_a_price_for_tokens_whoever_serves_them(plane: Plane) -> None:
    plane.apply(name="chat")
    state(plane, "endpoint/chat.output_tokens", "2000000", "2026-01-01")
    commit(
        plane,
        tokens("1", 5, deployment="azure", meter=Meter.OUTPUT_TOKENS),
        tokens("2", 3, run="r_a", meter=Meter.OUTPUT_TOKENS, estimated=True),
    )
    (line,) = bill(plane, by="team", since="2026-01-01", until="2026-01-02").lines
    assert str(line.shown) == "16.00 USD"
    assert [(part.quantity, part.estimated) for part in line.parts] == [(5, False), (3, True)]
