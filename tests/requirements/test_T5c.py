"""T5c: no serverless compute for full-time work: the break-even, and the hours of the month."""

from __future__ import annotations

import pytest

from plinth.domain.plan import Outcome
from plinth.planning.rules.duty import break_even_hours, not_full_time
from tests.planning.rules.placed import admitted, application, need, place

SERVERLESS = place("azureml-serverless-compute", tier="pay-as-you-go")


def fields(runs: float, duration: str | None) -> dict[str, object]:
    demand: dict[str, object] = {"runs": runs}
    if duration is not None:
        demand["duration"] = duration
    return {"train": {"demand": demand}}


def test_the_break_even_is_what_a_year_reserved_costs_in_hours() -> None:
    # 730 x (1 - 0.30): the catalog's average discount of a year with nothing paid ahead.
    assert break_even_hours() == (511, 0.3)


def test_work_below_the_break_even_is_accepted() -> None:
    said = not_full_time(need(part="train", **fields(20, "10h")), SERVERLESS)
    assert said is not None
    assert said.outcome is Outcome.OK
    assert said.reason == (
        "busy 200 h of 730 a month; a machine reserved for a year, 30% cheaper on average, pays "
        "from 511 h on"
    )


@pytest.mark.parametrize(
    ("runs", "duration", "change"),
    [(30, "24h", 21), (1, "600h", 0.851)],
    ids=["daily", "one long run"],
)
def test_full_time_work_is_rejected_with_both_numbers(
    runs: float, duration: str, change: float
) -> None:
    asked = fields(runs, duration)
    said = not_full_time(need(part="train", **asked), SERVERLESS)
    assert said is not None
    assert said.outcome is Outcome.NOT_OK
    busy = 720 if runs == 30 else 600
    assert said.reason.startswith(f"busy {busy} h of 730 a month")
    assert "pays from 511 h on" in said.reason
    assert said.change is not None
    assert (said.change.field, said.change.value) == ("train.demand.runs", change)
    whole = application("train", **asked)
    assert admitted(not_full_time, whole, SERVERLESS, "train")


def test_without_a_duration_it_is_unknown() -> None:
    said = not_full_time(need(part="train", **fields(4, None)), SERVERLESS)
    assert said is not None
    assert said.outcome is Outcome.UNKNOWN
    assert "`train.demand.duration`" in said.reason


def test_at_the_spot_price_and_on_a_cluster_nothing_is_asked() -> None:
    full = need(part="train", **fields(30, "24h"))
    assert not_full_time(full, place("azureml-serverless-spot", tier="spot")) is None
    assert not_full_time(full, place("azureml-compute-cluster", tier="pay-as-you-go")) is None
