"""Endpoints with several deployments, for the tests of what stands behind them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from plinth.domain.serving import External, TrafficPolicy
from plinth.domain.traffic import Deployment, EndpointRoute, Upstream
from plinth.gateway.state import GatewayState

JWKS = (Path(__file__).parent / "jwks.json").read_text()


def hosted(name: str) -> Deployment:
    """Return a ready deployment of ours."""
    upstream = Upstream(socket=f"/run/plinth/{name}.0.1.sock")
    return Deployment(id=f"r_{name}", name=name, upstreams=(upstream,))


def external(name: str, **more: Any) -> Deployment:
    """Return a deployment elsewhere."""
    fields = {
        "url": "https://api.provider.test/v1",
        "protocol": "openai",
        "credential": "secret:provider",
        **more,
    }
    return Deployment(id=f"chat.{name}", name=name, external=External(**fields))


def chat(*deployments: Deployment, **policy: Any) -> EndpointRoute:
    """Return the endpoint `chat` of these deployments."""
    return EndpointRoute(
        name="chat",
        team="ops",
        protocol="openai",
        deployments=deployments,
        policy=TrafficPolicy(**policy),
        callers=("p_ann",),
    )


def state(folder: Path, *endpoints: EndpointRoute, **more: Any) -> GatewayState:
    """Return the state of a gateway with these endpoints."""
    return GatewayState(
        port=8470,
        sockets=str(folder),
        folder=str(folder),
        access_log=str(folder / "access.log"),
        jwks=JWKS,
        platform="p_platform",
        endpoints=endpoints,
        credentials=str(folder / "credentials"),
        **more,
    )
