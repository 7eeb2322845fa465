"""H14: a program for Spark goes to a platform that runs Spark: Synapse, Databricks, serverless.

What is tested here is the advice. An engine for Spark is another matter.
"""

from __future__ import annotations

import pytest

from plinth.domain.plan import Outcome
from plinth.planning.rules.batch import spark_runs
from tests.planning.rules.placed import application, need, need_of, place, tried

SPARK = application("batch", batch={"spark": True})


@pytest.mark.parametrize(
    "platform", ["synapse-spark", "databricks-jobs", "azureml-serverless-spark"]
)
def test_the_three_that_the_guidance_names_are_accepted(platform: str) -> None:
    said = spark_runs(need_of(SPARK, "batch"), place(platform))
    assert said is not None
    assert (said.outcome, said.reason) == (Outcome.OK, "it runs Spark")


@pytest.mark.parametrize("platform", ["azureml-batch-endpoint", "azure-openai-batch", "ray"])
def test_a_platform_without_spark_is_rejected(platform: str) -> None:
    said = spark_runs(need_of(SPARK, "batch"), place(platform))
    assert said is not None
    assert (said.outcome, said.reason) == (Outcome.NOT_OK, "a program for Spark; it runs none")
    assert str(said.change) == "batch.spark: false"
    assert tried(spark_runs, SPARK, place(platform), "batch") is None


def test_a_missing_fact_is_unknown_and_is_named() -> None:
    said = spark_runs(need_of(SPARK, "batch"), place("aks"))
    assert said is not None
    assert said.outcome is Outcome.UNKNOWN
    assert (
        said.reason == "whether it runs Spark is not known; `batch.spark` of its facts would say it"
    )


def test_another_program_raises_no_question() -> None:
    assert spark_runs(need(part="batch"), place("ray")) is None
