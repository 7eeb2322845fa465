"""H18a: traffic is split between versions, and mirrored to one that does not answer yet.

The exact weights are the gateway's; here the planner says who can, and how much (Azure Machine
Learning mirrors at most 50 %).
"""

from __future__ import annotations

from plinth.domain.plan import Outcome
from plinth.planning.rules.online import traffic_divides, traffic_mirrors
from tests.planning.rules.placed import application, apply, need, place, tried, with_facts

SPLIT = {"split": True}


def test_a_managed_endpoint_divides_requests() -> None:
    said = traffic_divides(need(online=SPLIT), place("azureml-online-endpoint"))
    assert said is not None
    assert said.outcome is Outcome.OK
    assert said.reason == "it divides requests by percentages between up to 20 deployments"


def test_a_platform_that_sends_all_to_one_version_is_rejected() -> None:
    said = traffic_divides(need(online=SPLIT), place("local"))
    assert said is not None
    assert said.outcome is Outcome.NOT_OK
    assert said.reason == "requests are to be divided between versions; it sends all to one"
    assert said.change is not None
    assert traffic_divides(apply(application(online=SPLIT), said.change), place("local")) is None


def test_half_of_the_requests_can_be_mirrored_and_not_more() -> None:
    there = place("azureml-online-endpoint")
    half = traffic_mirrors(need(online={"mirror_percent": 50}), there)
    assert half is not None
    assert half.outcome is Outcome.OK
    assert half.reason == "50 % are to be mirrored, it mirrors up to 50 %"
    more = traffic_mirrors(need(online={"mirror_percent": 80}), there)
    assert more is not None
    assert more.outcome is Outcome.NOT_OK
    assert more.reason == "80 % are to be mirrored, it mirrors at most 50 %"
    assert more.remedy == "`online.mirror_percent: 50`"
    whole = application(online={"mirror_percent": 80})
    assert tried(traffic_mirrors, whole, there).outcome is Outcome.OK


def test_a_platform_without_mirroring_is_rejected() -> None:
    said = traffic_mirrors(need(online={"mirror_percent": 5}), place("aks"))
    assert said is not None
    assert said.reason == "5 % are to be mirrored, it mirrors nothing"
    assert said.change is not None
    then = apply(application(online={"mirror_percent": 5}), said.change)
    assert traffic_mirrors(then, place("aks")) is None


def test_what_is_not_known_is_unknown_and_what_is_not_asked_is_not_answered() -> None:
    there = place("azure-openai-standard", model="gpt-4o")
    asked = need(online={"split": True, "mirror_percent": 5})
    for rule in (traffic_divides, traffic_mirrors):
        said = rule(asked, there)
        assert said is not None
        assert said.outcome is Outcome.UNKNOWN
        assert rule(need(), there) is None
    few = with_facts(place("azureml-online-endpoint"), traffic={"deployments_max": 1})
    alone = traffic_divides(need(online=SPLIT), few)
    assert alone is not None
    assert alone.outcome is Outcome.NOT_OK
