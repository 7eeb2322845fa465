"""H11a: infer where the data is, as in Databricks: the plan weighs what would be moved."""

from __future__ import annotations

from typing import Any

import pytest

from plinth.domain.application import Application
from plinth.domain.plan import Outcome
from plinth.planning.rules.batch import data_is_near
from tests.planning.rules.placed import application, need, need_of, owning, place, tried


def nightly(size: str, platform: str | None = "databricks-jobs", **batch: Any) -> Application:
    return application(
        "batch",
        data={"trips": {"size": size, "platform": platform}},
        batch={"data": ["trips"], "demand": {"runs": 30}, **batch},
    )


@pytest.mark.parametrize("kept", ["databricks-jobs", "databricks-model-serving"])
def test_the_platform_of_the_data_is_accepted_also_by_another_of_its_faces(kept: str) -> None:
    said = data_is_near(need_of(nightly("120GB", kept), "batch"), place("databricks-jobs"))
    assert said is not None
    assert said.outcome is Outcome.OK
    assert said.reason == f"the data lies here: `trips` on `{kept}`"


@pytest.mark.parametrize("platform", ["azureml-batch-endpoint", "aks", "synapse-spark"])
def test_another_platform_is_rejected_where_terabytes_would_be_moved(platform: str) -> None:
    whole = nightly("120GB")
    where = owning(place(platform), "databricks-jobs")
    said = data_is_near(need_of(whole, "batch"), where)
    assert said is not None
    assert said.outcome is Outcome.NOT_OK
    assert said.reason == (
        "3.6 TB a month would be read from `databricks-jobs`, which you own and which can infer "
        "there; above 1.0 TB (Plinth's limit) the work follows the data"
    )
    assert str(said.change) == f"data.trips.platform: {platform}"
    then = tried(data_is_near, whole, where, "batch")
    assert then is not None
    assert (then.outcome, then.reason) == (
        Outcome.OK,
        f"the data lies here: `trips` on `{platform}`",
    )


def test_little_data_may_be_moved_and_the_plan_says_how_much() -> None:
    where = owning(place("azureml-batch-endpoint"), "databricks-jobs")
    said = data_is_near(need_of(nightly("4GB"), "batch"), where)
    assert said is not None
    assert said.outcome is Outcome.OK
    assert said.reason == (
        "120.0 GB a month are read from `databricks-jobs`; the work follows the data above 1.0 TB "
        "(Plinth's limit)"
    )


def test_work_follows_the_data_to_another_face_of_its_system() -> None:
    # Azure Machine Learning has serverless Spark beside its batch endpoints.
    where = owning(place("databricks-jobs"), "azureml-batch-endpoint")
    said = data_is_near(need_of(nightly("120GB", "azureml-batch-endpoint"), "batch"), where)
    assert said is not None
    assert said.outcome is Outcome.NOT_OK


def test_a_platform_without_spark_holds_no_work_back() -> None:
    where = owning(place("databricks-jobs"), "aks")
    said = data_is_near(need_of(nightly("120GB", "aks"), "batch"), where)
    assert said is not None
    assert (said.outcome, said.reason) == (Outcome.OK, "3.6 TB a month are read from `aks`")


def test_the_data_goes_to_a_hosted_model_since_that_one_never_moves() -> None:
    where = owning(place("azure-openai-batch", tier="batch", model="gpt-4o"), "databricks-jobs")
    said = data_is_near(need_of(nightly("120GB", model="gpt-4o"), "batch"), where)
    assert said is not None
    assert said.outcome is Outcome.OK
    assert said.reason == (
        "3.6 TB a month are read from `databricks-jobs`: `gpt-4o` stands at its provider, so the "
        "data goes to it"
    )


def test_data_that_lies_on_no_platform_raises_no_question() -> None:
    assert data_is_near(need(part="batch"), place("aks")) is None
    assert data_is_near(need_of(nightly("120GB", None), "batch"), place("aks")) is None
