"""What an evaluation has told is read as a whole, or as far as it came when it failed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from plinth.cli.flow_found import read_found
from plinth.kit.errors import PlinthError

RUN = {"id": "r_1", "tracking_run": "m1", "message": "exited with code 5", "phase": "failed"}
METRICS = {"metrics": {"default": {"rows": 1, "failed": 0}}}


def began(row: int, variant: str = "default") -> Any:
    return {"began": {"variant": variant, "row": row}}


def result(row: int, variant: str = "default") -> Any:
    return {"result": {"variant": variant, "row": row, "output": "hello"}}


def told(*lines: Any) -> bytes:
    return "".join(json.dumps(each) + "\n" for each in lines).encode()


def failure(content: bytes, printed: str = "") -> str:
    found = read_found(RUN, content, lambda: printed)
    assert found.failure is not None
    return found.failure.message


def test_results_stand_in_the_order_of_variants_and_rows() -> None:
    lines = (result(2, "a.b"), result(1, "a.b"), result(1, "a.a"), {"metrics": {"a": {"rows": 3}}})
    found = read_found({**RUN, "phase": "succeeded"}, told(*lines), str)
    assert [(each["variant"], each["row"]) for each in found.results] == [
        *(("a.b", 1), ("a.b", 2), ("a.a", 1)),
    ]
    assert found.to_json()["error"] is None


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ((began(1), result(1), began(2)), "exited with code 5 while row 2 ran"),
        ((began(1), began(2), began(3), result(2)), "exited with code 5 while rows 1 and 3 ran"),
        ((began(1), began(2), began(3)), "while rows 1, 2 and 3 ran"),
        ((began(1, "ask.terse"),), "while row 1 of `ask.terse` ran"),
        ((began(1), result(1)), "failed: exited with code 5"),
        ((), "failed: exited with code 5"),
    ],
)
def test_the_rows_that_ran_when_it_ended_are_named(lines: tuple[Any, ...], words: str) -> None:
    assert failure(told(*lines)).endswith(words)


def test_what_was_printed_last_stands_behind_the_cause() -> None:
    words = "failed: exited with code 5; the last line that it printed: [WARNING] no exporter"
    assert failure(b"", "one\n[WARNING] no exporter\n\n").endswith(words)
    # Its own words say more than that.
    assert failure(told({"error": "no output `x`"}), "printed").endswith("failed: no output `x`")


def test_half_a_line_was_not_told() -> None:
    content = told(began(1), result(1), began(2)) + b'{"result": {"variant": "defa'
    assert failure(content).endswith("while row 2 ran")
    assert len(read_found(RUN, content, str).results) == 1


@pytest.mark.parametrize(
    "lines",
    [(METRICS,), (result(1),), (3, result(1), METRICS), ({"result": 7}, METRICS), ([], METRICS)],
)
def test_what_does_not_fit_together_is_refused(lines: tuple[Any, ...]) -> None:
    with pytest.raises(PlinthError, match="is not whole"):
        read_found({**RUN, "phase": "succeeded"}, told(*lines), str)
