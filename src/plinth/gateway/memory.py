"""What was rendered of each endpoint, so that the change of one costs what one endpoint costs.

Whoever renders again and again keeps one (`control/gateway.py`); it is no part of the result, which
is the same with a new one.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from plinth.domain.traffic import EndpointRoute
from plinth.gateway.state import GatewayState

T = TypeVar("T")


@dataclass(slots=True)
class _Entry:
    endpoint: EndpointRoute
    found: dict[Hashable, Any] = field(default_factory=dict)


class Memory:
    """The parts of each endpoint. What is kept depends on the endpoint and on `_shared(state)`."""

    def __init__(self) -> None:
        self._shared: GatewayState | None = None
        self._entries: dict[str, _Entry] = {}
        self._once: dict[str, tuple[Any, Any]] = {}

    def begin(self, state: GatewayState) -> None:
        """Forget what `state` does not say any more. To be called before a state is rendered."""
        shared = _shared(state)
        before = self._entries if shared == self._shared else {}
        self._shared = shared
        self._entries = {}
        for endpoint in state.endpoints:
            entry = before.get(endpoint.name)
            if entry is None or not (entry.endpoint is endpoint or entry.endpoint == endpoint):
                entry = _Entry(endpoint)
            entry.endpoint = endpoint
            self._entries[endpoint.name] = entry

    def recall(self, part: Hashable, endpoint: EndpointRoute, make: Callable[[], T]) -> T:
        """Return a part of an endpoint: what was made of it before, or else what `make` returns.

        `part` names it, with everything of other endpoints on which it depends.
        """
        entry = self._entries.get(endpoint.name)
        if entry is None or entry.endpoint is not endpoint:
            return make()
        if part not in entry.found:
            entry.found[part] = make()
        found: T = entry.found[part]
        return found

    def once(self, part: str, depends_on: Any, make: Callable[[], T]) -> T:
        """Return a part that is of no endpoint: made anew when what it depends on is another."""
        if part not in self._once or self._once[part][0] != depends_on:
            self._once[part] = (depends_on, make())
        found: T = self._once[part][1]
        return found


def _shared(state: GatewayState) -> GatewayState:
    """Return what an endpoint's part may depend on: all but the other endpoints, keys and teams."""
    return replace(state, endpoints=(), revoked=(), writers=(), jwks="")
