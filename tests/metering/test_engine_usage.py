"""Intervals of a replica become the same records however often they are observed."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plinth.domain.run import WorkerTime
from plinth.domain.usage import Meter
from plinth.metering.engine_usage import ReplicaSpan, record_workers, usage_of
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


# -- workers of an elastic replica -----------------------------------------------------------------


def worker(number: int, started_s: float, ended_s: float | None = None) -> WorkerTime:
    return WorkerTime(
        number=number,
        started_at=START + timedelta(seconds=started_s),
        ended_at=None if ended_s is None else START + timedelta(seconds=ended_s),
    )


class Told:
    """Stands for the engine: places are how many workers ended before."""

    def __init__(self) -> None:
        self.times: list[WorkerTime] = []
        self.asked: list[int] = []

    def read(self, offset: int) -> tuple[list[WorkerTime], int]:
        self.asked.append(offset)
        found = self.times[offset:]
        ended = next((n for n, each in enumerate(found) if each.ended_at is None), len(found))
        return found, offset + ended


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with closing(Ledger(tmp_path / "ledger.db")) as ledger:
        yield ledger


def seconds(ledger: Ledger) -> float:
    return sum(record.quantity for record in ledger.records())


def test_while_no_worker_runs_nothing_is_counted(ledger: Ledger) -> None:
    record_workers(ledger, span(86400), Told().read)
    record_workers(ledger, span(86400, 90000), Told().read)
    assert ledger.records() == []


def test_the_seconds_of_all_workers_are_counted_and_each_once(ledger: Ledger) -> None:
    told = Told()
    told.times = [worker(1, 0, 10.5), worker(2, 5, 70)]
    for _ in range(3):
        record_workers(ledger, span(100), told.read)
    assert seconds(ledger) == 10.5 + 65
    assert told.asked == [0, 2, 2]
    assert {record.source for record in ledger.records()} == {
        "engine:r_1.0.1/1",
        "engine:r_1.0.1/2",
    }


def test_one_that_runs_is_counted_by_whole_minutes_and_to_its_end(ledger: Ledger) -> None:
    told = Told()
    told.times = [worker(1, 30)]
    record_workers(ledger, span(155), told.read)
    assert seconds(ledger) == 120
    told.times = [worker(1, 30, 160.25), worker(2, 200)]
    record_workers(ledger, span(210), told.read)
    assert seconds(ledger) == 130.25
    # Nobody wrote the second one's end: it ended with the replica.
    record_workers(ledger, span(210, 230), told.read)
    assert seconds(ledger) == 160.25
    record_workers(ledger, span(210, 230), told.read)
    assert seconds(ledger) == 160.25


def test_who_began_as_the_replica_was_lost_is_not_counted_backwards(ledger: Ledger) -> None:
    told = Told()
    told.times = [worker(1, 50)]
    record_workers(ledger, span(40, 45), told.read)
    assert ledger.records() == []


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(1, 200)), max_size=6), st.data())
def test_however_often_it_is_read_the_sum_is_the_workers_seconds(
    lives: list[tuple[int, int]], data: st.DataObject
) -> None:
    whole = [worker(n + 1, start, start + length) for n, (start, length) in enumerate(lives)]
    whole.sort(key=lambda each: each.started_at)
    looks = sorted(data.draw(st.lists(st.integers(0, 500), max_size=5)))
    with (
        tempfile.TemporaryDirectory(prefix="pl-") as folder,
        closing(Ledger(Path(folder) / "l.db")) as ledger,
    ):
        told = Told()
        for look in (*looks, 500):
            now = START + timedelta(seconds=look)
            told.times = [
                each if each.ended_at <= now else each.model_copy(update={"ended_at": None})
                for each in whole
                if each.ended_at is not None and each.started_at <= now
            ]
            record_workers(ledger, span(look), told.read)
        assert seconds(ledger) == sum(length for _, length in lives)
