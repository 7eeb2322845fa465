"""The file of a unit's workers: who ran when, and who runs; whatever was cut off."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from plinth.units.processes import Process
from plinth.units.worker_times import (
    WorkerTime,
    note_end,
    note_start,
    read_times,
    running_workers,
)

T = datetime(2026, 1, 2, tzinfo=UTC)
A, B = Process(11, 1), Process(12, 2)


def at(seconds: float) -> datetime:
    return T + timedelta(seconds=seconds)


def test_without_a_file_nobody_ran(tmp_path: Path) -> None:
    assert running_workers(tmp_path / "workers") == []
    assert read_times(tmp_path / "workers", 0) == ([], 0)


def test_each_line_says_who_runs_from_then_on(tmp_path: Path) -> None:
    path = tmp_path / "workers"
    note_start(path, WorkerTime(1, at(0)), [A])
    assert running_workers(path) == [A]
    note_start(path, WorkerTime(2, at(1)), [A, B])
    assert running_workers(path) == [A, B]
    note_end(path, WorkerTime(1, at(0), at(2)), None, [B])
    assert running_workers(path) == [B]
    note_end(path, WorkerTime(2, at(1), at(3)), "ended by SIGKILL", [])
    assert running_workers(path) == []


def test_what_is_read_goes_on_before_the_first_that_still_runs(tmp_path: Path) -> None:
    path = tmp_path / "workers"
    note_start(path, WorkerTime(1, at(0)), [A])
    note_end(path, WorkerTime(1, at(0), at(1)), None, [])
    found, offset = read_times(path, 0)
    assert (found, offset) == ([WorkerTime(1, at(0), at(1))], path.stat().st_size)
    note_start(path, WorkerTime(2, at(2)), [A])
    note_start(path, WorkerTime(3, at(3)), [A, B])
    note_end(path, WorkerTime(3, at(3), at(4)), None, [A])
    found, again = read_times(path, offset)
    assert found == [WorkerTime(2, at(2)), WorkerTime(3, at(3), at(4))]
    assert again == offset
    note_end(path, WorkerTime(2, at(2), at(5)), None, [])
    assert read_times(path, again)[1] == path.stat().st_size


def test_a_line_that_was_cut_off_says_nothing(tmp_path: Path) -> None:
    path = tmp_path / "workers"
    note_start(path, WorkerTime(1, at(0)), [A])
    size = path.stat().st_size
    note_start(path, WorkerTime(2, at(1)), [A, B])
    for cut in range(size, path.stat().st_size):
        copy = tmp_path / "copy"
        copy.write_bytes(path.read_bytes()[:cut])
        assert running_workers(copy) == [A]
        assert read_times(copy, 0) == ([WorkerTime(1, at(0))], 0)


@given(st.lists(st.booleans(), max_size=30), st.lists(st.integers(0, 29), max_size=6))
def test_reading_on_tells_every_worker_once_whenever_it_is_read(
    steps: list[bool], reads: list[int]
) -> None:

    with tempfile.TemporaryDirectory(prefix="pl-") as folder:
        path, running, offset, count = Path(folder) / "workers", {}, 0, 0
        told: dict[int, WorkerTime] = {}
        for number, starts in enumerate(steps):
            if starts or not running:
                count += 1
                running[count] = WorkerTime(count, at(number))
                note_start(path, running[count], [A] * len(running))
            else:
                life = running.pop(next(iter(running)))
                note_end(path, WorkerTime(life.number, life.started_at, at(number)), None, [])
            if number in reads:
                found, offset = read_times(path, offset)
                told |= {each.number: each for each in found}
        told |= {each.number: each for each in read_times(path, offset)[0]}
        assert told == {each.number: each for each in read_times(path, 0)[0]}
        assert {n for n, each in told.items() if each.ended_at is None} == set(running)
