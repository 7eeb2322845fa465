"""Of a metric with many values some hundreds are drawn, evenly, to the last."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from plinth.tracking.mlflow import Tracking
from plinth.tracking.rest import Rest


def history(monkeypatch: pytest.MonkeyPatch, metrics: list[dict[str, Any]]) -> Any:
    asked: list[Mapping[str, str]] = []

    def get(_self: Rest, _path: str, parameters: Mapping[str, str], **_team: str) -> Any:
        asked.append(parameters)
        return {"metrics": metrics}

    monkeypatch.setattr(Rest, "get", get)
    with Tracking(Path(tempfile.mkdtemp(prefix="pl-")) / "absent.sock") as tracking:
        found = tracking.metric_history("red", "m1", "loss")
    assert asked == [{"run_ids": "m1", "metric_key": "loss", "max_results": "300"}]
    return found


def test_values_stand_in_the_order_of_their_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    told = [{"step": 7, "value": 0.5}, {"step": 0, "value": 1.0}, {"step": 9, "value": "NaN"}]
    assert history(monkeypatch, told)[:2] == [(0.0, 1.0), (7.0, 0.5)]


def test_what_is_no_number_has_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    told = [{"step": 2, "value": "Infinity"}, {"step": 1, "value": "NaN"}, {"step": 1, "value": 3}]
    found = history(monkeypatch, told)
    assert math.isnan(found[0][1])
    assert found[1:] == [(1.0, 3.0), (2.0, math.inf)]


def test_without_steps_values_are_counted_and_thinned(monkeypatch: pytest.MonkeyPatch) -> None:
    found = history(monkeypatch, [{"step": 0, "value": float(each)} for each in range(1000)])
    assert found[0] == (0.0, 0.0)
    assert found[-1] == (999.0, 999.0)
    assert 200 < len(found) <= 301


def test_a_metric_without_values_has_no_curve(monkeypatch: pytest.MonkeyPatch) -> None:
    assert history(monkeypatch, []) == []
