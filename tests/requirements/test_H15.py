"""H15: a batch endpoint is the default for batch, where nothing before it in the tree decides.

The tree itself: where the data is (H11a), a hosted model (H12), many inputs (H13), Spark (H14).
"""

from __future__ import annotations

from plinth.domain.need import Need
from plinth.domain.plan import Candidate, Outcome, PartPlan
from plinth.planning.context import Placement
from plinth.planning.rules import RULES_OF
from plinth.planning.rules.batch import is_the_default
from plinth.planning.rules.batch_tree import batch_verdict
from tests.planning.rules.placed import need, place

SCORING = need(part="batch", batch={"format": "mlflow-pyfunc"})


def judged(one: Need, where: Placement) -> Candidate:
    said = (rule.ask(one, where) for rule in RULES_OF["batch"])
    verdicts = tuple(each for each in said if each is not None)
    return Candidate(platform=where.platform.name, offer=where.offer, verdicts=verdicts)


def reason_of(one: Need, chosen: Placement, other: Placement) -> str:
    part = PartPlan(
        name="batch",
        function="batch",
        chosen=judged(one, chosen),
        rejected=(judged(one, other),),
    )
    said = batch_verdict(part, {each.platform.name: each.platform for each in (chosen, other)})
    assert said is not None
    return said.reason


def test_a_batch_endpoint_is_named_as_the_default() -> None:
    said = is_the_default(SCORING, place("azureml-batch-endpoint"))
    assert said is not None
    assert (said.outcome, said.reason) == (Outcome.OK, "the guidance's default for batch")
    reason = reason_of(SCORING, place("azureml-batch-endpoint"), place("aks"))
    assert reason.startswith("H15: a batch endpoint, the default where nothing else decides. ")


def test_no_other_platform_is_the_default() -> None:
    assert is_the_default(SCORING, place("aks")) is None
    assert is_the_default(SCORING, place("databricks-jobs")) is None


def test_a_default_that_is_rejected_is_passed_over_with_the_rules_that_reject_it() -> None:
    spark = need(part="batch", batch={"spark": True})
    assert is_the_default(spark, place("azureml-batch-endpoint")) is None
    onnx = need(part="batch", batch={"format": "onnx"})
    reason = reason_of(onnx, place("aks"), place("azureml-batch-endpoint"))
    assert reason.endswith("H15: `azureml-batch-endpoint` is rejected by `H0a`")
