"""Render the whole configuration of Envoy from the gateway's state. Pure: no file is touched.

Equal state gives an equal version, so that writing the same thing twice changes nothing.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from plinth.gateway.clusters import clusters
from plinth.gateway.envoy_types import FILTER
from plinth.gateway.gate import GATE_KIND, gate_filter
from plinth.gateway.identity import verification
from plinth.gateway.inner import inner_listeners, inner_routes
from plinth.gateway.inner_names import INNER
from plinth.gateway.limits import KIND, limits_filter
from plinth.gateway.listener import listeners
from plinth.gateway.memory import Memory
from plinth.gateway.resources import Resources, resources, text, version_of
from plinth.gateway.routes import routes
from plinth.gateway.state import GatewayState

__all__ = ["GatewayState", "Resources", "Snapshot", "render", "resources"]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A whole configuration. `filters` are those that change without the listener."""

    version: str
    clusters: Resources
    filters: Resources
    gate: Resources
    limits: Resources
    inner: Resources
    listeners: Resources
    routes: Resources

    def by_kind(self) -> dict[str, Resources]:
        """Return the resources by the name of their folder, in the order of writing.

        The gate's come first: no fault in what comes after may keep a key that was revoked.
        """
        return {
            GATE_KIND: self.gate,
            "cds": self.clusters,
            "ecds": self.filters,
            KIND: self.limits,
            INNER: self.inner,
            "lds": self.listeners,
            "rds": self.routes,
        }


def render(state: GatewayState, memory: Memory | None = None) -> Snapshot:
    """Return the whole configuration for `state`; `memory`: of what was rendered before."""
    memory = memory or Memory()
    memory.begin(state)
    # What listeners depend on.
    keys = (state.revoked, state.jwks)
    few = replace(state, endpoints=(), revoked=(), writers=())
    with _uncollected():
        parts = {
            "clusters": resources(clusters(state, memory)),
            "filters": resources([{"@type": FILTER, **verification(state.jwks, state.port)}]),
            "gate": memory.once("gate", keys, lambda: _gate(*keys)),
            "limits": resources([limits_filter(state.endpoints, memory)]),
            "inner": resources(inner_routes(state, memory)),
            "listeners": memory.once("listeners", few, lambda: _listeners(few)),
            "routes": resources(routes(state, memory)),
        }
    whole = text({name: part.version for name, part in parts.items()})
    return Snapshot(version=version_of(whole), **parts)


def _gate(revoked: tuple[str, ...], jwks: str) -> Resources:
    return resources([gate_filter(revoked, jwks)])


def _listeners(state: GatewayState) -> Resources:
    return resources([*listeners(state), *inner_listeners(state)])


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
