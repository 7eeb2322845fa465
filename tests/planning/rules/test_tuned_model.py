import pytest

from plinth.catalog.catalog import Catalog
from plinth.domain.plan import Outcome
from plinth.planning.rules.tuned_model import is_closed, method_allowed, model_tunable
from tests.planning.rules.placed import need, place, with_facts

LORA = {"tune": {"base_model": "gpt-4o-mini", "method": "lora"}}


@pytest.mark.parametrize(
    ("base", "closed"),
    [
        ("gpt-4o-2024-08-06", True),
        ("GPT-4.1", True),
        ("davinci-002", True),
        ("claude-sonnet-4", True),
        ("gpt-2", False),
        ("gpt-oss-120b", False),
        ("llama-4-maverick-17b", False),
        ("our-own-model", False),
        ("cohere-command-a", None),
        ("mistral-medium-3.5", None),
    ],
)
def test_whose_weights_are_to_be_had(base: str, closed: bool | None) -> None:
    assert is_closed(base, Catalog()) is closed


def test_a_method_is_unknown_where_the_fact_is_missing() -> None:
    unclear = with_facts(place("aks"), tuning={"methods": None, "models": None})
    for ask, fact in ((method_allowed, "tuning.methods"), (model_tunable, "tuning.models")):
        said = ask(need(part="tune", **LORA), unclear)
        assert said is not None
        assert said.outcome is Outcome.UNKNOWN
        assert f"`{fact}`" in said.reason
        assert "platforms/aks.yaml" in said.reason


def test_a_platform_that_tunes_nothing_is_rejected_without_a_change() -> None:
    serving = place("azureml-online-endpoint")
    for ask in (method_allowed, model_tunable):
        said = ask(need(part="tune", **LORA), serving)
        assert said is not None
        assert said.outcome is Outcome.NOT_OK
        assert said.change is None


def test_of_another_provider_that_hosts_models_nothing_is_claimed() -> None:
    other = with_facts(place("external-model-api"), tuning={"models": "hosted"})
    said = model_tunable(need(part="tune", **LORA), other)
    assert said is not None
    assert said.outcome is Outcome.UNKNOWN


def test_a_hosted_model_that_no_method_is_named_for_is_tuned_by_what_there_is() -> None:
    said = model_tunable(
        need(part="tune", tune={"base_model": "o4-mini"}), place("azure-openai-standard")
    )
    assert said is not None
    assert said.reason == "hosts `o4-mini` and tunes it by `reinforcement`"
