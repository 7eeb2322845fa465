"""A flow behind `/flows/NAME`: its own paths, and nothing that was sent is sent again."""

from __future__ import annotations

from typing import Any

from plinth.domain.serving import Limit, Timeouts, TrafficPolicy
from plinth.domain.traffic import Deployment, EndpointRoute, Upstream
from plinth.gateway.envoy_types import Json
from plinth.gateway.flow_routes import flow_routes
from plinth.gateway.model_routes import NOTHING_GRANTED, model_tree
from plinth.gateway.state import GatewayState

READY = (Deployment(id="r_1", upstreams=(Upstream(socket="/run/r_1"),)),)


def flow(deployments: tuple[Deployment, ...] = READY, **policy: Any) -> EndpointRoute:
    return EndpointRoute(
        name="answers",
        team="ops",
        protocol="flow",
        deployments=deployments,
        policy=TrafficPolicy(retries=0, **policy),
        callers=("p_1",),
    )


def state(*endpoints: EndpointRoute) -> GatewayState:
    return GatewayState(
        port=1, sockets="/s", folder="/f", access_log="/a", jwks="{}", platform="p",
        endpoints=endpoints,
    )  # fmt: skip


def test_its_own_path_is_what_stands_behind_its_name() -> None:
    (route,) = flow_routes(flow())
    assert route["match"] == {"path_separated_prefix": "/flows/answers"}
    assert route["route"]["regex_rewrite"] == {
        "pattern": {"regex": "^/flows/answers/?"},
        "substitution": "/",
    }
    assert route["name"] == "endpoint:answers"
    assert {"authorization", "cookie"} <= set(route["request_headers_to_remove"])


def test_its_app_is_told_the_name_by_which_its_caller_knows_the_gateway() -> None:
    assert flow_routes(flow())[0]["route"]["auto_host_rewrite"] is False


def test_it_takes_as_long_as_it_takes_unless_the_file_says_how_long() -> None:
    assert flow_routes(flow())[0]["route"]["timeout"] == "0s"
    limited = flow_routes(flow(timeouts=Timeouts(request=20)))[0]["route"]
    assert limited["timeout"] == "20s"


def test_only_what_was_not_sent_is_sent_again() -> None:
    again = flow_routes(flow())[0]["route"]["retry_policy"]
    assert again["retry_on"] == "connect-failure,refused-stream,reset-before-request"


def test_one_that_is_not_ready_says_so() -> None:
    (route,) = flow_routes(flow(()))
    assert route["direct_response"]["status"] == 503


def test_its_limits_are_those_of_its_requests() -> None:
    limits = (Limit(requests_per_minute=5),)
    assert flow_routes(flow(limits=limits))[0]["route"]["rate_limits"]


def test_it_is_found_by_its_name_and_another_name_is_nobodys() -> None:
    tree = model_tree(state(flow()))

    def tried(place: str) -> list[Json]:
        found: list[Json] = tree[place]["action"]["typed_config"]["routes"]
        return found

    assert [each["name"] for each in tried("/flows/answers")] == ["endpoint:answers", "endpoint"]
    (absent,) = tried("/flows/")
    assert absent["direct_response"]["body"]["inline_string"] == NOTHING_GRANTED
    assert not any(path.startswith("/v2/models/answers") for path in tree)
