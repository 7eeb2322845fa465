"""A batch's file says what is answered, by what, and how much may go wrong."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from plinth.domain.batch import BatchInference, allowed_errors


def made(**fields: Any) -> BatchInference:
    return BatchInference(kind="batch", name="b", model="models:/m@champion", **fields)


def test_it_reads_a_data_version_or_files() -> None:
    assert made(data="d@3").dataset == "b"
    assert made(files=("in/*.csv",), output="scores").dataset == "scores"
    for fields in ({}, {"data": "d", "files": ("a.csv",)}):
        with pytest.raises(ValidationError, match="one of the two"):
            made(**fields)


@pytest.mark.parametrize(
    ("written", "rows", "allowed"),
    [(0, 10, 0), (7, 10, 7), ("7", 10, 7), ("1%", 250, 2), ("0.5%", 1000, 5), ("100%", 3, 3)],
)
def test_errors_are_allowed_by_number_or_share(written: Any, rows: int, allowed: int) -> None:
    assert allowed_errors(made(data="d", error_threshold=written).error_threshold, rows) == allowed


@pytest.mark.parametrize("written", ["-1", "1.5", "101%", "some", True, 0.5])
def test_what_is_neither_is_refused(written: Any) -> None:
    with pytest.raises(ValidationError, match="neither a number of rows"):
        made(data="d", error_threshold=written)


@pytest.mark.parametrize("keep", [("a", "a"), ("input_row",)])
def test_columns_are_kept_once_and_are_not_ours(keep: tuple[str, ...]) -> None:
    with pytest.raises(ValidationError):
        made(data="d", keep=keep)


def test_only_a_runs_id_is_resumed() -> None:
    assert made(data="d", resume="r_abc").resume == "r_abc"
    with pytest.raises(ValidationError, match="is not a run's id"):
        made(data="d", resume="nightly")
