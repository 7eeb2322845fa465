"""The rendered configuration, compared with a file that people review.

`WRITE_GOLDEN=1 pytest tests/gateway` writes it again.
"""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from plinth.domain.serving import Limit, TrafficPolicy
from plinth.domain.traffic import Deployment, EndpointRoute, Upstream
from plinth.gateway import snapshot
from plinth.gateway.native import library
from plinth.gateway.snapshot import GatewayState
from plinth.gateway.state import Writers

GOLDEN = Path(__file__).parent / "golden" / "busy.json"
JWKS = (
    '{"keys":[{"alg":"ES256","crv":"P-256","kid":"ab12","kty":"EC","use":"sig",'
    '"x":"VXWh_-7BK7LAHGoUjsUyjvZb9KRo_60AWfi4VlRtB2s",'
    '"y":"vLEBJov8m56suY-MDfELsFX6wzpFxbqULZkxmk7ejP0"}]}'
)


def deployment(run: str, *sockets: str) -> Deployment:
    return Deployment(id=run, upstreams=tuple(Upstream(socket=each) for each in sockets))


DELAY = EndpointRoute(
    name="delay",
    team="ops",
    deployments=(deployment("r_new", "/home/run/r_new.0.1.sock", "/home/run/r_new.1.1.sock"),),
    candidates=(deployment("r_next", "/home/run/r_next.0.1.sock"),),
    callers=("p_ann", "p_bob"),
    caller_teams=("ops",),
)
PRICE = EndpointRoute(name="price", team="research", callers=("p_cia",))
CHAT = EndpointRoute(
    name="chat",
    team="ops",
    protocol="openai",
    deployments=(
        deployment("r_blue", "/home/run/r_blue.0.1.sock").model_copy(update={"name": "blue"}),
        deployment("r_green", "/home/run/r_green.0.1.sock").model_copy(update={"name": "green"}),
    ),
    policy=TrafficPolicy(
        traffic={"blue": 90, "green": 10},
        match={"green": {"x-variant": "green"}},
        limits=(Limit(team="sales", requests_per_minute=60), Limit(tokens_per_minute=10_000)),
    ),
    callers=("p_ann",),
)
EMPTY = GatewayState(
    port=8470,
    sockets="/home/run",
    folder="/home/gateway",
    access_log="/home/gateway/access.log",
    jwks=JWKS,
    platform="p_platform",
)
BUSY = replace(
    EMPTY,
    endpoints=(DELAY, PRICE, CHAT),
    revoked=("k_old", "k_leaked"),
    writers=(Writers("ops", ("p_ann", "admin")), Writers("research", ("p_x",), everybody=True)),
)


def names(items: Any) -> list[str]:
    return [item["name"] for item in items]


def routes_of(state: GatewayState) -> list[dict[str, Any]]:
    return [route for host in hosts_of(state) for route in tried(host)]


def hosts_of(state: GatewayState) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = snapshot.render(state).routes.items[0]["virtual_hosts"]
    return found


