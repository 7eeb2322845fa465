"""Every mini-batch is done exactly once, whatever is killed and however often it is begun again."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plinth.runtimes.batchrunner.journal import (
    Journal,
    is_there,
    read_journals,
    sweep,
    write_part,
)
from plinth.runtimes.batchrunner.work import (
    Finished,
    Index,
    Part,
    Portion,
    allowed_errors,
    count_batches,
    portions,
    rows_of,
)

# Where a worker may be killed while it finishes a mini-batch.
POINTS = ("before", "half a part", "part without its name", "part", "half a line", "line")
SIZE = 3


class Killed(Exception):
    """A worker ended here."""


class Attempt:
    """One attempt over a folder, killed at a point of one of its mini-batches."""

    def __init__(self, work: Path, name: str, indexes: dict[int, Index], computed: Counter) -> None:
        for folder in ("output", "quarantine"):
            (work / folder).mkdir(exist_ok=True)
        self.work, self.indexes, self.computed = work, indexes, computed
        self.journal = Journal(work / "journal", name)
        _, found = read_journals(work / "journal")
        self.finished = {
            key: one for key, one in found.items() if is_there(work / "output", one.output)
        }
        sweep(work / "output", self.finished, "output")

    def run(self, workers: int, kill_at: int | None, point: str) -> None:
        done = 0
        for portion in portions(self.indexes, self.finished, size=SIZE, workers=workers):
            for batch in range(portion.first, portion.last + 1):
                self.one(portion.file, batch, point if done == kill_at else None)
                done += 1

    def one(self, file: int, batch: int, point: str | None) -> None:
        first, stop = rows_of(self.indexes[file], batch, SIZE)
        name = f"part-{file:05d}-{batch:06d}.parquet"
        if point == "before":
            raise Killed
        self.computed[file, batch] += 1
        content = f"{file}:{first}:{stop}".encode()
        if point == "half a part":
            (self.work / "output" / f".{name}.tmp").write_bytes(content[:1])
            raise Killed
        if point == "part without its name":
            (self.work / "output" / f".{name}.tmp").write_bytes(content)
            raise Killed
        part = write_part(self.work / "output", name, content, stop - first)
        if point == "part":
            raise Killed
        if point == "half a line":
            os.write(self.journal._descriptor, b'{"finished":{"file":')
            raise Killed
        self.journal.finish(Finished(file, batch, stop - first, output=part))
        if point == "line":
            raise Killed


@settings(max_examples=40, deadline=None)
@given(
    files=st.lists(st.integers(0, 14), min_size=1, max_size=4),
    kills=st.lists(
        st.tuples(st.integers(0, 12), st.sampled_from(POINTS), st.integers(1, 4)), max_size=8
    ),
)
def test_each_row_is_in_the_output_once_and_nothing_finished_is_done_again(
    files: list[int], kills: list[tuple[int, str, int]]
) -> None:
    indexes = {number: Index(number, rows) for number, rows in enumerate(files)}
    computed: Counter[tuple[int, int]] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        work, was_finished = Path(folder), Counter()
        for number, (at, point, workers) in enumerate([*kills, (-1, "", 2)]):
            attempt = Attempt(work, f"a{number}", indexes, computed)
            before = {key: computed[key] for key in attempt.finished}
            try:
                attempt.run(workers, at if at >= 0 else None, point)
            except Killed:
                pass
            finally:
                attempt.journal.close()
            for key, times in before.items():
                assert computed[key] == times, "a finished mini-batch was done again"
                was_finished[key] += 1
        _, finished = read_journals(work / "journal")
        rows = [
            (file, row)
            for path in sorted((work / "output").iterdir())
            for file, first, stop in [map(int, path.read_text().split(":"))]
            for row in range(first, stop)
        ]
        wanted = [(number, row) for number, count in enumerate(files) for row in range(count)]
        assert sorted(rows) == wanted
        assert sum(one.rows for one in finished.values()) == len(wanted)
        assert not list((work / "output").glob(".*"))


@settings(max_examples=60, deadline=None)
@given(
    files=st.lists(st.integers(0, 50), min_size=1, max_size=5),
    size=st.integers(1, 9),
    workers=st.integers(1, 8),
    data=st.data(),
)
def test_portions_hold_each_mini_batch_that_is_left_once(
    files: list[int], size: int, workers: int, data: st.DataObject
) -> None:
    indexes = {number: Index(number, rows) for number, rows in enumerate(files)}
    every = [(n, b) for n, rows in enumerate(files) for b in range(count_batches(rows, size))]
    done = data.draw(st.sets(st.sampled_from(every))) if every else set()
    found = portions(indexes, done, size=size, workers=workers)
    shared = [(one.file, batch) for one in found for batch in range(one.first, one.last + 1)]
    assert shared == [key for key in every if key not in done]


def test_neighbours_stay_together_and_workers_get_several_portions() -> None:
    found = portions({0: Index(0, 100)}, [], size=10, workers=1)
    assert found == [
        Portion(0, 0, 1),
        Portion(0, 2, 3),
        Portion(0, 4, 5),
        Portion(0, 6, 7),
        Portion(0, 8, 9),
    ]


def test_the_last_mini_batch_has_the_rest() -> None:
    assert rows_of(Index(0, 7), 2, 3) == (6, 7)
    assert (count_batches(0, 3), count_batches(6, 3), count_batches(7, 3)) == (0, 2, 3)


def test_a_share_of_rows_is_rounded_down() -> None:
    assert [allowed_errors(each, 250) for each in ("0", "7", "1%", "0.5%", "100%")] == [
        *(0, 7, 2, 1, 250)
    ]
    # As a float, this share of a thousand is a little less than 641.
    assert allowed_errors("64.1%", 1000) == 641


def test_a_mini_batch_that_lost_rows_is_not_whole() -> None:
    part = Part("p", "d", 2, 9)
    assert Finished(0, 0, 3, output=part, quarantine=Part("q", "d", 1, 9)).is_whole
    assert not Finished(0, 0, 3, output=part).is_whole


def test_a_part_whose_size_is_wrong_is_not_there(tmp_path: Path) -> None:
    part = write_part(tmp_path, "p", b"abc", 1)
    assert is_there(tmp_path, part)
    (tmp_path / "p").write_bytes(b"ab")
    assert not is_there(tmp_path, part)


def test_a_journal_is_never_written_by_two(tmp_path: Path) -> None:
    Journal(tmp_path, "a").close()
    with pytest.raises(FileExistsError):
        Journal(tmp_path, "a")
