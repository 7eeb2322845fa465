"""H13b: a long parallel run goes on where it stopped, has each row once, and sets poison aside.

Whole runs, killed for real: `tests/journeys/test_product_batches.py` and `test_batchrunner.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from plinth.runtimes.batchrunner.journal import Journal, read_journals, write_part
from plinth.runtimes.batchrunner.manifest import manifest_of
from plinth.runtimes.batchrunner.order import Hopeless, InputFile, Order
from plinth.runtimes.batchrunner.work import (
    Finished,
    Index,
    Part,
    allowed_errors,
    portions,
    rows_of,
)

SIZE = 3
INDEXES = {0: Index(0, 7), 1: Index(1, 0), 2: Index(2, 4)}
EVERY = [(0, 0), (0, 1), (0, 2), (2, 0), (2, 1)]


def order_of(folder: Path) -> Order:
    """Return what was asked: three files, one of them empty."""
    given: dict[str, Any] = dict.fromkeys(Order.__dataclass_fields__)
    files = tuple(InputFile(f"{number}.csv", "d" * 64, 1) for number in INDEXES)
    given |= {"files": files, "mini_batch": SIZE, "keep": (), "facts": {}, "data": folder}
    return Order(**given)


def work_through(folder: Path, attempt: str, most: int) -> list[tuple[int, int]]:
    """Be an attempt that is killed after so many mini-batches; return which it answered."""
    _, finished = read_journals(folder / "journal")
    left = [
        (one.file, batch)
        for one in portions(INDEXES, finished, size=SIZE, workers=2)
        for batch in range(one.first, one.last + 1)
    ][:most]
    journal = Journal(folder / "journal", attempt)
    for file, batch in left:
        first, stop = rows_of(INDEXES[file], batch, SIZE)
        # The first row of each mini-batch is poison.
        out, aside = (
            write_part(folder, f"{kind}-{file}-{batch}", f"{rows}".encode(), rows)
            for kind, rows in (("output", stop - first - 1), ("quarantine", 1))
        )
        one = Finished(file, batch, stop - first, output=out, quarantine=aside)
        assert one.is_whole
        journal.finish(one)
    journal.close()
    return left


def test_what_is_finished_is_never_answered_again(tmp_path: Path) -> None:
    done = [work_through(tmp_path, f"a{number}", most) for number, most in enumerate((2, 1, 0, 9))]
    assert sorted(each for one in done for each in one) == EVERY
    assert work_through(tmp_path, "again", 9) == []


def test_each_row_is_in_the_output_or_set_aside_and_the_manifest_says_so(tmp_path: Path) -> None:
    work_through(tmp_path, "a", 9)
    _, finished = read_journals(tmp_path / "journal")
    said = manifest_of(order_of(tmp_path), INDEXES, finished, {"form": "pyfunc"})
    assert (said["rows"], said["answered"], said["set_aside"]) == (11, 6, 5)
    assert [each["rows"] for each in said["files"]] == [7, 0, 4]


def test_a_run_that_lacks_a_row_is_not_done(tmp_path: Path) -> None:
    work_through(tmp_path, "a", 4)
    _, finished = read_journals(tmp_path / "journal")
    with pytest.raises(Hopeless, match="1 mini-batches are missing"):
        manifest_of(order_of(tmp_path), INDEXES, finished, {"form": "pyfunc"})
    lost = Finished(0, 0, 3, output=Part("p", "d", 1, 1), quarantine=Part("q", "d", 1, 1))
    assert not lost.is_whole


def test_only_so_many_rows_may_be_poison() -> None:
    assert allowed_errors("0", 1_000_000) == 0
    assert allowed_errors("1%", 1_000) == 10
