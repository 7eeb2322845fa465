"""T5a: serverless compute for short, irregular runs, by the duty cycle."""

from __future__ import annotations

import pytest

from plinth.domain.plan import Outcome
from plinth.planning.rules.duty import short_and_irregular
from tests.planning.rules.placed import admitted, application, need, place


def fields(runs: float, duration: str) -> dict[str, object]:
    return {"train": {"demand": {"runs": runs, "duration": duration}}}


@pytest.mark.parametrize(
    ("name", "tier"),
    [("azureml-serverless-compute", "pay-as-you-go"), ("azureml-serverless-spot", "spot")],
)
def test_short_runs_suit_both_price_tiers(name: str, tier: str) -> None:
    said = short_and_irregular(need(part="train", **fields(8, "5h")), place(name, tier=tier))
    assert said is not None
    assert said.outcome is Outcome.OK
    assert said.reason == (
        "runs of 5 h, busy 40 h of 730 a month: a duty cycle of 5.5%, and nothing is paid between "
        "them"
    )


@pytest.mark.parametrize(
    ("name", "days", "change"),
    [("azureml-serverless-compute", 25, "504h"), ("azureml-serverless-spot", 10, "168h")],
)
def test_a_run_that_outlives_its_compute_is_rejected(name: str, days: int, change: str) -> None:
    asked = fields(1, f"{days}d")
    said = short_and_irregular(need(part="train", **asked), place(name))
    assert said is not None
    assert said.outcome is Outcome.NOT_OK
    assert said.reason == f"one run takes {days * 24} h; a job lives {change[:-1]} h there at most"
    assert said.change is not None
    assert (said.change.field, said.change.value) == ("train.demand.duration", change)
    whole = application("train", **asked)
    assert admitted(short_and_irregular, whole, place(name), "train")


def test_without_a_duration_it_is_unknown() -> None:
    said = short_and_irregular(need(part="train", train={}), place("azureml-serverless-compute"))
    assert said is not None
    assert said.outcome is Outcome.UNKNOWN
    assert said.reason == "how long one run takes is not stated: `train.demand.duration`"


def test_of_a_cluster_nothing_is_asked() -> None:
    assert (
        short_and_irregular(need(part="train", **fields(8, "5h")), place("azureml-compute-cluster"))
        is None
    )
