"""Sums of the ledger are exact, cut where they are asked to be, and of one moment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plinth.domain.usage import Gap, Meter, UsageRecord
from plinth.metering.ledger import Ledger
from plinth.metering.view import Detail, SumQuery, split, sums_of

START = datetime(2026, 3, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def record(position: str, begins: float, ends: float, **changes: object) -> UsageRecord:
    fields: dict[str, object] = {
        "source": "engine:r_1.0.1",
        "position": position,
        "meter": Meter.TRAINING_SECONDS,
        "quantity": (at(ends) - at(begins)).total_seconds(),
        "team": "ops",
        "workload": "job/train",
        "platform": "local",
        "cpu": 0.5,
        "memory_bytes": 1_000_000_000,
        "started_at": at(begins),
        "ended_at": at(ends),
    }
    return UsageRecord.model_validate(fields | changes)


def request(position: str, begins: float, ends: float, **changes: object) -> UsageRecord:
    changes = {"meter": Meter.REQUESTS, "quantity": 1, "platform": None, "cpu": None} | changes
    return record(position, begins, ends, **changes)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with closing(Ledger(tmp_path / "ledger.db")) as ledger:
        yield ledger


def write(ledger: Ledger, *records: UsageRecord) -> None:
    ledger.commit("test", records, expected=ledger.cursor("test"), cursor=records[-1].position)


def summed(ledger: Ledger, *cuts: float, **query: object) -> list[tuple[str, float, int]]:
    """Return (meter, begin of the period in seconds, millionths) of each sum."""
    asked = SumQuery(cuts=tuple(map(at, cuts)), **query)  # type: ignore[arg-type]
    with ledger.view() as view:
        return sorted(
            (each.meter.value, (each.since - START).total_seconds(), each.millionths)
            for each in view.sums(asked)
        )


def test_records_that_are_alike_are_one_sum(ledger: Ledger) -> None:
    write(ledger, record("1", 0, 60), record("2", 60, 90.000001), request("3", 5, 6))
    assert summed(ledger, 0, 100) == [
        ("requests", 0, 1_000_000),
        ("training_seconds", 0, 90_000_001),
    ]
    asked = SumQuery(cuts=(at(0), at(100)))
    with ledger.view() as view:
        found = {each.meter: each for each in view.sums(asked)}[Meter.TRAINING_SECONDS]
    assert (found.team, found.workload, found.run) == ("ops", "job/train", None)
    assert (found.platform, found.cpu, found.memory_bytes) == ("local", 0.5, 1_000_000_000)


def test_what_is_not_alike_is_kept_apart(ledger: Ledger) -> None:
    write(
        ledger,
        record("1", 0, 1),
        record("2", 0, 1, cpu=2.0),
        record("3", 0, 1, memory_bytes=None),
        record("4", 0, 1, team="other"),
        record("5", 0, 1, workload="job/other"),
        record("6", 0, 1, run="r_2"),
    )
    assert len(summed(ledger, 0, 9)) == 5
    assert len(summed(ledger, 0, 9, details=())) == 4
    assert len(summed(ledger, 0, 9, details=tuple(Detail))) == 6
    assert summed(ledger, 0, 9, team="other") == [("training_seconds", 0, 1_000_000)]


def test_seconds_are_split_at_every_cut_and_requests_count_where_they_began(
    ledger: Ledger,
) -> None:
    write(ledger, record("1", 0, 60), request("2", 9, 60), record("3", 10, 10, quantity=2))
    assert summed(ledger, 5, 10, 30, 50) == [
        ("requests", 5, 1_000_000),
        ("training_seconds", 5, 5_000_000),
        ("training_seconds", 10, 2_000_000),
        ("training_seconds", 10, 20_000_000),
        ("training_seconds", 30, 20_000_000),
    ]


def test_a_record_that_touches_a_cut_is_not_split(ledger: Ledger) -> None:
    write(ledger, record("1", 0, 10), record("2", 10, 20))
    assert summed(ledger, 0, 10, 20) == [
        ("training_seconds", 0, 10_000_000),
        ("training_seconds", 10, 10_000_000),
    ]
    assert summed(ledger, 20, 30) == []


def test_a_view_stands_still_while_others_commit(ledger: Ledger) -> None:
    write(ledger, record("1", 0, 1))
    asked = SumQuery(cuts=(at(0), at(9)))
    with ledger.view() as view:
        write(ledger, record("2", 1, 2))
        assert view.cursor("test") == "1"
        assert [each.millionths for each in view.sums(asked)] == [1_000_000]
        # And a commit does not wait for it.
        assert ledger.cursor("test") == "2"
    with ledger.view() as view:
        assert view.cursor("test") == "2"
        assert view.cursor("nobody") is None


def test_gaps_are_those_that_touch_the_period(ledger: Ledger) -> None:
    gap = Gap(source="g", position="1", reason="killed", started_at=at(10), ended_at=at(20))
    ledger.commit("g", [], expected=None, cursor="1", gaps=[gap])
    with ledger.view() as view:
        assert view.gaps(at(0), at(15)) == [gap]
        assert view.gaps(at(15), at(16)) == [gap]
        assert view.gaps(at(0), at(10)) == []
        assert view.gaps(at(21), at(30)) == []


moments = st.integers(0, 100_000_000).map(lambda micro: START + micro * MICROSECOND)


@given(
    st.lists(st.tuples(moments, moments).map(sorted), min_size=1, max_size=12),
    st.lists(moments, min_size=2, max_size=6, unique=True).map(sorted),
)
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_the_ledger_sums_what_each_record_has_between_the_cuts(
    tmp_path_factory: pytest.TempPathFactory,
    spans: list[list[datetime]],
    cuts: list[datetime],
) -> None:
    records = [
        record(f"{number:03d}", 0, 0).model_copy(
            update={
                "started_at": begins,
                "ended_at": ends,
                "quantity": (ends - begins).total_seconds(),
            }
        )
        for number, (begins, ends) in enumerate(spans)
    ]
    asked = SumQuery(cuts=tuple(cuts))
    path = tmp_path_factory.mktemp("ledger") / "ledger.db"
    with closing(Ledger(path)) as ledger:
        write(ledger, *records)
        with ledger.view() as view:
            found = Counter({each.since: 0 for each in view.sums(asked)})
            for each in view.sums(asked):
                found[each.since] += each.millionths
    wanted: Counter[datetime] = Counter()
    for since, until in pairwise(cuts):
        for begins, ends in spans:
            inside = min(ends, until) - max(begins, since)
            wanted[since] += max(inside // MICROSECOND, 0)
    assert +found == +wanted
    one_by_one = Counter()
    for each in records:
        for part in sums_of(each, asked):
            one_by_one[part.since] += part.millionths
    assert +one_by_one == +wanted


@given(st.integers(0, 10**9), moments, moments, st.lists(moments, max_size=4))
@settings(max_examples=100, deadline=None)
def test_the_parts_of_a_quantity_sum_to_it_wherever_it_is_cut(
    millionths: int, one: datetime, other: datetime, between: list[datetime]
) -> None:
    span = (min(one, other), max(one, other))
    ends = [START - MICROSECOND, START + timedelta(days=1)]
    cuts = sorted({*between, *ends})
    assert sum(part for part, _ in split(millionths, span, cuts)) == millionths


def test_what_is_not_in_the_ledger_yet_is_summed_alike() -> None:
    asked = SumQuery(cuts=(at(0), at(10), at(20)), details=(Detail.RUN,), team="ops")
    found = sums_of(record("1", 5, 25, run="r_1"), asked)
    assert [(each.millionths, each.run, each.workload) for each in found] == [
        (5_000_000, "r_1", None),
        (10_000_000, "r_1", None),
    ]
    assert sums_of(record("1", 5, 25, team="other"), asked) == []


def test_what_one_run_used_is_found_by_its_source(ledger: Ledger) -> None:
    def of(run: str, position: str, seconds: float) -> UsageRecord:
        return record(position, 0, seconds, source=f"engine:{run}.0.1", run=run)

    write(ledger, of("r_1", "0", 60), of("r_12", "1", 30), of("r_1", "2", 5))
    write(ledger, record("3", 0, 7, source="engine:r_1.0.2/4", run="r_1"))
    assert summed(ledger, 0, 3600, runs=("r_1",)) == [("training_seconds", 0.0, 72_000_000)]
    both = summed(ledger, 0, 30, 3600, runs=("r_1", "r_none"))
    assert sum(millionths for _, _, millionths in both) == 72_000_000


def test_what_a_workload_used_counts_from_a_time_on(ledger: Ledger) -> None:
    write(
        ledger, record("0", 0, 60), record("1", 100, 160), record("2", 100, 160, workload="job/x")
    )
    since = (("job/train", at(100)),)
    assert summed(ledger, 0, 3600, workloads=since) == [("training_seconds", 0.0, 60_000_000)]
    asked = SumQuery(cuts=(at(0), at(3600)), workloads=since)
    assert asked.holds(run=None, workload="job/train", started_at=at(100))
    assert not asked.holds(run=None, workload="job/train", started_at=at(99))
    assert not SumQuery(cuts=(at(0), at(1)), runs=("r_1",)).holds(
        run="r_12", workload="job/train", started_at=at(0)
    )
