"""Which deployments callers are sent to follows from the rows alone."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from plinth.control.endpoints.routing import (
    external_id,
    hosted_names,
    in_effect,
    policy_of,
    protocol_of,
    routed,
    speaks,
    takes_traffic,
    wanted,
)
from plinth.runtimes.runtime import load_runtimes
from plinth.store.endpoints import StoredEndpoint
from tests.control.plane import TEAM, endpoint_of

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ELSEWHERE = {"external": {"url": "https://api.example.com/v1", "protocol": "openai"}}
OPEN = {"external": {"url": "https://x.example.com", "protocol": "open-inference"}}
BLUE, GREEN = {"model": "models:/m/1"}, {"model": "models:/m/2"}
SPLIT: dict[str, Any] = {
    "deployments": {"blue": BLUE, "green": GREEN},
    "traffic": {"blue": 90, "green": 10},
}


def stored(**fields: Any) -> StoredEndpoint:
    times = {"created_at": NOW, "updated_at": NOW}
    return StoredEndpoint(name="delay", team=TEAM, created_by="admin", **(times | fields))


def test_what_serves_is_routed_and_what_is_external_always() -> None:
    file = endpoint_of(
        deployments={"base": BLUE, "burst": OPEN}, capacity={"base": "base", "burst": "burst"}
    )
    endpoint = stored(workload=file, serving={"base": "r_a"})
    assert routed(endpoint) == {"base": "r_a", "burst": "delay.burst"}
    assert routed(stored(workload=file)) == {"burst": external_id("delay", "burst")}
    assert routed(endpoint.model_copy(update={"desired": "stop"})) == {}
    assert hosted_names(file) == ["base"]


def test_the_file_before_holds_while_it_is_kept_but_for_what_takes_effect_at_once() -> None:
    before = endpoint_of(timeouts={"idle": "10s"})
    new = endpoint_of(**SPLIT, timeouts={"idle": "20s"})
    endpoint = stored(workload=new, before=before, serving={"main": "r_a", "old": "r_b"})
    assert in_effect(endpoint) is before
    assert routed(endpoint) == {"main": "r_a"}
    assert (policy_of(endpoint).traffic, policy_of(endpoint).timeouts.idle) == ({}, 20.0)
    assert wanted(endpoint) == {"main": "r_a"}
    after = endpoint.model_copy(update={"before": None})
    assert policy_of(after) == new.policy
    assert wanted(after) == {}


@pytest.mark.parametrize(
    ("fields", "serving", "takes"),
    [
        ({}, {}, False),
        ({}, {"main": "r_a"}, True),
        (SPLIT, {"green": "r_a"}, True),
        (SPLIT | {"traffic": {"blue": 100}}, {"green": "r_a"}, False),
        (SPLIT | {"traffic": {"blue": 100, "green": 0}}, {"green": "r_a"}, False),
        ({"external": OPEN["external"]}, {}, True),
        ({"deployments": {"a": BLUE, "b": OPEN}, "failover": ["a", "b"]}, {}, True),
    ],
)
def test_a_file_takes_traffic_when_something_is_ready_that_it_sends_requests_to(
    fields: dict[str, Any], serving: dict[str, str], takes: bool
) -> None:
    assert takes_traffic(endpoint_of(**fields), serving) is takes


def test_callers_of_openai_and_azure_say_the_same() -> None:
    runtimes = load_runtimes()
    azure = {"external": {"url": "https://x.openai.azure.com", "protocol": "azure-openai"}}
    file = endpoint_of(deployments={"a": ELSEWHERE, "b": azure}, failover=["a", "b"])
    assert protocol_of(file, runtimes) == "openai"
    assert speaks(runtimes) == {
        "asgihost": "flow",
        "llmserver": "openai",
        "promptflow": "flow",
        "v2server": "open-inference",
    }
    assert protocol_of(endpoint_of(), runtimes) == "open-inference"
    assert protocol_of(endpoint_of(external=OPEN["external"]), runtimes) == "open-inference"
