"""H13c: a pipeline, and not only a model, can be what works on the inputs of a batch."""

from __future__ import annotations

import pytest

from plinth.domain.plan import Outcome
from plinth.planning.rules.batch import pipeline_is_a_target
from tests.planning.rules.placed import application, need, need_of, place, tried

PIPELINE = application("batch", batch={"target": "pipeline"})


@pytest.mark.parametrize("platform", ["azureml-batch-endpoint", "databricks-jobs", "synapse-spark"])
def test_a_platform_that_runs_pipelines_is_accepted(platform: str) -> None:
    said = pipeline_is_a_target(need_of(PIPELINE, "batch"), place(platform))
    assert said is not None
    assert (said.outcome, said.reason) == (Outcome.OK, "a pipeline can be the target")


@pytest.mark.parametrize("platform", ["kubernetes", "azure-openai-batch"])
def test_a_platform_that_runs_a_program_only_is_rejected(platform: str) -> None:
    said = pipeline_is_a_target(need_of(PIPELINE, "batch"), place(platform))
    assert said is not None
    assert said.outcome is Outcome.NOT_OK
    assert said.reason == ("a pipeline is to work on the inputs; it runs a model or a program only")
    assert str(said.change) == "batch.target: model"
    assert tried(pipeline_is_a_target, PIPELINE, place(platform), "batch") is None


@pytest.mark.parametrize("platform", ["aks", "data-science-vm", "ray"])
def test_a_missing_fact_is_unknown_and_is_named(platform: str) -> None:
    said = pipeline_is_a_target(need_of(PIPELINE, "batch"), place(platform))
    assert said is not None
    assert said.outcome is Outcome.UNKNOWN
    assert said.reason == (
        "whether a pipeline can be the target is not known; `batch.pipelines` of its facts would "
        "say it"
    )


def test_a_model_as_the_target_raises_no_question() -> None:
    assert pipeline_is_a_target(need(part="batch"), place("kubernetes")) is None
