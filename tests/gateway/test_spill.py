from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from plinth.domain.serving import External
from plinth.domain.traffic import Deployment, EndpointRoute
from plinth.gateway import spill
from tests.gateway.upstreams import chat, external, hosted, state

NOWHERE = Path("/nowhere")
PROVISIONED = {"base": "a", "burst": "b"}


def members(endpoint: EndpointRoute) -> list[str]:
    way = next(each for each in made(endpoint) if each["name"] == "way:chat")
    return [each["name"] for each in way["cluster_type"]["typed_config"]["clusters"]]


def made(endpoint: EndpointRoute) -> list[dict[str, Any]]:
    return spill.spill_clusters(endpoint, state(NOWHERE, endpoint))


def test_one_deployment_needs_no_way() -> None:
    for endpoint in (chat(hosted("a")), chat(hosted("a"), hosted("b"), traffic={"a": 50, "b": 50})):
        assert not spill.has_way(endpoint)
        assert made(endpoint) == spill.valve_hosts(endpoint) == []


@pytest.mark.parametrize(("retries", "expected"), [(0, 2), (1, 2), (2, 3), (3, 4), (10, 11)])
def test_there_is_a_member_for_each_attempt_and_everybody_is_asked(
    retries: int, expected: int
) -> None:
    endpoint = chat(hosted("a"), hosted("b"), failover=("a", "b"), retries=retries)
    assert spill.attempts(endpoint) == expected == len(members(endpoint))
    assert spill.spill_policy(endpoint)["num_retries"] == expected - 1
    assert members(endpoint)[:2] == ["deployment:r_a", "deployment:r_b"]
    assert members(endpoint)[-1] == "deployment:r_b"


def test_a_base_has_a_valve_and_the_last_one_never() -> None:
    for base, burst in ((hosted("a"), external("b")), (external("a"), hosted("b"))):
        endpoint = chat(base, burst, capacity=PROVISIONED, retries=1)
        assert members(endpoint) == [f"valve:{base.id}", f"deployment:{burst.id}"]
        assert [each["name"] for each in spill.valve_hosts(endpoint)] == [f"valve.to.{base.id}"]
        assert [each["name"] for each in made(endpoint)][1:] == [
            f"valve:{base.id}",
            f"bounded:{base.id}",
        ]


def takes_at_once(cluster: dict[str, Any]) -> int:
    found: int = cluster["circuit_breakers"]["thresholds"][0]["max_requests"]
    return found


def settings_of(host: dict[str, Any]) -> dict[str, Any]:
    (route,) = host["routes"]
    found: dict[str, Any] = route["typed_per_filter_config"]
    return found


BUCKET = {"max_tokens": 30, "tokens_per_fill": 30, "fill_interval": "60s"}


def test_a_valve_holds_what_the_base_takes_at_once() -> None:
    endpoint = chat(hosted("a"), external("b"), capacity={**PROVISIONED, "concurrency": 7})
    bounded = made(endpoint)[-1]
    assert (bounded["name"], takes_at_once(bounded)) == ("bounded:r_a", 7)
    (host,) = spill.valve_hosts(endpoint)
    assert settings_of(host)[spill.SPILL_FILTER]["filter_context"] == {"valve": "r_a"}


def test_a_valve_holds_what_the_base_gets_in_a_minute() -> None:
    capacity = {**PROVISIONED, "requests_per_minute": 30}
    endpoint = chat(hosted("a"), external("b"), capacity=capacity)
    assert [each["name"] for each in made(endpoint)][1:] == ["valve:r_a", "bounded:r_a"]
    (host,) = spill.valve_hosts(endpoint)
    assert settings_of(host)[spill.RATE_FILTER]["token_bucket"] == BUCKET


@pytest.mark.parametrize("make", [hosted, external])
def test_where_both_are_limited_the_minute_is_counted_after_what_is_under_way(
    make: Callable[[str], Deployment],
) -> None:
    capacity = {**PROVISIONED, "concurrency": 7, "requests_per_minute": 30}
    base = make("a")
    endpoint = chat(base, external("b"), capacity=capacity)
    _, valve, rate, bounded = made(endpoint)
    assert [each["name"] for each in (valve, rate, bounded)] == [
        f"valve:{base.id}",
        f"rate:{base.id}",
        f"bounded:{base.id}",
    ]
    assert takes_at_once(rate) == 7 < takes_at_once(bounded)
    outer, inner = spill.valve_hosts(endpoint)
    assert (outer["name"], inner["name"]) == (f"valve.to.{base.id}", f"rate.to.{base.id}")
    assert outer["routes"][0]["route"]["cluster"] == rate["name"]
    assert inner["routes"][0]["route"]["cluster"] == bounded["name"]
    assert set(settings_of(outer)) == {spill.SPILL_FILTER}
    assert settings_of(inner)[spill.RATE_FILTER]["token_bucket"] == BUCKET


