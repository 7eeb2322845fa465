"""O5: endpoints of flows stand on compute instances or AKS; one person's machine is for dev.

What is tested here is the advice. Deploying a flow is another matter.
"""

from __future__ import annotations

from typing import Any

import pytest

from plinth.domain.application import Application
from plinth.domain.plan import Outcome
from plinth.planning.rules.flow import endpoint_may_stand_there
from tests.planning.rules.placed import application, need, need_of, place, tried

INSTANCE = place("azureml-compute-instance")


def asking(**requirements: Any) -> Application:
    return application("flow", flow={"requirements": requirements})


@pytest.mark.parametrize("platform", ["aks", "kubernetes"])
def test_kubernetes_is_accepted_for_production(platform: str) -> None:
    whole = asking(criticality="production")
    said = endpoint_may_stand_there(need_of(whole, "flow"), place(platform))
    assert said is not None
    assert said.outcome is Outcome.OK
    assert said.reason == "the guidance hosts endpoints of flows on Kubernetes (AKS)"


@pytest.mark.parametrize(
    ("criticality", "stated"), [("dev", "`dev`"), ("test", "`test`"), (None, "no criticality")]
)
def test_a_compute_instance_is_accepted_below_production(
    criticality: str | None, stated: str
) -> None:
    said = endpoint_may_stand_there(need_of(asking(criticality=criticality), "flow"), INSTANCE)
    assert said is not None
    assert said.outcome is Outcome.OK
    assert said.reason == f"one person's machine, which is enough for {stated}"


@pytest.mark.parametrize("criticality", ["production", "critical"])
def test_a_compute_instance_is_rejected_for_production(criticality: str) -> None:
    whole = asking(criticality=criticality)
    said = endpoint_may_stand_there(need_of(whole, "flow"), INSTANCE)
    assert said is not None
    assert said.outcome is Outcome.NOT_OK
    assert said.reason == (
        f"criticality `{criticality}`; a compute instance is one person's machine: one node, and "
        "nothing takes over"
    )
    assert str(said.change) == "flow.requirements.criticality: dev"
    then = tried(endpoint_may_stand_there, whole, INSTANCE, "flow")
    assert then is not None
    assert then.outcome is Outcome.OK


def test_the_guidances_own_default_is_named() -> None:
    said = endpoint_may_stand_there(need(part="flow"), place("prompt-flow"))
    assert said is not None
    assert said.reason == "the guidance's default for endpoints of flows"


def test_elsewhere_the_guidance_says_nothing() -> None:
    assert endpoint_may_stand_there(need(part="flow"), place("azureml-online-endpoint")) is None
