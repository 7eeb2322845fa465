"""Which address goes where is said in words."""

from __future__ import annotations

from typing import Any

import pytest

from plinth.control.gateway_routes import route_json
from plinth.domain.serving import External, TrafficPolicy
from plinth.domain.traffic import Deployment, EndpointRoute, Upstream

HERE = Deployment(id="r_1", name="blue", upstreams=(Upstream(socket="/r_1.0.sock"),))
GREEN = Deployment(id="r_2", name="green", upstreams=(Upstream(socket="/r_2.0.sock"),))
AZURE = Deployment(
    id="chat.azure",
    name="azure",
    external=External(url="https://x.openai.azure.com", protocol="azure-openai", model="gpt"),
)


def shown(policy: dict[str, Any], *deployments: Deployment, **fields: Any) -> dict[str, Any]:
    return route_json(
        EndpointRoute(
            name="chat",
            team="ops",
            protocol="openai",
            deployments=deployments,
            policy=TrafficPolicy.model_validate(policy),
            **fields,
        )
    )


def parts(policy: dict[str, Any], *deployments: Deployment) -> dict[str, str]:
    return {each["name"]: each["part"] for each in shown(policy, *deployments)["deployments"]}


@pytest.mark.parametrize(
    ("policy", "wanted"),
    [
        ({"traffic": {"blue": 90, "green": 10}}, {"blue": "90 %", "green": "10 %"}),
        (
            {"traffic": {"blue": 100}, "mirror": {"green": 12.5}, "match": {"green": {"x-v": "g"}}},
            {"blue": "100 %", "green": "mirror 12.5 %; where x-v: g"},
        ),
        ({"failover": ["green", "blue"]}, {"blue": "failover 2", "green": "failover 1"}),
        (
            {"capacity": {"base": "blue", "burst": "green", "concurrency": 4}},
            {"blue": "base up to 4 at once", "green": "burst"},
        ),
        ({}, {"blue": "100 %", "green": "nothing"}),
    ],
)
def test_each_deployment_has_its_part(policy: dict[str, Any], wanted: dict[str, str]) -> None:
    assert parts(policy, HERE, GREEN) == wanted


def test_what_is_not_ready_leaves_its_share_to_the_others() -> None:
    assert parts({"traffic": {"blue": 90, "green": 10}}, GREEN) == {"green": "100 %"}


def test_it_is_said_where_a_deployment_is() -> None:
    here, elsewhere = shown({"failover": ["blue", "azure"]}, HERE, AZURE)["deployments"]
    assert (here["where"], here["protocol"]) == ("here, 1 replica", None)
    assert (elsewhere["where"], elsewhere["model"]) == ("https://x.openai.azure.com", "gpt")


def test_addresses_follow_from_the_protocol() -> None:
    assert shown({}, HERE)["addresses"] == ["/v1 with model `chat`", "/openai/deployments/chat"]
    v2 = route_json(EndpointRoute(name="chat", team="ops"))
    assert (v2["addresses"], v2["ready"]) == (["/v2/models/chat"], False)


def test_it_is_said_whose_answers_are_compared_with_the_copies() -> None:
    mirror = {"traffic": {"blue": 100}, "mirror": {"green": 10}}
    told = shown(mirror, HERE, GREEN)
    assert (told["mirror"], told["compared"]) == ({"green": 10}, "blue")
    assert shown({}, HERE)["compared"] is None
    shared = {"traffic": {"blue": 50, "green": 50}, "mirror": {"green": 10}}
    assert shown(shared, HERE, GREEN)["compared"] is None


def test_limits_say_whose_and_how_much() -> None:
    limits = [
        {"each": "team", "requests_per_minute": 60, "tokens_per_minute": 10_000},
        {"key": "k_1", "tokens_per_minute": 5},
        {"team": "dev", "requests_per_minute": 1},
        {"requests_per_minute": 1000},
    ]
    assert shown({"limits": limits}, HERE)["limits"] == [
        "each team: 60 requests and 10,000 tokens a minute",
        "key k_1: 5 tokens a minute",
        "team dev: 1 request a minute",
        "everybody together: 1,000 requests a minute",
    ]
