"""A batch is shown with how far it is and how its model runs."""

from __future__ import annotations

from typing import Any

import pytest

from plinth.cli.show_batch import rate_of, show_batch

PROGRESS: dict[str, Any] = {
    "form": "onnx",
    "rows_done": 4,
    "taken_over": 2,
    "workers": 2,
    "rows_per_second": 1234.5,
    "left_s": 61.0,
}


def test_it_says_how_the_model_runs_and_why(capsys: pytest.CaptureFixture[str]) -> None:
    form = {"form": "onnx", "why": "as before", "compared": {"tolerance": "1e-05"}}
    batch = {"progress": PROGRESS, "words": "4 of 9 rows", "manifest": {"form": form}}
    run = {"id": "r_1", "model": {"name": "m", "version": 3}, "batch": {**batch, "output": "d@1"}}
    show_batch(run)
    shown = capsys.readouterr().out
    for words in ("m/3", "onnx: as before (tolerance 1e-05)", "4 of 9 rows", "2 rows", "d@1"):
        assert words in shown


def test_the_rate_is_told_with_what_is_left() -> None:
    assert rate_of(PROGRESS) == "1,234 rows/s, 1m 01s left"
    assert rate_of({"rows_per_second": None, "left_s": None}) == ""