def test_who_is_passed_over_is_told_before_the_minute_is_counted() -> None:
    assert [each["name"] for each in spill.spill_filters()] == [
        spill.SPILL_FILTER,
        spill.RATE_FILTER,
    ]


@pytest.mark.parametrize(
    ("retries", "count", "asked_again"),
    [(3, 3, ""), (4, 3, "a"), (5, 3, "ab"), (9, 3, "ab"), (3, 2, "a"), (1, 2, ""), (0, 3, "")],
)
def test_a_request_ends_with_the_last_one_when_only_closed_valves_would_be_asked_again(
    retries: int, count: int, asked_again: str
) -> None:
    order = tuple("abc"[:count])
    endpoint = chat(*map(external, order), failover=order, retries=retries)
    *before, last = endpoint.order()
    others = spill.others_after(endpoint, last)
    assert others is not None
    assert [each.name for each in others] == list(asked_again)
    assert all(spill.others_after(endpoint, each) is None for each in before)
    told = spill.watch(provider=last, others=others)[spill.SPILL_FILTER]["filter_context"]
    assert [each.partition("@")[0] for each in told["others"].split()] == [
        f"chat.{name}" for name in asked_again
    ]


def test_a_request_goes_on_after_the_last_one_to_who_has_no_valve() -> None:
    endpoint = chat(hosted("a"), external("b"), failover=("a", "b"), retries=3)
    assert spill.others_after(endpoint, endpoint.order()[-1]) is None
    alone = chat(external("a"), retries=3)
    assert spill.others_after(alone, alone.deployments[0]) is None


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"credential": None}, {}),
        ({"credential": "secret:openai"}, {"credential": "yes"}),
        ({"credential": None, "protocol": "open-inference", "url": "https://h"}, {"plain": "yes"}),
    ],
)
def test_the_program_knows_whether_there_is_a_credential_and_in_which_shape_errors_are(
    fields: dict[str, str | None], told: dict[str, str]
) -> None:
    one = external("a", **fields)
    settings = spill.watch(valve=one, provider=one)[spill.SPILL_FILTER]
    valve = settings["filter_context"].pop("valve")
    assert valve.startswith(f"{one.id}@")
    assert settings["filter_context"] == {"provider": one.id, **told}


def test_a_valve_gives_up_on_an_attempt_before_who_stands_before_it_does() -> None:
    endpoint = chat(
        external("a"), hosted("b"), failover=("a", "b"), timeouts={"attempt": 2, "idle": 5}
    )
    (host,) = spill.valve_hosts(endpoint)
    inner = host["routes"][0]["route"]["retry_policy"]["per_try_timeout"]
    outer = spill.spill_policy(endpoint)["per_try_timeout"]
    assert (inner, outer) == ("1.900s", "2s")


def test_what_a_deployment_answers_does_not_eject_it() -> None:
    endpoint = chat(external("a"), hosted("b"), failover=("a", "b"))
    bounded = next(each for each in made(endpoint) if each["name"] == "bounded:chat.a")
    ejection = bounded["outlier_detection"]
    assert ejection["enforcing_consecutive_5xx"] == 0
    assert ejection["split_external_local_origin_errors"]
    assert bounded["common_lb_config"]["healthy_panic_threshold"]["value"] == 0


def test_what_a_server_asked_for_is_forgotten_with_its_url() -> None:
    def valve(url: str, **more: Any) -> str:
        external = External(url=url, protocol="openai", **more)
        one = Deployment(id="chat.a", name="a", external=external)
        found: str = spill.watch(valve=one)[spill.SPILL_FILTER]["filter_context"]["valve"]
        return found

    assert valve("https://a.example/v1") == valve("https://a.example/v1", model="other")
    assert valve("https://a.example/v1") != valve("https://b.example/v1")
