"""Intervals of a replica become the same records however often they are observed."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from plinth.domain.usage import Meter
from plinth.metering.engine_usage import ReplicaSpan, usage_of
from plinth.metering.ledger import Ledger

START = datetime(2026, 3, 1, 12, 0, 30, 250_000, tzinfo=UTC)


def span(seen_s: float, ended_s: float | None = None) -> ReplicaSpan:
    return ReplicaSpan(
        run="r_1",
        replica=0,
        attempt=1,
        meter=Meter.TRAINING_SECONDS,
        team="research",
        workload="job/train",
        started_at=START,
        seen_at=START + timedelta(seconds=seen_s),
        ended_at=None if ended_s is None else START + timedelta(seconds=ended_s),
    )


def test_nothing_is_recorded_before_the_first_minute_is_over() -> None:
    assert usage_of(span(59.9), None) == ([], None)


def test_whole_minutes_are_recorded_while_it_runs() -> None:
    records, cursor = usage_of(span(125), None)
    assert [record.quantity for record in records] == [60, 60]
    assert records[0].source == "engine:r_1.0.1"
    assert records[1].started_at == START + timedelta(seconds=60)
    assert cursor == "2"


def test_the_rest_is_recorded_at_the_end() -> None:
    records, cursor = usage_of(span(120, 130.5), "2")
    assert [(record.position, record.quantity) for record in records] == [("000000002", 10.5)]
    assert usage_of(span(120, 130.5), cursor) == ([], cursor)


def test_a_replica_that_ends_on_the_minute_has_no_empty_record() -> None:
    records, cursor = usage_of(span(0, 120), None)
    assert [record.quantity for record in records] == [60, 60]
    assert cursor == "final"


def test_an_end_before_the_last_whole_minute_adds_nothing() -> None:
    assert usage_of(span(200, 100), "3") == ([], "final")


@given(st.lists(st.floats(0, 2000), max_size=10), st.floats(0, 2000), st.booleans())
def test_any_observations_sum_to_the_whole_time_once(
    seen: list[float], length: float, crash: bool
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger(Path(folder) / "ledger.db")
        observed = [span(min(second, length)) for second in sorted(seen)]
        final = span(length, length)
        for each in (*observed, final, final):
            cursor = ledger.cursor(each.source)
            records, moved = usage_of(each, cursor)
            if crash:  # read, died, read again
                records, moved = usage_of(replace(each), cursor)
            if moved is not None and moved != cursor:
                ledger.commit(each.source, records, expected=cursor, cursor=moved)
        assert ledger.records() == usage_of(final, None)[0]
        total = sum(record.quantity for record in ledger.records())
        assert abs(total - (final.ended_at - START).total_seconds()) < 1e-3  # type: ignore[operator]
        ledger.close()
