"""H9b: demand is spread over instances: weighted, least load, in order, over regions and keys.

The same is seen of a real Envoy in `tests/journeys/test_gateway_failover.py` and
`tests/journeys/test_product_canary.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from plinth.domain.traffic import Deployment, EndpointRoute, Upstream
from plinth.gateway import spill
from plinth.gateway.snapshot import render
from tests.gateway.upstreams import chat, external, hosted, state

FOLDER = Path("/nowhere")


def clusters(endpoint: EndpointRoute) -> dict[str, Any]:
    return {each["name"]: each for each in render(state(FOLDER, endpoint)).clusters.items}


def test_replicas_share_by_who_has_least_to_do() -> None:
    sockets = tuple(Upstream(socket=f"/run/plinth/r_a.{number}.1.sock") for number in range(3))
    found = clusters(chat(Deployment(id="r_a", name="a", upstreams=sockets)))["deployment:r_a"]
    assert found["lb_policy"] == "LEAST_REQUEST"
    assert len(found["load_assignment"]["endpoints"][0]["lb_endpoints"]) == 3


def test_deployments_share_by_weight_and_what_is_away_has_none() -> None:
    traffic = {"a": 75, "b": 25}
    both = chat(hosted("a"), hosted("b"), traffic=traffic)
    assert [(each.id, weight) for each, weight in both.shares()] == [("r_a", 75), ("r_b", 25)]
    assert [each.id for each, _ in chat(hosted("b"), traffic=traffic).shares()] == ["r_b"]


def test_regions_and_keys_are_asked_in_order() -> None:
    near = external("near", region="westeurope", credential="secret:one")
    far = external("far", region="northeurope", credential="secret:two")
    endpoint = chat(near, far, failover=("near", "far"), retries=1)
    way = clusters(endpoint)["way:chat"]["cluster_type"]["typed_config"]["clusters"]
    assert [each["name"].partition(":")[2] for each in way] == ["chat.near", "chat.far"]
    assert spill.attempts(endpoint) == 2


def test_one_deployment_alone_has_nobody_to_share_with() -> None:
    assert not spill.has_way(chat(hosted("a")))
    assert "way:chat" not in clusters(chat(hosted("a")))
