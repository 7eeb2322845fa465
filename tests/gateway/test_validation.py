"""What we render, judged by the program that will read it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from plinth.domain.traffic import Deployment, EndpointRoute, Upstream
from plinth.gateway import snapshot, validation
from plinth.gateway.snapshot import GatewayState, Snapshot
from plinth.kit.home import Home
from plinth.kit.ids import new_id


def render(folder: Path, endpoints: tuple[EndpointRoute, ...] = (), controls: int = 1) -> Snapshot:
    state = GatewayState(
        port=8470,
        sockets=str(folder),
        folder=str(folder),
        access_log=str(folder / "access.log"),
        jwks=(Path(__file__).parent / "jwks.json").read_text(),
        platform="p_platform",
        endpoints=endpoints,
        revoked=tuple(f"k_{number}" for number in range(500 if endpoints else 0)),
        control_planes=Home.control_planes(controls),
    )
    return snapshot.render(state)


def endpoint(number: int, folder: Path) -> EndpointRoute:
    upstream = Upstream(socket=str(folder / "r.0.1.sock"))
    return EndpointRoute(
        name=f"model-{number}",
        team="ops",
        deployments=(Deployment(id=f"r_{number}", upstreams=(upstream,)),) if number % 2 else (),
        candidates=(Deployment(id=f"r_next{number}", upstreams=(upstream,)),),
        callers=("p_ann",) if number % 3 else (),
        caller_teams=("ops", "research") if number % 4 else (),
    )


@pytest.mark.parametrize("count", [0, 24])
def test_envoy_accepts_what_we_render(tmp_path: Path, count: int) -> None:
    endpoints = tuple(endpoint(number, tmp_path) for number in range(count))
    assert validation.complaint(render(tmp_path, endpoints)) is None


@pytest.mark.parametrize("count", [12, 250, 251])
def test_envoy_accepts_many_callers_whatever_they_are_called(tmp_path: Path, count: int) -> None:
    names = {
        "callers": tuple(new_id("p_") for _ in range(count)),
        "caller_teams": tuple(new_id("team-") for _ in range(count)),
    }
    each = endpoint(1, tmp_path).model_copy(update=names)
    assert validation.complaint(render(tmp_path, (each,))) is None


def test_envoy_accepts_two_control_planes(tmp_path: Path) -> None:
    assert validation.complaint(render(tmp_path, controls=2)) is None


def test_envoys_own_words_come_back(tmp_path: Path) -> None:
    rendered = render(tmp_path)
    broken = json.loads(json.dumps(rendered.routes.items[0]))
    broken["virtual_hosts"][1]["routes"][0]["match"] = {"safe_regex": {"regex": "("}}
    refused = replace(rendered, routes=snapshot.resources([broken]))
    complaint = validation.complaint(refused)
    assert complaint is not None
    assert "missing )" in complaint
