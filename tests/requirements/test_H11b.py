"""H11b: inference has compute of its own, apart from the data platform's other work."""

from __future__ import annotations

from typing import Any

import pytest

from plinth.domain.application import Application
from plinth.domain.plan import Outcome
from plinth.planning.rules.batch import inference_is_apart
from tests.planning.rules.placed import application, need, need_of, place, tried, with_facts


def asking(**requirements: Any) -> Application:
    return application("batch", train={}, batch={"requirements": requirements})


@pytest.mark.parametrize("platform", ["databricks-jobs", "synapse-spark"])
def test_a_cluster_for_each_run_is_accepted(platform: str) -> None:
    said = inference_is_apart(
        need_of(asking(criticality="production"), "batch"), place(platform, tier="pay-as-you-go")
    )
    assert said is not None
    assert said.outcome is Outcome.OK
    assert said.reason == (
        "criticality `production` asks for compute of its own; each run has a cluster made for it"
    )


@pytest.mark.parametrize(
    ("requirements", "why", "change"),
    [
        (
            {"criticality": "critical"},
            "criticality `critical`",
            "batch.requirements.criticality: test",
        ),
        ({"isolate_from": ["train"]}, "`isolate_from`", "batch.requirements.isolate_from: []"),
    ],
)
def test_machines_that_stay_for_all_of_the_platforms_work_are_rejected(
    requirements: dict[str, Any], why: str, change: str
) -> None:
    whole = asking(**requirements)
    where = with_facts(place("databricks-jobs"), compute={"ephemeral": False})
    said = inference_is_apart(need_of(whole, "batch"), where)
    assert said is not None
    assert said.outcome is Outcome.NOT_OK
    assert said.reason == (
        f"{why} asks for compute of its own; these machines do all of the platform's work"
    )
    assert str(said.change) == change
    # Then nothing asks for compute of its own any more.
    assert tried(inference_is_apart, whole, where, "batch") is None


def test_where_two_fields_ask_for_it_no_single_change_is_named() -> None:
    whole = asking(criticality="production", isolate_from=["train"])
    where = with_facts(place("synapse-spark"), compute={"ephemeral": False})
    said = inference_is_apart(need_of(whole, "batch"), where)
    assert said is not None
    assert said.outcome is Outcome.NOT_OK
    assert said.change is None


def test_a_missing_fact_is_unknown_and_is_named() -> None:
    where = with_facts(place("databricks-jobs"), compute={"ephemeral": None})
    said = inference_is_apart(need_of(asking(criticality="production"), "batch"), where)
    assert said is not None
    assert said.outcome is Outcome.UNKNOWN
    assert said.reason == (
        "criticality `production` asks for compute of its own; whether a run gets it is not known, "
        "`compute.ephemeral` of its facts would say it"
    )


def test_only_production_on_a_data_platform_raises_the_question() -> None:
    assert inference_is_apart(need(part="batch"), place("databricks-jobs")) is None
    production = need_of(asking(criticality="production"), "batch")
    assert inference_is_apart(production, place("azureml-batch-endpoint")) is None
