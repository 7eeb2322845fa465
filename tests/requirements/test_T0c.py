"""T0c: one platform for training and tuning, unless something forces them apart."""

from __future__ import annotations

from plinth.domain.plan import Outcome
from tests.planning.rules.joined import candidate, joined, part, rejected, said

BOTH = {"train": {}, "tune": {"base_model": "gpt-4o-mini"}}


def test_one_platform_for_both_is_what_is_asked() -> None:
    found = joined(BOTH, train=part("train", candidate("aks")), tune=part("tune", candidate("aks")))
    assert said(found, "T0c").outcome is Outcome.OK
    assert said(found, "T0c").reason == "`train` and `tune` share `aks`"


def test_two_computes_of_azure_ml_are_one_platform() -> None:
    found = joined(
        BOTH,
        train=part("train", candidate("azureml-compute-cluster")),
        tune=part("tune", candidate("azureml-serverless-compute")),
    )
    assert said(found, "T0c").outcome is Outcome.OK
    assert "share Azure Machine Learning" in said(found, "T0c").reason


def test_two_platforms_where_one_would_do_are_not_ok_and_the_one_is_named() -> None:
    train = part("train", candidate("azureml-compute-cluster"), candidate("databricks-jobs"))
    tune = part("tune", candidate("databricks-jobs"))
    found = joined(BOTH, train=train, tune=tune)
    verdict = said(found, "T0c")
    assert verdict.outcome is Outcome.NOT_OK
    assert verdict.reason == (
        "`train` is on `azureml-compute-cluster`, `tune` on `databricks-jobs`; "
        "`databricks-jobs` would take both"
    )
    assert str(verdict.change) == "train.requirements.platform: databricks-jobs"
    # Made, it puts both on the platform that the change names.
    there = part("train", candidate("databricks-jobs"))
    assert said(joined(BOTH, train=there, tune=tune), "T0c").outcome is Outcome.OK


def test_two_platforms_that_are_forced_say_by_which_rules() -> None:
    train = part(
        "train",
        candidate("azureml-compute-cluster"),
        rejected("azure-openai-standard", "T5d", "cpu"),
    )
    tune = part(
        "tune",
        candidate("azure-openai-standard"),
        rejected("azureml-compute-cluster", "T6.model"),
    )
    verdict = said(joined(BOTH, train=train, tune=tune), "T0c")
    assert verdict.outcome is Outcome.OK
    assert verdict.reason == (
        "`train` is on `azureml-compute-cluster`, `tune` on `azure-openai-standard`; no platform "
        "takes both: `azure-openai-standard` is not for `train` (T5d, cpu: a test says so) and "
        "`azureml-compute-cluster` is not for `tune` (T6.model: a test says so)"
    )


def test_without_tuning_nothing_is_asked() -> None:
    found = joined({"train": {}}, train=part("train", candidate("aks")))
    assert not [each for each in found if each.rule == "T0c"]
