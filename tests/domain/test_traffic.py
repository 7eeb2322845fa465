import pytest
from pydantic import ValidationError

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
    assert (route.serving, route.candidates) == (None, ())
    assert (route.callers, route.caller_teams) == ((), ())


def test_a_route_survives_json_with_its_upstreams():
    deployment = Deployment(id="r_1", upstreams=(Upstream(socket="/run/r_1.sock"),))
    route = EndpointRoute(name="a", team="ops", serving=deployment, candidates=(deployment,))
    assert EndpointRoute.model_validate_json(route.model_dump_json()) == route


def test_what_cannot_stand_in_an_address_is_no_endpoint():
    with pytest.raises(ValidationError, match="is not a name"):
        EndpointRoute(name="a/b", team="ops")


def test_mlflow_s_pages_are_an_origin_of_their_own_for_each_port():
    assert tracking_origin(8470) == "http://mlflow.localhost:8470"
    assert tracking_authority(80) == "mlflow.localhost"
    assert cookie_name(1) != cookie_name(2)
    assert cookie_name(1).startswith("__Host-")
