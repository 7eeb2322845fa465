"""T6: where a model is hosted limits how it can be tuned, and which model can be."""

from __future__ import annotations

import pytest

from plinth.domain.plan import Outcome
from plinth.planning.rules.tuned_model import method_allowed, model_tunable
from tests.planning.rules.placed import admitted, application, need, place

OPENAI = place("azure-openai-standard", sku="gpt-4o-mini", cpu=0, memory=0, model="gpt-4o-mini")
CLUSTER = place("azureml-compute-cluster")


def fields(base: str | None = None, method: str | None = None) -> dict[str, object]:
    tune = {"base_model": base, "method": method}
    return {"tune": {name: value for name, value in tune.items() if value is not None}}


@pytest.mark.parametrize("method", ["lora", "preference", "reinforcement"])
def test_azure_openai_offers_these_methods(method: str) -> None:
    said = method_allowed(need(part="tune", **fields(method=method)), OPENAI)
    assert said is not None
    assert (said.outcome, said.reason) == (Outcome.OK, f"tunes by `{method}`")


def test_a_method_that_the_hosting_rules_out_is_rejected() -> None:
    asked = fields(method="full")
    said = method_allowed(need(part="tune", **asked), OPENAI)
    assert said is not None
    assert said.outcome is Outcome.NOT_OK
    assert said.reason == (
        "tuning by `full` is asked for; it offers `lora`, `preference`, `reinforcement`"
    )
    assert str(said.change) == "tune.method: lora"
    assert admitted(method_allowed, application("tune", **asked), OPENAI, "tune")
    accepted = method_allowed(need(part="tune", **asked), CLUSTER)
    assert accepted is not None
    assert accepted.outcome is Outcome.OK


def test_a_hosted_model_is_tuned_where_it_is_hosted() -> None:
    said = model_tunable(need(part="tune", **fields("gpt-4o-mini", "lora")), OPENAI)
    assert said is not None
    assert said.outcome is Outcome.OK
    assert said.reason == "hosts `gpt-4o-mini` and tunes it by `lora`, `preference`"


@pytest.mark.parametrize("base", ["gpt-4o-mini", "gpt-4", "o4-mini", "text-embedding-3-large"])
def test_nobody_else_has_the_weights_of_a_closed_model(base: str) -> None:
    said = model_tunable(need(part="tune", **fields(base)), CLUSTER)
    assert said is not None
    assert said.outcome is Outcome.NOT_OK
    assert said.reason == (
        f"it tunes weights that you bring, and only its provider has those of `{base}`"
    )
    assert said.change is None


@pytest.mark.parametrize("base", ["llama-3.1-8b", "phi-4", "gpt-oss-20b", "deepseek-v3"])
def test_weights_that_are_to_be_had_are_tuned_by_ones_own_code(base: str) -> None:
    said = model_tunable(need(part="tune", **fields(base)), CLUSTER)
    assert said is not None
    assert said.outcome is Outcome.OK
    assert said.reason == f"runs your own code on the weights of `{base}`, which you bring"


def test_whether_weights_are_to_be_had_may_be_unknown() -> None:
    said = model_tunable(need(part="tune", **fields("grok-4")), CLUSTER)
    assert said is not None
    assert said.outcome is Outcome.UNKNOWN
    assert "whether those of `grok-4` are to be had is not known" in said.reason


@pytest.mark.parametrize(
    ("base", "why"),
    [
        ("llama-3.1-8b", "it is not among them"),
        ("gpt-5.4", "the price list has no training of it"),
    ],
)
def test_azure_openai_does_not_tune_every_model(base: str, why: str) -> None:
    said = model_tunable(need(part="tune", **fields(base)), OPENAI)
    assert said is not None
    assert said.outcome is Outcome.NOT_OK
    assert said.reason == f"it tunes models that it hosts; of `{base}`, {why}"


def test_a_tuned_model_whose_training_the_list_does_not_name_is_unknown() -> None:
    said = model_tunable(need(part="tune", **fields("gpt-oss-20b")), OPENAI)
    assert said is not None
    assert said.outcome is Outcome.UNKNOWN


def test_a_model_that_is_tuned_by_reinforcement_only_says_so() -> None:
    asked = fields("o4-mini", "lora")
    said = model_tunable(need(part="tune", **asked), OPENAI)
    assert said is not None
    assert said.outcome is Outcome.NOT_OK
    assert said.reason == "`o4-mini` is tuned there by `reinforcement`, not by `lora`"
    assert str(said.change) == "tune.method: reinforcement"
    whole = application("tune", **asked)
    assert admitted(model_tunable, whole, OPENAI, "tune")


def test_training_from_nothing_asks_neither() -> None:
    plain = need(part="train", train={})
    for ask in (method_allowed, model_tunable):
        assert ask(plain, OPENAI) is None