def tried(host: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the routes of a host, with the settings that they have from it."""
    if "matcher" in host:
        matcher = host["matcher"]
        found = [*matcher["matcher_tree"]["prefix_match_map"]["map"].values()]
        lists = [each["action"]["typed_config"] for each in (*found, matcher["on_no_match"])]
        return [route for each in lists for route in each["routes"]]
    shared = host.get("typed_per_filter_config", {})
    return [
        {**each, "typed_per_filter_config": {**shared, **each.get("typed_per_filter_config", {})}}
        for each in host["routes"]
    ]


def test_the_configuration_is_the_reviewed_one() -> None:
    kinds = snapshot.render(BUSY).by_kind()
    text = json.dumps({kind: each.items for kind, each in kinds.items()}, indent=1, sort_keys=True)
    # It stands in the cache of whoever runs this.
    text = text.replace(str(library()), library().name)
    if os.environ.get("WRITE_GOLDEN"):
        GOLDEN.write_text(text + "\n")
    assert text + "\n" == GOLDEN.read_text()


def test_what_may_hold_a_key_is_taken_off_before_anything_reads_it() -> None:
    listener = snapshot.render(BUSY).listeners.items[0]
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    taken = manager["early_header_mutation_extensions"][0]["typed_config"]["mutations"]
    assert {"remove": "proxy-authorization"} in taken


def test_equal_state_gives_an_equal_version() -> None:
    other = replace(BUSY, endpoints=(CHAT, PRICE, DELAY), revoked=("k_leaked", "k_old"))
    assert snapshot.render(other) == snapshot.render(BUSY)


@pytest.mark.parametrize("state", [EMPTY, BUSY], ids=["empty", "busy"])
def test_mlflow_is_open_to_every_key_for_reading_only(state: GatewayState) -> None:
    found = [route for route in routes_of(state) if route["name"] == "mlflow"]
    for route in found:
        conditions = route["match"].get("headers", [{}])
        methods = conditions[0].get("string_match", {}).get("safe_regex", {}).get("regex")
        rules = route["typed_per_filter_config"]["plinth.gate"]["filter_config"]["value"]
        is_open = rules == "everybody"
        assert is_open == (methods is not None)
        # By POST only whole paths, none below.
        assert methods in (None, "GET|HEAD") or (methods == "POST" and "path" in route["match"])


def test_what_reads_in_mlflow_comes_before_what_changes() -> None:
    for host in hosts_of(BUSY):
        found = [route for route in tried(host) if route["name"] == "mlflow"]
        is_first = [route["match"].get("headers") is not None for route in found]
        assert is_first == sorted(is_first, reverse=True)


def test_a_grant_changes_the_routes_and_nothing_else() -> None:
    granted = DELAY.model_copy(update={"callers": ("p_ann",)})
    before, after = (
        snapshot.render(BUSY),
        snapshot.render(replace(BUSY, endpoints=(granted, PRICE, CHAT))),
    )
    assert before.version != after.version
    assert before.routes != after.routes
    assert (before.clusters, before.filters, before.listeners) == (
        after.clusters,
        after.filters,
        after.listeners,
    )


def test_a_new_signing_key_does_not_touch_the_listener() -> None:
    after = snapshot.render(replace(BUSY, jwks=JWKS.replace("ab12", "cd34")))
    assert after.listeners == snapshot.render(BUSY).listeners
    assert after.filters != snapshot.render(BUSY).filters


def test_every_cluster_that_a_route_names_exists() -> None:
    clusters = names(snapshot.render(BUSY).clusters.items)
    used = {name for route in routes_of(BUSY) for name in clusters_of(route)}
    runs = ("r_new", "r_next", "r_blue", "r_green")
    assert used == {"control", "mlflow", *(f"deployment:{run}" for run in runs)}
    # What the gate asks stands in no route.
    assert set(clusters) == {*used, "verifier"}


def clusters_of(route: dict[str, Any]) -> list[str]:
    action = route.get("route", {})
    weighted = action.get("weighted_clusters", {"clusters": []})["clusters"]
    return [*([action["cluster"]] if "cluster" in action else []), *names(weighted)]


def test_every_route_says_who_may_use_it() -> None:
    """What does not is closed: the filter refuses where no route opens it."""
    for route in routes_of(BUSY):
        if not {"plinth.gate", "plinth.openai"} & set(route["typed_per_filter_config"]):
            assert route["direct_response"]["status"] == 403


def test_only_the_control_plane_is_shown_the_key() -> None:
    shown = {
        name
        for route in routes_of(BUSY)
        for name in clusters_of(route)
        if "route" in route and "authorization" not in route.get("request_headers_to_remove", [])
    }
    assert shown == {"control"}


def test_nobody_behind_the_gateway_gets_or_sets_a_cookie_but_the_control_plane() -> None:
    for route in routes_of(BUSY):
        if "route" in route and "control" not in clusters_of(route):
            assert "cookie" in route["request_headers_to_remove"]
            assert "set-cookie" in route["response_headers_to_remove"]


@pytest.mark.parametrize(
    ("port", "host"), [(8470, "mlflow.localhost:8470"), (80, "mlflow.localhost")]
)
def test_the_pages_have_their_own_host_which_holds_nothing_else(port: int, host: str) -> None:
    hosts = hosts_of(replace(BUSY, port=port))
    pages = next(each for each in hosts if each["name"] == "mlflow")
    assert f"host:{host}" in pages["domains"]
    assert len(set(pages["domains"])) == len(pages["domains"])
    assert {route["name"] for route in pages["routes"]} == {
        "sign-in",
        "mlflow",
        "mlflow-info",
        "nothing",
    }


def test_an_endpoint_without_replicas_answers_like_one_that_never_had_any() -> None:
    bare = PRICE.model_copy(update={"deployments": (Deployment(id="r_gone", upstreams=()),)})
    with_none, with_empty = (replace(BUSY, endpoints=(each,)) for each in (PRICE, bare))
    assert routes_of(with_none) == routes_of(with_empty)


PAIR = replace(BUSY, control_planes=("control", "control-2"))


def cluster_of(state: GatewayState, name: str) -> dict[str, Any]:
    found: list[dict[str, Any]] = list(snapshot.render(state).clusters.items)
    return next(each for each in found if each["name"] == name)


def test_a_second_control_plane_is_asked_when_the_first_does_not_answer() -> None:
    cluster = cluster_of(PAIR, "control")
    levels = cluster["load_assignment"]["endpoints"]
    places = [each["lb_endpoints"][0]["endpoint"]["address"]["pipe"]["path"] for each in levels]
    assert places == ["/home/run/control.sock", "/home/run/control-2.sock"]
    assert [each["priority"] for each in levels] == [0, 1]
    assert cluster["health_checks"][0]["http_health_check"]["path"] == "/health"


def test_what_a_control_plane_may_have_done_is_not_asked_of_the_other() -> None:
    for route in routes_of(PAIR):
        if route.get("route", {}).get("cluster") != "control":
            continue
        policy = route["route"]["retry_policy"]
        assert policy["retry_priority"]["typed_config"]["update_frequency"] == 1
        reads = route["match"].get("headers") is not None
        unsent = "connect-failure,refused-stream,reset-before-request"
        assert policy["retry_on"] == (f"{unsent},reset" if reads else unsent)


def test_a_second_control_plane_changes_nothing_else() -> None:
    one, two = snapshot.render(BUSY), snapshot.render(PAIR)
    assert (one.filters, one.listeners) == (two.filters, two.listeners)
    others = [each for each in one.clusters.items if each["name"] != "control"]
    assert others == [each for each in two.clusters.items if each["name"] != "control"]
    behind = [each for each in routes_of(BUSY) if each.get("route", {}).get("cluster") != "control"]
    assert behind == [
        each for each in routes_of(PAIR) if each.get("route", {}).get("cluster") != "control"
    ]
