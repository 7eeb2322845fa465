"""What MLflow says of a run: its metrics, those that are no numbers, the versions it logged."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from plinth.tracking.mlflow import Tracking
from plinth.tracking.rest import Rest


@pytest.fixture
def tracking() -> Iterator[Tracking]:
    with Tracking(Path(tempfile.mkdtemp(prefix="pl-")) / "absent.sock") as made:
        yield made


def answering(monkeypatch: pytest.MonkeyPatch, answer: dict[str, Any]) -> list[Mapping[str, str]]:
    asked: list[Mapping[str, str]] = []

    def get(_self: Rest, _path: str, parameters: Mapping[str, str], **_team: str) -> Any:
        asked.append(parameters)
        return answer

    monkeypatch.setattr(Rest, "get", get)
    return asked


def test_a_metric_that_ended_as_no_number_is_named_apart(
    monkeypatch: pytest.MonkeyPatch, tracking: Tracking
) -> None:
    metrics = [{"key": "auc", "value": 0.5}, {"key": "loss", "value": "NaN"}]
    answering(monkeypatch, {"run": {"data": {"metrics": metrics}}})
    found = tracking.describe_run("red", "m1")
    assert (found.metrics, found.numberless) == ({"auc": 0.5}, ("loss",))


def test_the_versions_of_a_run_are_asked_for_by_the_run(
    monkeypatch: pytest.MonkeyPatch, tracking: Tracking
) -> None:
    row = {"name": "m", "version": "3", "source": "mlflow-artifacts:/m/3", "run_id": "m1"}
    asked = answering(monkeypatch, {"model_versions": [row]})
    (found,) = tracking.models_of_run("red", "m1")
    assert (found.name, found.version, found.tracking_run_id) == ("m", 3, "m1")
    assert asked == [{"filter": "run_id='m1'", "max_results": "20"}]


def test_a_run_that_registered_nothing_has_no_versions(
    monkeypatch: pytest.MonkeyPatch, tracking: Tracking
) -> None:
    answering(monkeypatch, {})
    assert tracking.models_of_run("red", "m1") == []
