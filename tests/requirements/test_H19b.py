"""H19b: GPUs for AI functions only: none where the model is computed somewhere else.

O2 refuses one for orchestration, E7 one for exploration without a reason.
"""

from __future__ import annotations

from plinth.domain.plan import Outcome
from plinth.planning.rules.model import accelerator_is_for_a_model
from tests.planning.rules.placed import application, apply, need, place

GPU = {"resources": {"accelerator": "A100:2"}}


def test_a_model_of_ones_own_may_have_one() -> None:
    said = accelerator_is_for_a_model(need(online={"format": "onnx", **GPU}), place("aks"))
    assert said is not None
    assert said.outcome is Outcome.OK
    assert said.reason == "2 x A100 for a model that is computed there"


def test_a_hosted_model_brings_its_own_and_one_beside_it_is_rejected() -> None:
    online = {"model": "gpt-4o", **GPU}
    there = place("azure-openai-standard", model="gpt-4o")
    said = accelerator_is_for_a_model(need(online=online), there)
    assert said is not None
    assert said.outcome is Outcome.NOT_OK
    assert said.reason == "`gpt-4o` runs on its provider's machines; 2 x A100 would stand idle"
    assert said.remedy == "`online.resources.accelerator: null`"
    assert said.change is not None
    assert accelerator_is_for_a_model(apply(application(online=online), said.change), there) is None


def test_nothing_is_asked_where_none_is_wanted() -> None:
    assert accelerator_is_for_a_model(need(online={"model": "gpt-4o"}), place("aks")) is None
