"""H8c: serving one's own model on Kubernetes where the latency has to be predictable."""

from __future__ import annotations

import pytest

from plinth.domain.plan import Outcome
from plinth.planning.rules.online import latency_predictable
from tests.planning.rules.placed import application, apply, need, place

ONLINE = {"format": "onnx", "requirements": {"latency": "200ms", "interruptible": True}}


@pytest.mark.parametrize("platform", ["aks", "kubernetes"])
def test_kubernetes_is_named_as_the_predictable_one(platform: str) -> None:
    said = latency_predictable(need(online=ONLINE), place(platform))
    assert said is not None
    assert said.outcome is Outcome.OK
    assert said.reason == "nodes, batching and replicas are yours: the most predictable latency"


def test_nodes_that_may_be_taken_away_are_not_predictable() -> None:
    there = place("aks", tier="spot")
    said = latency_predictable(need(online=ONLINE), there)
    assert said is not None
    assert said.outcome is Outcome.NOT_OK
    assert said.reason == (
        "a latency of 200 ms is asked for, and `spot` nodes may be taken away while they answer"
    )
    assert said.change is not None
    assert latency_predictable(apply(application(online=ONLINE), said.change), there) is None


def test_elsewhere_and_without_a_budget_it_is_not_asked() -> None:
    assert latency_predictable(need(online=ONLINE), place("azureml-online-endpoint")) is None
    assert latency_predictable(need(online={"format": "onnx"}), place("aks")) is None
    hosted = need(online={"model": "gpt-4o", "requirements": {"latency": "1s"}})
    assert latency_predictable(hosted, place("aks")) is None
