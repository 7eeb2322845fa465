from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from plinth.domain.traffic import EndpointRoute
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
        assert made(endpoint) == spill.gate_hosts(endpoint) == []


@pytest.mark.parametrize(("retries", "expected"), [(0, 2), (1, 2), (2, 3), (3, 4), (10, 11)])
def test_there_is_a_member_for_each_attempt_and_everybody_is_asked(
    retries: int, expected: int
) -> None:
    endpoint = chat(hosted("a"), hosted("b"), failover=("a", "b"), retries=retries)
    assert spill.attempts(endpoint) == expected == len(members(endpoint))
    assert spill.spill_policy(endpoint)["num_retries"] == expected - 1
    assert members(endpoint)[:2] == ["deployment:r_a", "deployment:r_b"]
    assert members(endpoint)[-1] == "deployment:r_b"


def test_a_base_has_a_gate_and_the_last_one_never() -> None:
    for base, burst in ((hosted("a"), external("b")), (external("a"), hosted("b"))):
        endpoint = chat(base, burst, capacity=PROVISIONED, retries=1)
        assert members(endpoint) == [f"gate:{base.id}", f"deployment:{burst.id}"]
        assert [each["name"] for each in spill.gate_hosts(endpoint)] == [f"gate.to.{base.id}"]
        assert [each["name"] for each in made(endpoint)][1:] == [
            f"gate:{base.id}",
            f"gated:{base.id}",
        ]


def test_a_gate_holds_what_the_base_takes_at_once_and_in_a_minute() -> None:
    capacity = {**PROVISIONED, "concurrency": 7, "requests_per_minute": 30}
    endpoint = chat(hosted("a"), external("b"), capacity=capacity)
    gated = next(each for each in made(endpoint) if each["name"] == "gated:r_a")
    assert gated["circuit_breakers"]["thresholds"][0]["max_requests"] == 7
    (host,) = spill.gate_hosts(endpoint)
    settings = host["routes"][0]["typed_per_filter_config"]
    assert settings[spill.RATE_FILTER]["token_bucket"] == {
        "max_tokens": 30,
        "tokens_per_fill": 30,
        "fill_interval": "60s",
    }
    assert settings[spill.SPILL_FILTER]["filter_context"] == {"gate": "r_a"}


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
    settings = spill.watch(gate=one, provider=one)[spill.SPILL_FILTER]
    assert settings["filter_context"] == {"gate": one.id, "provider": one.id, **told}


def test_a_gate_gives_up_on_an_attempt_before_who_stands_before_it_does() -> None:
    endpoint = chat(
        external("a"), hosted("b"), failover=("a", "b"), timeouts={"attempt": 2, "idle": 5}
    )
    (host,) = spill.gate_hosts(endpoint)
    inner = host["routes"][0]["route"]["retry_policy"]["per_try_timeout"]
    outer = spill.spill_policy(endpoint)["per_try_timeout"]
    assert (inner, outer) == ("1.900s", "2s")


def test_what_a_deployment_answers_does_not_eject_it() -> None:
    endpoint = chat(external("a"), hosted("b"), failover=("a", "b"))
    gated = next(each for each in made(endpoint) if each["name"] == "gated:chat.a")
    ejection = gated["outlier_detection"]
    assert ejection["enforcing_consecutive_5xx"] == 0
    assert ejection["split_external_local_origin_errors"]
    assert gated["common_lb_config"]["healthy_panic_threshold"]["value"] == 0
