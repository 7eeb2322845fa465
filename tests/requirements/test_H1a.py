"""H1a: batch inference runs on transient compute: between runs, none is there or paid for."""

from __future__ import annotations

import pytest

from plinth.domain.batch import BatchInference
from plinth.domain.need import needs_of
from plinth.domain.plan import Outcome
from plinth.planning.rules.batch import compute_is_transient
from tests.planning.rules.placed import need, place, with_facts

NIGHTLY = {"demand": {"runs": 30, "duration": "2h"}}


@pytest.mark.parametrize("platform", ["azureml-batch-endpoint", "databricks-jobs", "synapse-spark"])
def test_compute_that_ends_with_the_run_is_accepted(platform: str) -> None:
    said = compute_is_transient(need(part="batch", batch=NIGHTLY), place(platform))
    assert said is not None
    assert (said.outcome, said.reason) == (Outcome.OK, "its compute ends with each run")


def test_a_platform_that_scales_to_zero_is_accepted() -> None:
    where = with_facts(place("aks"), scale_to_zero=True)
    said = compute_is_transient(need(part="batch"), where)
    assert said is not None
    assert (said.outcome, said.reason) == (Outcome.OK, "it scales to zero between the runs")


def test_machines_that_stay_are_rejected_with_the_hours_that_they_are_busy() -> None:
    said = compute_is_transient(need(part="batch", batch=NIGHTLY), place("data-science-vm"))
    assert said is not None
    assert said.outcome is Outcome.NOT_OK
    assert said.reason == (
        "busy for 60 of 730 h a month; its machines stay, and are paid for, in between"
    )
    # What a batch is cannot be changed in its file; another platform is the answer.
    assert said.change is None


def test_machines_that_stay_are_rejected_where_nobody_said_how_long_a_run_takes() -> None:
    said = compute_is_transient(need(part="batch"), place("data-science-vm"))
    assert said is not None
    assert said.outcome is Outcome.NOT_OK
    assert said.reason == "a batch needs compute for its runs only; its machines stay"


def test_machines_that_stay_are_accepted_where_the_batch_never_ends() -> None:
    always = {"demand": {"runs": 730, "duration": "55m"}}
    said = compute_is_transient(need(part="batch", batch=always), place("data-science-vm"))
    assert said is not None
    assert said.outcome is Outcome.OK
    assert said.reason == "its machines stay, and they are busy for 669 of 730 h a month"


def test_machines_of_your_own_cost_no_more_while_they_are_idle() -> None:
    where = place("kubernetes", tier="own-hardware")
    said = compute_is_transient(need(part="batch", batch=NIGHTLY), where)
    assert said is not None
    assert (said.outcome, said.reason) == (
        Outcome.OK,
        "the machines are yours: idle, they cost no more",
    )


@pytest.mark.parametrize("platform", ["aks", "kubernetes"])
def test_a_missing_fact_is_unknown_and_is_named(platform: str) -> None:
    said = compute_is_transient(need(part="batch"), place(platform))
    assert said is not None
    assert said.outcome is Outcome.UNKNOWN
    assert said.reason == (
        "whether its compute ends with a run is not known; `compute.ephemeral` of its facts would "
        "say it"
    )


def test_more_hours_than_a_month_has_are_those_of_several_machines() -> None:
    demand = {"rows": 10**9, "rows_per_second": 100, "runs": 30}
    said = compute_is_transient(
        need(part="batch", batch={"demand": demand}), place("data-science-vm")
    )
    assert said is not None
    assert said.reason == (
        "its machines stay, and are busy 83,333 h of a month, as much as 115 machines have"
    )


def test_this_machine_runs_a_batch_and_nothing_before_and_after_it() -> None:
    batch = BatchInference(kind="batch", name="nightly", model="models:/m@champion", data="rows")
    (asked,) = needs_of(batch)
    said = compute_is_transient(asked, place("local", "local"))
    assert said is not None
    assert said.outcome is Outcome.OK
    # It ends by itself and has no key: see tests/journeys/test_product_batches.py for its bill.
    assert (batch.ends, batch.calls, batch.key_s) == (True, False, 0.0)
