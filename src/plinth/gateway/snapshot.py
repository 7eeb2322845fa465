"""Render the whole configuration of Envoy from the gateway's state. Pure: no file is touched.

Equal state gives an equal version, so that writing the same thing twice changes nothing.
"""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from plinth.gateway.clusters import clusters
from plinth.gateway.envoy_types import FILTER, Json
from plinth.gateway.identity import verification
from plinth.gateway.inner import inner_listeners, inner_routes
from plinth.gateway.inner_names import INNER
from plinth.gateway.limits import KIND, limits_filter
from plinth.gateway.listener import listeners
from plinth.gateway.routes import routes
from plinth.gateway.state import GatewayState
from plinth.kit.ids import digest_of

__all__ = ["GatewayState", "Resources", "Snapshot", "render"]

_VERSION_LENGTH = 16


@dataclass(frozen=True, slots=True)
class Resources:
    """All resources of one xDS type; `version` is the digest of their content, `text`."""

    version: str
    items: tuple[Json, ...]
    text: bytes

    def to_bytes(self) -> bytes:
        """Return the file that Envoy reads."""
        # Megabytes: they were written once already, to be told apart.
        return b'{"resources":%s,"version_info":"%s"}' % (self.text, self.version.encode())


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A whole configuration. `filters` are those that change without the listener."""

    version: str
    clusters: Resources
    filters: Resources
    limits: Resources
    inner: Resources
    listeners: Resources
    routes: Resources

    def by_kind(self) -> dict[str, Resources]:
        """Return the resources by the name of their folder, in the order of writing."""
        return {
            "cds": self.clusters,
            "ecds": self.filters,
            KIND: self.limits,
            INNER: self.inner,
            "lds": self.listeners,
            "rds": self.routes,
        }


def render(state: GatewayState) -> Snapshot:
    """Return the whole configuration for `state`."""
    with _uncollected():
        parts = {
            "clusters": resources(clusters(state)),
            "filters": resources([{"@type": FILTER, **verification(state.jwks, state.port)}]),
            "limits": resources([limits_filter(state.endpoints)]),
            "inner": resources(inner_routes(state)),
            "listeners": resources([*listeners(state), *inner_listeners(state)]),
            "routes": resources(routes(state)),
        }
    whole = _text({name: part.version for name, part in parts.items()})
    return Snapshot(version=digest_of(whole)[:_VERSION_LENGTH], **parts)


def resources(items: Sequence[Json]) -> Resources:
    """Return the items with the version that their content gives them."""
    text = _text(list(items))
    return Resources(digest_of(text)[:_VERSION_LENGTH], tuple(items), text)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Keep the collector away: it would look again and again through all that is being made.

    With a thousand endpoints that is a third of the time. Nothing here refers to itself.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _text(value: Json | list[Json]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
