from typing import Any

import pytest
from pydantic import ValidationError

from plinth.domain.serving import TrafficPolicy
from plinth.domain.traffic import (
    Deployment,
    EndpointRoute,
    Upstream,
    cookie_name,
    tracking_authority,
    tracking_origin,
)


def test_an_endpoint_without_a_ready_model_serves_nothing_and_nobody():
    route = EndpointRoute(name="flights-delay", team="ops")
    assert (route.deployments, route.candidates) == ((), ())
    assert (route.callers, route.caller_teams) == ((), ())


def test_a_route_survives_json_with_its_upstreams():
    deployment = Deployment(id="r_1", upstreams=(Upstream(socket="/run/r_1.sock"),))
    route = EndpointRoute(name="a", team="ops", deployments=(deployment,), candidates=(deployment,))
    assert EndpointRoute.model_validate_json(route.model_dump_json()) == route


def test_what_cannot_stand_in_an_address_is_no_endpoint():
    with pytest.raises(ValidationError, match="is not a name"):
        EndpointRoute(name="a/b", team="ops")


def test_mlflow_s_pages_are_an_origin_of_their_own_for_each_port():
    assert tracking_origin(8470) == "http://mlflow.localhost:8470"
    assert tracking_authority(80) == "mlflow.localhost"
    assert cookie_name(1) != cookie_name(2)
    assert cookie_name(1).startswith("__Host-")


BLUE, GREEN = Deployment(id="r_blue", name="blue"), Deployment(id="r_green", name="green")


def routed(*ready: Deployment, **policy: Any) -> EndpointRoute:
    return EndpointRoute(
        name="a", team="ops", deployments=ready, policy=TrafficPolicy.model_validate(policy)
    )


def test_what_is_not_ready_has_no_share() -> None:
    traffic = {"blue": 90, "green": 10}
    assert routed(BLUE, GREEN, traffic=traffic).shares() == ((BLUE, 90), (GREEN, 10))
    assert routed(GREEN, traffic=traffic).shares() == ((GREEN, 10),)
    assert routed(BLUE, GREEN, traffic={"blue": 100, "green": 0}).shares() == ((BLUE, 100),)
    assert routed(traffic=traffic).shares() == ()


def test_one_request_tries_what_is_ready_in_the_stated_order() -> None:
    capacity = {"base": "green", "burst": "blue"}
    assert routed(BLUE, GREEN, failover=("green", "blue")).order() == (GREEN, BLUE)
    assert routed(BLUE, GREEN, capacity=capacity).order() == (GREEN, BLUE)
    assert routed(BLUE, capacity=capacity).order() == (BLUE,)
    assert routed(BLUE, capacity=capacity).shares() == ((BLUE, 100),)
    assert routed(BLUE).order() == (BLUE,)
    assert routed(BLUE).shares() == ((BLUE, 100),)
    assert routed(BLUE, GREEN, traffic={"blue": 100}).order() == ()
