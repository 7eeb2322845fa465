"""T4: the best cost and performance, found by trying: the Pareto front of what was measured."""

from __future__ import annotations

from plinth.domain.plan import Outcome, Verdict
from plinth.planning.context import Placement
from plinth.planning.rules.measured_size import size_measured
from tests.planning.rules.placed import GIB, need, place

# In eastus an hour costs 0.192, 0.384 and 0.768 USD; what was tried scales until the third.
TRIED = {"D4s_v5": "10h", "D8s_v5": "4h", "D16s_v5": "3h"}


def judged(placement: Placement, **train: object) -> Verdict | None:
    asked = {"demand": {"measured": TRIED}, **train}
    return size_measured(need(part="train", train=asked), placement)


def test_the_size_that_is_cheapest_for_its_time_is_on_the_front() -> None:
    said = judged(place("azureml-compute-cluster", "eastus", sku="D8s_v5"))
    assert said is not None
    assert said.outcome is Outcome.OK
    assert said.reason == (
        "4 h and 1.54 USD (`eastus`) a run: nothing that was tried is both faster and cheaper"
    )


def test_a_dearer_one_that_is_faster_is_on_the_front_too() -> None:
    said = judged(place("azureml-compute-cluster", "eastus", sku="Standard_D16s_v5"))
    assert said is not None
    assert said.outcome is Outcome.OK


def test_one_that_is_slower_and_dearer_is_rejected_with_the_one_that_beats_it() -> None:
    said = judged(place("azureml-compute-cluster", "westeurope", sku="D4s_v5"))
    assert said is not None
    assert said.outcome is Outcome.NOT_OK
    assert said.reason == (
        "slower and dearer than a size that was tried: 10 h and 1.92 USD (`eastus`) a run; "
        "`D8s_v5` does it in 4 h for 1.54 USD (`eastus`)"
    )
    # Nothing in the file changes what was measured.
    assert said.change is None


def test_what_beats_it_has_to_be_large_enough_itself() -> None:
    said = judged(
        place("azureml-compute-cluster", "eastus", sku="D4s_v5"),
        resources={"memory": 128 * GIB},
    )
    assert said is not None
    assert said.outcome is Outcome.OK


def test_a_size_that_was_not_tried_is_unknown() -> None:
    said = judged(place("azureml-compute-cluster", sku="E4s_v5"))
    assert said is not None
    assert said.outcome is Outcome.UNKNOWN
    assert said.reason == "`E4s_v5` was not tried; `D4s_v5`, `D8s_v5`, `D16s_v5` were"


def test_a_size_without_a_price_is_unknown() -> None:
    said = size_measured(
        need(part="train", train={"demand": {"measured": {"D2as_v5": "9h"}}}),
        place("azureml-compute-cluster", sku="D2as_v5"),
    )
    assert said is not None
    assert said.outcome is Outcome.UNKNOWN
    assert "no price in `eastus`; `plinth catalog import` adds it" in said.reason


def test_where_nothing_was_measured_nothing_is_asked() -> None:
    assert size_measured(need(part="train", train={}), place("aks")) is None
