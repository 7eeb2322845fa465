"""T7: Azure ML is the default for training and tuning; what it gives up is named."""

from __future__ import annotations

import pytest

from plinth.domain.plan import Outcome
from plinth.planning.rules.train import guidance_default
from tests.planning.rules.placed import need, place


@pytest.mark.parametrize(
    ("name", "lost"),
    [
        ("azureml-compute-cluster", "the host system and its patches"),
        (
            "azureml-serverless-compute",
            "the machine between jobs, its image, and warm caches",
        ),
    ],
)
def test_azure_ml_is_the_default_and_says_what_it_gives_up(name: str, lost: str) -> None:
    said = guidance_default(need(part="train", train={}), place(name))
    assert said is not None
    assert said.outcome is Outcome.OK
    assert said.reason == f"the guidance's default for training and tuning; it gives up {lost}"


@pytest.mark.parametrize("name", ["azureml-serverless-spot", "aks", "databricks-jobs", "local"])
def test_a_default_rejects_nothing_so_of_others_nothing_is_said(name: str) -> None:
    assert guidance_default(need(part="train", train={}), place(name)) is None
