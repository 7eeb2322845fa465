"""The tree of the guidance for batch inference names the branch that a choice took."""

from __future__ import annotations

from typing import Any

import pytest

from plinth.domain.need import Need
from plinth.domain.plan import Candidate, Outcome, PartPlan, Verdict
from plinth.planning.context import Placement
from plinth.planning.rules import RULES_OF
from plinth.planning.rules.batch_tree import TREE, batch_verdict
from tests.planning.rules.placed import need, owning, place, with_facts

TRIPS = {"trips": {"size": "40GB", "platform": "databricks-jobs"}}


def judged(one: Need, placement: Placement) -> Candidate:
    verdicts = (rule.ask(one, placement) for rule in RULES_OF["batch"])
    return Candidate(
        platform=placement.platform.name,
        offer=placement.offer,
        verdicts=tuple(each for each in verdicts if each is not None),
    )


def told(chosen: Placement, *others: Placement, reads: Any = None, **batch: Any) -> Verdict:
    """Return what the tree says of a choice among placements; `reads`: data, read in one run."""
    if reads:
        batch |= {"data": list(reads), "demand": {"runs": 1}}
    one = need(part="batch", data=reads or {}, batch=batch)
    part = PartPlan(
        name="batch",
        function="batch",
        chosen=judged(one, chosen),
        rejected=tuple(judged(one, each) for each in others),
    )
    said = batch_verdict(part, {each.platform.name: each.platform for each in (chosen, *others)})
    assert said is not None
    assert (said.rule, said.outcome) == (TREE, Outcome.OK)
    return said


def test_where_the_data_lies_is_the_first_branch() -> None:
    said = told(place("databricks-jobs"), reads=TRIPS)
    assert said.reason == "H11a, the first branch: the data lies here: `trips` on `databricks-jobs`"


def test_a_hosted_model_is_the_second_branch() -> None:
    said = told(place("azure-openai-batch", tier="batch", model="gpt-4o"), model="gpt-4o")
    assert said.reason == (
        "H12: `gpt-4o` is a hosted model. Before it, H11a: no data lies on a data platform"
    )


def test_many_inputs_lead_to_a_batch_endpoint() -> None:
    said = told(place("azureml-batch-endpoint"), nodes=4, format="mlflow-pyfunc")
    assert said.reason == (
        "H13: it hands the inputs out in portions to 4 machines. Before it, H11a: no data lies on "
        "a data platform; H12: no hosted model is asked for"
    )


def test_a_pipeline_leads_to_a_batch_endpoint_too() -> None:
    said = told(place("azureml-batch-endpoint"), target="pipeline")
    assert said.reason.startswith("H13: a pipeline is the target. ")


def test_a_program_for_spark_passes_the_batch_endpoint_over() -> None:
    said = told(place("synapse-spark"), place("azureml-batch-endpoint"), spark=True, nodes=8)
    assert said.reason.startswith("H14: a program for Spark. ")
    assert said.reason.endswith("H13: batch endpoints run no Spark")


def test_the_default_is_the_last_branch() -> None:
    said = told(place("azureml-batch-endpoint"), format="mlflow-pyfunc")
    assert said.reason == (
        "H15: a batch endpoint, the default where nothing else decides. Before it, H11a: no data "
        "lies on a data platform; H12: no hosted model is asked for; H13: neither many inputs nor "
        "a pipeline is stated; H14: no Spark is asked for"
    )


def test_a_choice_outside_the_tree_says_what_became_of_the_default() -> None:
    said = told(place("aks"), place("azureml-batch-endpoint"), format="mlflow-pyfunc")
    assert said.reason.startswith("no branch: `aks` is the best that fits. ")
    assert said.reason.endswith("H15: `azureml-batch-endpoint` is possible too, its score is worse")
    alone = told(place("aks"), format="mlflow-pyfunc")
    assert alone.reason.endswith("H15: no batch endpoint is among the candidates")


def test_a_default_that_is_rejected_is_passed_over_with_the_rules() -> None:
    said = told(place("aks"), place("azureml-batch-endpoint"), format="onnx", nodes=3)
    assert "H13: `azureml-batch-endpoint` is rejected by `H0a`" in said.reason


def test_data_elsewhere_says_what_is_moved_and_why_the_work_is_not_there() -> None:
    chosen = owning(place("azureml-batch-endpoint"), "databricks-jobs")
    said = told(chosen, place("databricks-jobs"), reads=TRIPS)
    assert (
        "Before it, H11a: 40.0 GB a month are read from `databricks-jobs`; the work follows the "
        "data above 1.0 TB (Plinth's limit); `databricks-jobs` is possible too, its score is worse"
    ) in said.reason
    elsewhere = with_facts(place("databricks-jobs"), compute={"ephemeral": False})
    said = told(chosen, elsewhere, reads=TRIPS, requirements={"criticality": "production"})
    assert "`databricks-jobs` is rejected by `H11b`" in said.reason


@pytest.mark.parametrize("function", ["train", "online"])
def test_another_function_has_no_such_tree(function: str) -> None:
    part = PartPlan(name="x", function=function, chosen=None, rejected=())
    assert batch_verdict(part, {}) is None


def test_nothing_chosen_took_no_branch() -> None:
    part = PartPlan(name="batch", function="batch", chosen=None, rejected=())
    assert batch_verdict(part, {}) is None
