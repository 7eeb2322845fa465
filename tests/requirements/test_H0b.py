"""H0b: a packaged model (SaaS) offers only its API, and what is lost with that is listed."""

from __future__ import annotations

import pytest

from plinth.domain.need import Need, needs_of
from plinth.domain.plan import Outcome
from plinth.domain.workload import Endpoint
from plinth.planning.rules.model import hosted_model_offered, own_model_taken
from tests.planning.rules.placed import application, need, place, tried

HOSTED = need(online={"model": "gpt-4o"})
OWN = need(online={"format": "onnx"})
(ENDPOINT,) = needs_of(
    Endpoint.model_validate({"kind": "endpoint", "name": "delay", "model": "models:/m@champion"})
)


def test_the_offer_of_the_model_is_accepted_and_what_is_lost_is_listed() -> None:
    said = hosted_model_offered(HOSTED, place("azure-openai-standard", model="gpt-4o"))
    assert said is not None
    assert said.outcome is Outcome.OK
    assert said.reason == (
        "it offers `gpt-4o` by its API only; no longer yours: the model server and its settings, "
        "the machine, batching, when a model version retires, weights of the model"
    )


@pytest.mark.parametrize("platform", ["aks", "azureml-online-endpoint", "local"])
def test_machines_cannot_serve_a_providers_own_model(platform: str) -> None:
    said = hosted_model_offered(HOSTED, place(platform))
    assert said is not None
    assert said.outcome is Outcome.NOT_OK
    assert said.reason == (
        "`gpt-4o` is its provider's own; this platform serves models whose files you have"
    )
    assert said.change is None


def test_another_hosted_model_is_rejected_with_the_one_that_is_there() -> None:
    there = place("azure-openai-standard", model="gpt-4o-mini")
    said = hosted_model_offered(HOSTED, there)
    assert said is not None
    assert said.outcome is Outcome.NOT_OK
    assert said.reason == "`gpt-4o` is asked for, this offer is `gpt-4o-mini`"
    whole = application(online={"model": "gpt-4o"})
    assert tried(hosted_model_offered, whole, there).outcome is Outcome.OK


@pytest.mark.parametrize("asked", [OWN, ENDPOINT], ids=["part", "endpoint"])
@pytest.mark.parametrize(
    "platform", ["azure-openai-standard", "azureml-serverless-api", "external-model-api"]
)
def test_an_api_takes_no_model_of_ones_own(asked: Need, platform: str) -> None:
    said = own_model_taken(asked, place(platform, model="gpt-4o"))
    assert said is not None
    assert said.outcome is Outcome.NOT_OK
    assert said.reason == (
        f"needs a model of your own (`{asked.format}`); it serves only models that its provider "
        "hosts"
    )


def test_a_platform_that_takes_models_is_not_asked_what_one_loses() -> None:
    assert own_model_taken(OWN, place("aks")) is None
    assert hosted_model_offered(OWN, place("aks")) is None
    assert own_model_taken(HOSTED, place("azure-openai-standard", model="gpt-4o")) is None
