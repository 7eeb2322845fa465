"""H1b: online inference on elastic compute that may scale to zero.

That a held request is answered when a replica is back is the product's own; here the planner says
which platforms keep nothing running while nobody asks.
"""

from __future__ import annotations

import pytest

from plinth.domain.plan import Outcome
from plinth.planning.rules.basic import scale_to_zero_supported
from tests.planning.rules.placed import application, apply, need, place, with_facts

WHOLE = application(online={"requirements": {"scale_to_zero": True}})
ASKED = need(online={"requirements": {"scale_to_zero": True}})


@pytest.mark.parametrize("platform", ["azure-openai-standard", "databricks-model-serving"])
def test_a_platform_that_scales_to_zero_is_accepted(platform: str) -> None:
    said = scale_to_zero_supported(ASKED, place(platform))
    assert said is not None
    assert (said.outcome, said.reason) == (Outcome.OK, "it scales to zero")


@pytest.mark.parametrize("platform", ["azureml-online-endpoint", "azure-openai-provisioned"])
def test_a_platform_that_keeps_an_instance_is_rejected(platform: str) -> None:
    said = scale_to_zero_supported(ASKED, place(platform))
    assert said is not None
    assert said.outcome is Outcome.NOT_OK
    assert said.reason == "scale to zero is required, and it keeps every replica running"
    assert said.change is not None
    assert str(said.change) == "online.requirements.scale_to_zero: false"
    assert scale_to_zero_supported(apply(WHOLE, said.change), place(platform)) is None


def test_a_platform_of_which_it_is_not_known_is_unknown() -> None:
    said = scale_to_zero_supported(ASKED, with_facts(place("aks"), scale_to_zero=None))
    assert said is not None
    assert said.outcome is Outcome.UNKNOWN
