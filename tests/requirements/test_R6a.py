"""R6a, every API is behind the gateway: each server binds privately, and a direct call is refused.

What holds today: the control plane, MLflow, the node agent and the model servers. There is no
console and no workspace yet. The same is seen of the running processes in
`tests/journeys/test_product_security.py` (who listens where) and
`tests/journeys/test_open_mlflow.py` (another user knocks at every socket).
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import pytest

from plinth.gateway.snapshot import render
from plinth.kit.home import Home
from plinth.runtimes.runtime import load_runtimes
from plinth.tracking.server import command
from tests.gateway.test_snapshot import BUSY

HOME = Home(Path("/srv/p"))


def test_the_gateway_listens_on_one_loopback_port() -> None:
    found = render(BUSY).listeners.items
    # The others are reached by this Envoy alone.
    (listener,) = [each for each in found if "internal_listener" not in each]
    address = listener["address"]["socket_address"]
    assert (address["address"], address["port_value"]) == ("127.0.0.1", BUSY.port)


def test_every_server_behind_the_gateway_is_reached_through_a_private_socket() -> None:
    for cluster in render(BUSY).clusters.items:
        for group in cluster["load_assignment"]["endpoints"]:
            for each in group["lb_endpoints"]:
                address = each["endpoint"]["address"]
                # Or is this very Envoy, which verifies keys: nothing listens for that.
                if address != {"envoy_internal_address": {"server_listener_name": "verifier"}}:
                    assert address["pipe"]["path"].startswith(f"{BUSY.sockets}/")


class _Anything(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return key


def _servers() -> dict[str, tuple[str, ...]]:
    runtimes = load_runtimes().items()
    return {
        "mlflow": command(HOME, Path("/srv/env/bin/python"), 8470)[0],
        **{name: tuple(p.format_map(_Anything()) for p in each.command) for name, each in runtimes},
    }


@pytest.mark.parametrize("server", ["mlflow", "v2server"])
def test_every_server_is_handed_its_socket_and_opens_no_port(server: str) -> None:
    argv = _servers()[server]
    assert not {"--port", "--host", "-p", "-b"} & set(argv)
    assert argv[argv.index("--fd") + 1] == "3"


def test_the_sockets_stand_in_a_folder_that_only_their_owner_enters() -> None:
    home = Home(Path(tempfile.mkdtemp(prefix="pl-")) / "h")
    before = os.umask(0)
    try:
        home.prepare()
    finally:
        os.umask(before)
    assert home.root.stat().st_mode & 0o777 == 0o700
    assert home.sockets.stat().st_mode & 0o777 == 0o700


def test_every_address_but_health_and_signing_in_needs_a_key() -> None:
    everything, *hosts = render(BUSY).routes.items[0]["virtual_hosts"]
    tree = everything["matcher"]
    named = [*tree["matcher_tree"]["prefix_match_map"]["map"].values(), tree["on_no_match"]]
    lists = [each["action"]["typed_config"]["routes"] for each in named]
    found = [route for routes in (*lists, *(host["routes"] for host in hosts)) for route in routes]
    is_open = {each["match"]["path"]: each["match"] for each in found if _rules(each) == "anybody"}
    assert sorted(is_open) == ["/", "/health", "/sign-in"]
    # Of `/` only what a browser opens, which is led to the console's own sign-in.
    assert len(is_open["/"]["headers"]) == 3
    # On pages a cookie may hold it; what signs in has none.
    (who,) = render(BUSY).filters.items
    rules: list[dict[str, Any]] = who["typed_config"]["rules"]
    assert [rule["match"]["path"] for rule in rules if "requires" not in rule] == ["/sign-in"]
    # Whatever no other rule names.
    assert rules[-1]["match"] == {"prefix": "/"}
    assert "requires" in rules[-1]


def _rules(route: dict[str, Any]) -> str | None:
    settings = route.get("typed_per_filter_config", {}).get("plinth.gate", {})
    text: str | None = settings.get("filter_config", {}).get("value")
    return text


def test_an_address_that_nobody_named_is_refused_before_it_reaches_a_server() -> None:
    everything, *hosts = render(BUSY).routes.items[0]["virtual_hosts"]
    rest = everything["matcher"]["on_no_match"]["action"]["typed_config"]["routes"]
    pages = next(host["routes"] for host in hosts if host["name"] == "mlflow")
    for last in (rest[-1], pages[-1]):
        assert last["match"] == {"prefix": "/"}
        assert last["direct_response"]["status"] == 404
