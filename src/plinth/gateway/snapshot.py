"""Render the whole configuration of Envoy from the gateway's state. Pure: no file is touched.

Equal state gives an equal version, so that writing the same thing twice changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from plinth.gateway.clusters import clusters
from plinth.gateway.envoy_types import FILTER, Json
from plinth.gateway.identity import verification
from plinth.gateway.listener import listeners
from plinth.gateway.routes import routes
from plinth.gateway.state import GatewayState
from plinth.kit.ids import digest_of

__all__ = ["GatewayState", "Resources", "Snapshot", "render"]

_VERSION_LENGTH = 16


@dataclass(frozen=True, slots=True)
class Resources:
    """All resources of one xDS type; `version` is the digest of their content."""

    version: str
    items: tuple[Json, ...]

    def to_bytes(self) -> bytes:
        """Return the file that Envoy reads."""
        return _text({"version_info": self.version, "resources": list(self.items)})


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A whole configuration. `filters` are those that change without the listener."""

    version: str
    clusters: Resources
    filters: Resources
    listeners: Resources
    routes: Resources

    def by_kind(self) -> dict[str, Resources]:
        """Return the resources by the name of their folder, in the order of writing."""
        return {
            "cds": self.clusters,
            "ecds": self.filters,
            "lds": self.listeners,
            "rds": self.routes,
        }


def render(state: GatewayState) -> Snapshot:
    """Return the whole configuration for `state`."""
    parts = {
        "clusters": resources(clusters(state)),
        "filters": resources([{"@type": FILTER, **verification(state.jwks, state.port)}]),
        "listeners": resources(listeners(state)),
        "routes": resources(routes(state)),
    }
    whole = _text({name: part.version for name, part in parts.items()})
    return Snapshot(version=digest_of(whole)[:_VERSION_LENGTH], **parts)


def resources(items: Sequence[Json]) -> Resources:
    """Return the items with the version that their content gives them."""
    return Resources(digest_of(_text(list(items)))[:_VERSION_LENGTH], tuple(items))


def _text(value: Json | list[Json]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
