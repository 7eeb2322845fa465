"""H13a, H13b: many inputs are shared out among machines, and a long run ends in its window."""

from __future__ import annotations

from typing import Any

import pytest

from plinth.catalog.platforms import find_facts
from plinth.domain.application import Application
from plinth.domain.plan import Outcome
from plinth.planning.rules.batch import inputs_are_shared_out, run_is_done_in_time
from plinth.runtimes.batchrunner.work import Index, portions
from tests.planning.rules.placed import application, need, need_of, place, tried

ENDPOINT = place("azureml-batch-endpoint")


def asking(**batch: Any) -> Application:
    return application("batch", batch={"format": "mlflow-pyfunc", **batch})


@pytest.mark.parametrize(
    ("platform", "reason"),
    [
        ("azureml-batch-endpoint", "it hands the inputs out in portions to 4 machines"),
        ("databricks-jobs", "Spark there shares the inputs out among 4 machines"),
        (
            "kubernetes",
            "4 machines at once; it makes no portions, so your program shares them out",
        ),
    ],
)
def test_several_machines_are_accepted_where_they_can_share_the_inputs(
    platform: str, reason: str
) -> None:
    said = inputs_are_shared_out(need_of(asking(nodes=4), "batch"), place(platform))
    assert said is not None
    assert (said.outcome, said.reason) == (Outcome.OK, reason)


def test_several_machines_are_rejected_where_a_run_has_one() -> None:
    where = place("data-science-vm")
    said = inputs_are_shared_out(need_of(asking(nodes=4), "batch"), where)
    assert said is not None
    assert said.outcome is Outcome.NOT_OK
    assert said.reason == "4 machines are to share the inputs; a run there has one machine"
    assert str(said.change) == "batch.nodes: 1"
    # One machine shares nothing out.
    assert tried(inputs_are_shared_out, asking(nodes=4), where, "batch") is None


def test_one_machine_works_through_the_rows() -> None:
    asked = need_of(asking(demand={"rows": 20_000_000}), "batch")
    said = inputs_are_shared_out(asked, ENDPOINT)
    assert said is not None
    assert said.outcome is Outcome.OK
    assert said.reason == "one machine works through 20,000,000 rows of a run, in portions"


def test_a_missing_fact_is_unknown_and_is_named() -> None:
    said = inputs_are_shared_out(need_of(asking(nodes=4), "batch"), place("aks"))
    assert said is not None
    assert said.outcome is Outcome.UNKNOWN
    assert said.reason == (
        "4 machines at once; whether it hands the inputs out in portions is not known, "
        "`batch.mini_batches` of its facts would say it"
    )


def test_nothing_is_asked_of_few_inputs() -> None:
    assert inputs_are_shared_out(need(part="batch"), ENDPOINT) is None
    assert run_is_done_in_time(need(part="batch"), ENDPOINT) is None


SCORING = {"rows": 20_000_000, "rows_per_second": 200}


def test_a_run_that_ends_in_its_window_is_accepted() -> None:
    asked = need_of(asking(window="8h", nodes=4, demand=SCORING), "batch")
    said = run_is_done_in_time(asked, ENDPOINT)
    assert said is not None
    assert said.outcome is Outcome.OK
    assert said.reason == (
        "a run takes 6h 56m on 4 machines, 8h 00m are allowed; what is finished survives a lost "
        "machine"
    )


def test_a_run_that_takes_longer_is_rejected_with_the_machines_that_would_do() -> None:
    whole = asking(window="8h", nodes=2, demand=SCORING)
    said = run_is_done_in_time(need_of(whole, "batch"), ENDPOINT)
    assert said is not None
    assert said.outcome is Outcome.NOT_OK
    assert said.reason == (
        "a run takes 13h 53m on 2 machines, 8h 00m are allowed; 4 machines would do"
    )
    assert str(said.change) == "batch.nodes: 4"
    then = tried(run_is_done_in_time, whole, ENDPOINT, "batch")
    assert then is not None
    assert then.outcome is Outcome.OK


def test_where_a_run_has_one_machine_only_a_longer_window_helps() -> None:
    whole = asking(window="8h", demand={"rows": 20_000_000, "rows_per_second": 500})
    where = place("data-science-vm")
    said = run_is_done_in_time(need_of(whole, "batch"), where)
    assert said is not None
    assert said.reason == "a run takes 11h 06m on 1 machine, 8h 00m are allowed"
    assert str(said.change) == "batch.window: 667m"
    then = tried(run_is_done_in_time, whole, where, "batch")
    assert then is not None
    assert then.outcome is Outcome.OK


def test_a_run_of_which_nobody_said_how_long_it_takes_is_unknown() -> None:
    said = run_is_done_in_time(need_of(asking(window="8h"), "batch"), ENDPOINT)
    assert said is not None
    assert said.outcome is Outcome.UNKNOWN
    assert said.reason == (
        "whether a run is done in 8h 00m is not known; `batch.demand.duration` would say it, or "
        "`rows` with `rows_per_second`"
    )


def test_this_machine_shares_mini_batches_among_worker_processes() -> None:
    indexes = {0: Index(0, 1000), 1: Index(1, 1), 2: Index(2, 0)}
    shared = portions(indexes, [], size=100, workers=4)
    batches = [(one.file, at) for one in shared for at in range(one.first, one.last + 1)]
    assert batches == [*((0, at) for at in range(10)), (1, 0)]
    assert len(shared) >= 4
    assert find_facts("local").batch.mini_batches


def test_what_is_finished_on_this_machine_survives_whatever_is_killed() -> None:
    indexes = {0: Index(0, 30)}
    left = portions(indexes, [(0, 0), (0, 2)], size=10, workers=1)
    assert [(one.first, one.last) for one in left] == [(1, 1)]
    assert find_facts("local").batch.resumes
