"""A workspace's host: for whom, with WebSockets, and no cookie in either direction."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from plinth.gateway import identity, snapshot, workspace_routes
from plinth.gateway.state import GatewayState, WorkspaceRoute
from plinth.runtimes.tool import ACTIVITY_PATH, LEAVE_PATH

STATE = GatewayState(
    port=8470,
    sockets="/home/run",
    folder="/home/gateway",
    access_log="/home/access.log",
    jwks='{"keys": []}',
    platform="platform",
    workspaces=(
        WorkspaceRoute("ann", "/home/run/r_1.0.sock", ("p_ann",)),
        WorkspaceRoute("room", "/home/run/r_2.0.sock", ("p_ann", "p_bob"), ("red",)),
        WorkspaceRoute("closed", None, ("p_ann",)),
        WorkspaceRoute("nobody", "/home/run/r_3.0.sock"),
    ),
)


def hosts() -> dict[str, dict[str, Any]]:
    (configuration,) = snapshot.render(STATE).routes.items
    return {each["name"]: each for each in configuration["virtual_hosts"]}


def routes(workspace: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = hosts()[f"workspace:{workspace}"]["routes"]
    return found


def visitors(workspace: str) -> list[str]:
    filters = routes(workspace)[-1]["typed_per_filter_config"]
    rules: str = filters["plinth.gate"]["filter_config"]["value"]
    return rules.splitlines()


def test_each_has_a_host_and_a_cluster_of_its_own() -> None:
    found = hosts()
    assert found["workspace:ann"]["domains"] == ["host:ann-ws.localhost:8470"]
    clusters = {each["name"] for each in snapshot.render(STATE).clusters.items}
    assert {"workspace:ann", "workspace:room"} <= clusters
    assert "workspace:closed" not in clusters


def test_only_its_owner_or_its_team_and_no_run_may_come_in() -> None:
    assert visitors("ann") == ["principals p_ann", "no-runs"]
    assert visitors("room") == ["principals p_ann p_bob", "teams red", "no-runs"]
    # Closed unless somebody is named.
    assert "plinth.gate" not in routes("nobody")[-1]["typed_per_filter_config"]


def test_the_tool_gets_and_sets_no_cookie_and_no_key() -> None:
    route = routes("ann")[-1]
    assert {"cookie", "authorization"} <= set(route["request_headers_to_remove"])
    assert route["response_headers_to_remove"] == ["set-cookie"]
    assert route["route"]["upgrade_configs"] == [{"upgrade_type": "websocket"}]
    assert (route["route"]["timeout"], route["route"]["idle_timeout"]) == ("0s", "0s")


def test_what_it_tells_of_itself_is_for_the_platform_and_its_page_asks_the_control_plane() -> None:
    *_, told, asked, _rest = routes("ann")
    assert told["match"] == {"path": ACTIVITY_PATH}
    assert workspace_routes.ACTIVITY_PATH == ACTIVITY_PATH
    assert "platform" in str(told["typed_per_filter_config"])
    assert asked["route"]["cluster"] == "control"
    assert asked["route"]["prefix_rewrite"] == "/workspace-page/"
    # Who has to leave is said over the tool's own socket, by nobody who comes this way.
    assert LEAVE_PATH.startswith(asked["match"]["prefix"])


def test_its_own_health_page_asks_who_comes_though_the_gateways_does_not() -> None:
    for rule in identity.verification(STATE.jwks, STATE.port)["typed_config"]["rules"]:
        assert "requires" in rule or rule["match"].get("path") == "/sign-in", rule
    everything = hosts()["plinth"]["matcher"]["on_no_match"]["action"]["typed_config"]["routes"]
    (health,) = (each for each in everything if each["match"].get("path") == "/health")
    open_ = [health, *(each for each in routes("ann") if each["name"] == "sign-in")]
    rules = [each["typed_per_filter_config"]["plinth.gate"] for each in open_]
    assert [each["filter_config"]["value"] for each in rules] == ["anybody", "anybody", "everybody"]
    assert visitors("ann") == ["principals p_ann", "no-runs"]


def test_one_that_is_not_open_says_what_to_type() -> None:
    closed = routes("closed")[-1]
    assert closed["direct_response"]["status"] == 409
    assert "plinth workspace start closed" in closed["direct_response"]["body"]["inline_string"]


def test_more_workspaces_change_no_listener_and_no_filter() -> None:
    few = snapshot.render(replace(STATE, workspaces=STATE.workspaces[:1]))
    many = snapshot.render(STATE)
    assert (few.listeners, few.filters, few.limits) == (many.listeners, many.filters, many.limits)
