"""How far a batch is, whatever its processes wrote."""

from __future__ import annotations

import json

import pytest

from plinth.control.batches.preparation import work_folder
from plinth.control.batches.progress import BatchProgress, read_progress
from tests.control.plane import Plane

RUN = "r_told"


def told(plane: Plane, text: str) -> BatchProgress:
    work = work_folder(plane.context, RUN)
    work.mkdir(parents=True, exist_ok=True)
    (work / "progress.json").write_text(text)
    return read_progress(plane.context, RUN)


@pytest.mark.parametrize("number", ["1" + "0" * 400, "1e400", "NaN", "-1", "true", '"3"', "[]"])
def test_a_number_that_cannot_be_is_as_if_absent(plane: Plane, number: str) -> None:
    assert told(plane, f'{{"left_s": {number}, "rows": {number}}}') == BatchProgress()


def test_what_can_be_counted_with_is_kept(plane: Plane) -> None:
    given = {"rows": 2**53, "rows_done": 1, "left_s": 2.5, "spent_s": 3, "form": "onnx\n"}
    found = told(plane, json.dumps(given))
    assert (found.rows, found.rows_done, found.left_s) == (2**53, 1, 2.5)
    assert (found.spent_s, found.form) == (3.0, "onnx")


def test_one_more_than_can_be_counted_with_is_not_kept(plane: Plane) -> None:
    assert told(plane, json.dumps({"rows": 2**53 + 1, "rows_done": 7})).rows_done == 7
    assert told(plane, json.dumps({"rows": 2**53 + 1})).rows == 0


def test_the_words_hold_for_the_largest_numbers(plane: Plane) -> None:
    found = told(plane, json.dumps({"rows": 2**53, "rows_done": 5, "left_s": 2**53}))
    assert found.words.startswith("5 of 9,007,199,254,740,992 rows")
