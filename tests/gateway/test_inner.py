"""The inner listeners never change, and what is rendered for providers Envoy accepts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from plinth.domain.traffic import EndpointRoute
from plinth.gateway import credentials, snapshot, validation, xds
from plinth.gateway.cluster import OURS
from plinth.gateway.inner import inner_listeners, inner_routes
from plinth.gateway.inner_names import INNER, PAIRS, SHADOW
from tests.gateway.upstreams import chat, external, hosted, state

AZURE = {"protocol": "azure-openai", "url": "https://account.openai.azure.com", "model": "gpt 4"}
BUSY = (
    chat(
        hosted("a"),
        external("b", **AZURE),
        capacity={"base": "a", "burst": "b", "concurrency": 3, "requests_per_minute": 60},
        timeouts={"attempt": 2, "idle": 30},
        mirror={"b": 10},
    ),
    chat(external("a"), hosted("b"), failover=("a", "b")).model_copy(update={"name": "second"}),
    chat(
        hosted("a"),
        external("b", model="gpt"),
        traffic={"a": 100, "b": 0},
        mirror={"b": 100},
        health={"path": "/healthz"},
    ).model_copy(update={"name": "third"}),
    chat(external("main", url="http://192.0.2.1:8000/v1")).model_copy(update={"name": "fourth"}),
)

FIXED = ("control", "mlflow", "guard", "verifier")


def own(endpoint: EndpointRoute) -> EndpointRoute:
    """Give its deployments ids of their own."""
    found = tuple(
        each.model_copy(update={"id": f"{endpoint.name}.{each.name}"})
        for each in endpoint.deployments
    )
    return endpoint.model_copy(update={"deployments": found})


@pytest.fixture
def busy(tmp_path: Path) -> snapshot.Snapshot:
    rendered = snapshot.render(state(tmp_path, *map(own, BUSY), mark="plinth-1"))
    credentials.prepare(rendered.clusters.items)
    (tmp_path / "pairs").mkdir()
    return rendered


def test_envoy_accepts_what_is_rendered_for_providers(busy: snapshot.Snapshot) -> None:
    assert validation.complaint(busy) is None


def test_what_breaks_off_behind_inner_listeners_is_known_sooner_than_by_envoys_second(
    busy: snapshot.Snapshot,
) -> None:
    inner = {each["name"]: json.dumps(each) for each in busy.listeners.items}
    for name in (INNER, SHADOW, PAIRS):
        assert inner[name].count('"delayed_close_timeout": "0.100s"') == 1


def test_no_endpoint_changes_an_inner_listener(tmp_path: Path) -> None:
    assert inner_listeners(state(tmp_path)) == inner_listeners(state(tmp_path, *map(own, BUSY)))


def test_nothing_but_envoy_itself_reaches_an_inner_listener(tmp_path: Path) -> None:
    for listener in inner_listeners(state(tmp_path)):
        assert "address" not in listener
        assert listener["internal_listener"] == {}


def test_every_cluster_of_a_route_and_every_inner_host_is_there(busy: snapshot.Snapshot) -> None:
    clusters = {each["name"]: each for each in busy.clusters.items}
    hosts = {each["name"]: each for each in busy.inner.items[0]["virtual_hosts"]}
    routes = [route for host in hosts.values() for route in host["routes"] if "route" in route]
    used = {route["route"]["cluster"] for route in routes} | {
        member["name"]
        for each in clusters.values()
        if "cluster_type" in each
        for member in each["cluster_type"]["typed_config"]["clusters"]
    }
    assert used <= set(clusters)
    named = {
        server["endpoint"]["hostname"]
        for each in clusters.values()
        if "load_assignment" in each
        for place in each["load_assignment"]["endpoints"]
        for server in place["lb_endpoints"]
        if "hostname" in server["endpoint"]
    }
    named -= {OURS}
    assert named == set(hosts) == {host["domains"][0] for host in hosts.values()}


def test_every_server_of_a_deployment_says_whose_it_is(busy: snapshot.Snapshot) -> None:
    for each in busy.clusters.items:
        if "load_assignment" not in each or each["name"] in FIXED:
            continue
        for place in each["load_assignment"]["endpoints"]:
            for server in place["lb_endpoints"]:
                found = server["metadata"]["filter_metadata"]["plinth"]["deployment"]
                assert each["name"].endswith(found)


def test_no_secret_and_no_name_of_one_is_rendered(tmp_path: Path) -> None:
    credentials.write(tmp_path / "credentials", {"chat.b": b"sk-x"})
    rendered = snapshot.render(state(tmp_path, BUSY[0]))
    text = json.dumps([each.items for each in rendered.by_kind().values()])
    assert "sk-x" not in text
    assert "secret:provider" not in text


def test_hosts_that_are_no_longer_wanted_stay_until_the_routes_to_them_are_gone(
    tmp_path: Path,
) -> None:
    before, after = (
        snapshot.resources(inner_routes(state(tmp_path, each))) for each in (BUSY[0], own(BUSY[1]))
    )
    both = xds._with_hosts(after, before.to_bytes())
    names = [
        {host["name"] for host in each.items[0]["virtual_hosts"]} for each in (before, after, both)
    ]
    assert names[2] == names[0] | names[1]
    assert xds._with_hosts(after, after.to_bytes()) == after
    assert xds._with_hosts(after, None) == after
