"""T0b: a tighter schedule where models have to be fresh."""

from __future__ import annotations

import pytest

from plinth.domain.plan import Outcome
from plinth.planning.rules.train import fresh_enough
from tests.planning.rules.placed import admitted, application, need, place

CLUSTER = place("azureml-compute-cluster")


def fields(freshness: str, runs: float, duration: str | None) -> dict[str, object]:
    demand: dict[str, object] = {"runs": runs}
    if duration is not None:
        demand["duration"] = duration
    return {"train": {"demand": demand, "requirements": {"freshness": freshness}}}


def test_a_daily_run_keeps_a_model_below_two_days() -> None:
    said = fresh_enough(need(part="train", **fields("2d", 31, "3h")), CLUSTER)
    assert said is not None
    assert said.outcome is Outcome.OK
    assert said.reason == "a model may be 48 h old; 31 runs a month of 3 h let it grow 26.5 h old"


@pytest.mark.parametrize(
    ("freshness", "runs", "duration", "change"),
    [
        ("1d", 4, "3h", "train.demand.runs: 35"),
        ("2h", 30, "90m", "train.requirements.freshness: 26h"),
        ("6h", 30, "6h", "train.requirements.freshness: 31h"),
        ("9h", 1, "5h", "train.requirements.freshness: 735h"),
    ],
    ids=["run more often", "runs would overlap", "one run takes as long", "no room in a month"],
)
def test_too_few_runs_are_rejected_with_what_would_hold(
    freshness: str, runs: float, duration: str, change: str
) -> None:
    asked = fields(freshness, runs, duration)
    said = fresh_enough(need(part="train", **asked), CLUSTER)
    assert said is not None
    assert said.outcome is Outcome.NOT_OK
    assert str(said.change) == change
    assert admitted(fresh_enough, application("train", **asked), CLUSTER, "train")


def test_a_schedule_that_is_too_wide_is_rejected_also_before_the_duration_is_known() -> None:
    said = fresh_enough(need(part="train", **fields("1d", 4, None)), CLUSTER)
    assert said is not None
    assert said.outcome is Outcome.NOT_OK
    assert "4 runs a month start 182.5 h apart" in said.reason
    assert said.change is None


def test_without_a_duration_it_asks_for_it() -> None:
    said = fresh_enough(need(part="train", **fields("2d", 31, None)), CLUSTER)
    assert said is not None
    assert said.outcome is Outcome.UNKNOWN
    assert said.reason.endswith("how long one takes is not stated: `train.demand.duration`")


def test_without_a_freshness_nothing_is_asked() -> None:
    assert fresh_enough(need(part="train", train={}), CLUSTER) is None
