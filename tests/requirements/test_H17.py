"""H17: one API over all endpoints: one address, one key, and a list of what it may use.

Real clients ask a real Envoy in `tests/journeys/test_product_external.py` and its neighbours.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from plinth.domain.access import Role
from plinth.domain.traffic import EndpointRoute
from plinth.gateway.snapshot import render
from tests.api.service import OTHER, Service, make_service
from tests.gateway.upstreams import chat, external, hosted, state

ELSEWHERE = {"url": "https://1.1.1.1/v1", "protocol": "openai"}


@pytest.fixture
def service() -> Iterator[Service]:
    with make_service() as service:
        service.plane.apply(name="chat", external=ELSEWHERE)
        service.plane.apply(name="azure", external={**ELSEWHERE, "protocol": "azure-openai"})
        yield service


def models(service: Service, key: str) -> list[str]:
    answer = service.call(key, "GET", "/openai/models")
    return [model["id"] for model in answer.json()["data"]]


def test_models_of_all_providers_stand_in_one_list(service: Service) -> None:
    assert models(service, service.admin) == ["azure", "chat"]


def test_a_key_that_may_use_none_of_them_sees_an_empty_list(service: Service) -> None:
    assert models(service, service.caller(Role.OPERATOR, OTHER)) == []


def routes_of(endpoint: EndpointRoute) -> list[dict[str, Any]]:
    hosts = render(state(Path("/nowhere"), endpoint)).routes.items[0]["virtual_hosts"]
    return next(each["routes"] for each in hosts if each["name"] == "endpoint:chat")


def test_all_of_them_are_asked_by_their_name_at_the_same_address() -> None:
    for deployment in (hosted("a"), external("a"), external("a", protocol="azure-openai")):
        (route,) = [each for each in routes_of(chat(deployment)) if "route" in each]
        assert route["route"]["cluster"] == f"deployment:{deployment.id}"


def test_what_is_not_ready_is_told_apart_from_what_is_not_there() -> None:
    statuses = {each["direct_response"]["status"] for each in routes_of(chat())}
    assert 503 in statuses
