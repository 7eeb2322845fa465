"""Publish to the gateway what the rows say; remember what it has acknowledged.

One control plane of a node publishes at a time; what it noted (`published.py`) all of them read.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from plinth.control.context import Context
from plinth.control.credentials import Credentials
from plinth.control.duties import Duty
from plinth.control.gateway_state import Rows, read_rows
from plinth.control.guarding import Guarding
from plinth.control.published import Published, Record, Refused
from plinth.domain.serving import TrafficPolicy
from plinth.domain.traffic import EndpointRoute
from plinth.gateway.memory import Memory
from plinth.gateway.shadow import prune
from plinth.gateway.snapshot import GatewayState, Snapshot, render
from plinth.gateway.validation import complaint
from plinth.gateway.xds import apply, is_on_disk
from plinth.kit.errors import Permanent, PlinthError, Temporary

log = logging.getLogger(__name__)

__all__ = ["GatewayReconciler", "Published"]


@dataclass(frozen=True, slots=True)
class _Held:
    """A route that Envoy refused, with why; until it changes, `instead` is routed."""

    route: EndpointRoute
    instead: EndpointRoute
    reason: str


class GatewayReconciler:
    """Bring Envoy's configuration to what the rows say; called again and again.

    With a duty, `publish` is called only while it is ours, and writes nothing after that.
    """

    def __init__(self, context: Context, duty: Duty | None = None) -> None:
        self._context = context
        self._duty = duty
        self._record = Record(context.home)
        self._guarding = Guarding(context, self._duty)
        self._credentials = Credentials(context, self._check_duty)
        self._troubles: dict[str, str] = {}
        # The term of the duty and the version for which Envoy's answer was seen.
        self._settled: tuple[int, str] | None = None
        self._rendered: tuple[GatewayState, Snapshot] | None = None
        self._memory = Memory()
        # By endpoint; and the routes as Envoy took them last, None while that was not read.
        self._held: dict[str, _Held] = {}
        self._taken: dict[str, EndpointRoute] | None = None

    @property
    def published(self) -> Published | None:
        """What Envoy has acknowledged, whoever published it; None before the first time."""
        return self._record.read()

    @property
    def settled(self) -> Published | None:
        """What Envoy certainly runs; None when it may run something else by now."""
        published = self.published
        return published if published is not None and published.is_settled else None

    def state(self, connection: Connection) -> GatewayState:
        """Return what the rows say now, published or not."""
        return read_rows(connection, self._context).state

    def note(self, published: Published) -> None:
        """Let every control plane of this node know what Envoy has acknowledged."""
        self._record.write(published, self._check_duty)

    def deployments(self) -> frozenset[str]:
        """Return the deployments that Envoy routes to, candidates among them."""
        published = self.published
        return published.deployments if published is not None else frozenset()

    def publish(self) -> None:
        """Render the rows; when that is new, write it and wait until Envoy has it.

        When the files are not those of what was published, it publishes anew: whoever had the
        duty before and was paused in the midst of a write may have replaced one.

        What Envoy refuses of an endpoint is left out of it, and told with the reason in what is
        noted; the endpoint's routes stay as they are, and so does what others change.

        Raises Temporary when Envoy does not answer, or the duty is over; Permanent with its reason
        when Envoy refuses what no endpoint is to blame for: then all stays as it is.
        """
        with self._context.database.read() as connection:
            rows = read_rows(connection, self._context)
        trouble = self._beside(rows)
        is_guarded = self._guarding.is_on(self.published)
        state = self._without_held(replace(rows.state, is_guarded=is_guarded))
        snapshot = self._render(state)
        if not self._is_settled(snapshot):
            self._settled = None
            state, snapshot = self._take(state, snapshot)
            self._record.write_routes(state.endpoints, self._check_duty)
            self._taken = {route.name: route for route in state.endpoints}
        self._note_new(rows, state, snapshot)
        self._settled = (self._term, snapshot.version)
        prune(self._context.home.gateway)
        self._guarding.end_if_unasked()
        if not self._held:
            self._credentials.forget_others(rows)
        if trouble is not None:
            raise trouble

    @property
    def _term(self) -> int:
        return self._duty.term if self._duty is not None else 0

    def _beside(self, rows: Rows) -> PlinthError | None:
        """Bring the guard and the credentials forward; what fails there holds up no route."""
        # A credential that cannot be sent is told with its deployment: all others have theirs.
        self._troubles = self._credentials.write(rows)
        try:
            self._guarding.prepare(rows.state.endpoints)
        except Temporary as err:
            return err
        return None

    def _is_settled(self, snapshot: Snapshot) -> bool:
        if self._settled != (self._term, snapshot.version):
            return False
        published = self.settled
        return (
            published is not None
            and published.version == snapshot.version
            and is_on_disk(snapshot, self._context.home.gateway)
        )

    def _take(self, state: GatewayState, snapshot: Snapshot) -> tuple[GatewayState, Snapshot]:
        """Hand it over; without what Envoy refuses of it, where an endpoint is to blame."""
        try:
            self._hand_over(snapshot)
        except Permanent as err:
            held = self._find_refused(state)
            if not held:
                raise
            for name, each in held.items():
                log.error("Envoy refuses endpoint %s: %s (%s)", name, each.reason, err.message)
            self._held |= held
            state = self._without_held(state)
            snapshot = self._render(state)
            self._hand_over(snapshot)
        return state, snapshot

    def _render(self, state: GatewayState) -> Snapshot:
        # Most of the time nothing is new, and rendering a thousand endpoints takes a while.
        if self._rendered is None or self._rendered[0] != state:
            self._rendered = (state, render(state, self._memory))
        return self._rendered[1]

    def _hand_over(self, snapshot: Snapshot) -> None:
        home, before = self._context.home, self.published
        if before is not None:
            self.note(replace(before, is_settled=False))
        try:
            apply(snapshot, home.gateway, home.socket("envoy-admin"), fence=self._check_duty)
        except Permanent:
            # It was refused, and what ran before runs on.
            if before is not None:
                self.note(before)
            raise

    def _note_new(self, rows: Rows, state: GatewayState, snapshot: Snapshot) -> None:
        """Note what Envoy runs now, when that is not what is noted."""
        found = _published(rows, state, snapshot.version, self._held)
        now = replace(found, credentials=self._troubles)
        if now != self.published:
            self.note(now)
            self._context.hint()

    # -- what Envoy refuses ----------------------------------------------------------------------

    def _without_held(self, state: GatewayState) -> GatewayState:
        """Return the state with what was routed before in the place of what was refused."""
        routes = {route.name: route for route in state.endpoints}
        self._held = {
            name: each for name, each in self._held.items() if routes.get(name) == each.route
        }
        if not self._held:
            return state
        endpoints = tuple(
            self._held[name].instead if name in self._held else route
            for name, route in routes.items()
        )
        return replace(state, endpoints=endpoints)

    def _find_refused(self, state: GatewayState) -> dict[str, _Held]:
        """Return the endpoints whose new routes Envoy refuses, by asking a second one."""
        if self._taken is None:
            self._taken = {route.name: route for route in self._record.routes()}
        taken = self._taken
        before = {route.name: taken.get(route.name, _unrouted(route)) for route in state.endpoints}
        new = [route for route in state.endpoints if before[route.name] != route]
        found: dict[str, _Held] = {}

        def look(group: Sequence[EndpointRoute]) -> None:
            # Halves of halves: of a thousand new routes one bad one is found in a few seconds.
            endpoints = before | {route.name: route for route in group}
            tried = replace(state, endpoints=tuple(endpoints.values()))
            reason = complaint(render(tried, self._memory))
            if reason is None:
                return
            if len(group) == 1:
                (route,) = group
                found[route.name] = _Held(route, before[route.name], reason)
                return
            look(group[: len(group) // 2])
            look(group[len(group) // 2 :])

        if new and complaint(render(replace(state, endpoints=tuple(before.values())))) is None:
            look(new)
        return found

    def _check_duty(self) -> None:
        if self._duty is not None:
            self._duty.check()


def _unrouted(route: EndpointRoute) -> EndpointRoute:
    nothing = {"deployments": (), "candidates": (), "policy": TrafficPolicy()}
    return route.model_copy(update=nothing)


def _published(rows: Rows, state: GatewayState, version: str, held: dict[str, _Held]) -> Published:
    serving = {
        **rows.serving,
        **{name: {each.name: each.id for each in held[name].instead.deployments} for name in held},
    }
    deployments = frozenset(
        deployment.id
        for route in state.endpoints
        for deployment in (*route.candidates, *route.deployments)
    )
    return Published(
        version=version,
        serving=serving,
        deployments=deployments,
        files={name: file for name, file in rows.files.items() if name not in held},
        refused={name: Refused(rows.files[name], each.reason) for name, each in held.items()},
        is_guarded=state.is_guarded,
    )
