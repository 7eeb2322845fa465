"""Move an endpoint's traffic to the deployment that is ready, and end what it replaced."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from plinth.control.context import Context
from plinth.control.gateway import Published
from plinth.control.loop import Outcome
from plinth.control.runs.service import forget_files, is_metered
from plinth.domain.run import Phase
from plinth.kit.errors import NotFound, PlinthError, Temporary
from plinth.store import tables
from plinth.store.endpoints import StoredEndpoint, delete_endpoint, find_endpoint
from plinth.store.events import Event, add_event, clipped
from plinth.store.identities import delete_grants_on
from plinth.store.leases import Claim
from plinth.store.runs import (
    Attempt,
    StoredRun,
    delete_run,
    find_run,
    list_attempts,
    list_endpoint_runs,
    want_stop,
)

_SOON_S = 0.2
_SETTLED_S = 5.0
# Usage is read once a second.
_METERED_S = 0.5


@dataclass(frozen=True, slots=True)
class EndpointState:
    """An endpoint, its runs that are active, serve or are to serve, and, while it is deleted,
    some that ended with their attempts: those go before the endpoint does.
    """

    endpoint: StoredEndpoint
    runs: tuple[StoredRun, ...]
    ended: tuple[tuple[StoredRun, tuple[Attempt, ...]], ...] = ()

    def run(self, run_id: str | None) -> StoredRun | None:
        """Return one of its runs, or None."""
        return next((run for run in self.runs if run.id == run_id), None)


class EndpointReconciler:
    """See the module. `published()` is what the gateway has acknowledged."""

    table = tables.endpoint

    def __init__(self, context: Context, published: Callable[[], Published | None]) -> None:
        self._context = context
        self._published = published

    def load(self, connection: Connection, key: str) -> EndpointState:
        """Read the endpoint and its runs."""
        endpoint = find_endpoint(connection, key)
        if endpoint is None:
            raise NotFound(f"there is no endpoint `{key}`")
        runs = list_endpoint_runs(connection, endpoint.team, key, active=True)
        known = {run.id for run in runs}
        for run_id in (endpoint.serving, endpoint.next):
            if run_id is not None and run_id not in known:
                runs.append(find_run(connection, run_id))
        if endpoint.desired != "delete":
            return EndpointState(endpoint, tuple(runs))
        ended = [
            (run, tuple(list_attempts(connection, [run.id])))
            for run in list_endpoint_runs(connection, endpoint.team, key)
            if run.phase.is_final
        ]
        return EndpointState(endpoint, tuple(runs), tuple(ended))

    def work(self, state: EndpointState, claim: Claim) -> Outcome:
        """Do the next step: write what is intended; only a deleted endpoint's files go at once."""
        if state.endpoint.desired != "run":
            return self._wind_down(state, claim)
        endpoint = state.endpoint
        following = state.run(endpoint.next)
        if following is not None and following.phase is Phase.RUNNING:
            message = f"deployment {following.id} serves: {following.message}"
            return self._to(
                state, "Serving", message, 0, columns={"serving": following.id, "next": None}
            )
        if following is not None and following.phase.is_final:
            message = f"deployment {following.id} {following.phase}: {following.message}"
            return self._to(state, "DeploymentFailed", message, _SOON_S, columns={"next": None})
        if following is not None:
            message = f"deployment {following.id} is {following.phase}: {following.message}"
            # One that was to serve next and was replaced need not wait for its successor.
            return self._to(state, "Deploying", message, _SOON_S, also=self._stop_left(state))
        return self._settle(state)

    def failed(self, state: EndpointState, error: PlinthError) -> Outcome:
        """Show the error and try again."""
        after_s = error.retry_after_s if isinstance(error, Temporary) else _SETTLED_S
        return self._to(state, "Error", error.message, after_s)

    def _settle(self, state: EndpointState) -> Outcome:
        """Stop what neither serves nor is to serve, once the gateway sends it nothing."""
        endpoint = state.endpoint
        serving = state.run(endpoint.serving)
        reason, message = endpoint.reason, endpoint.message
        if serving is not None and serving.phase.is_final:
            # Its own reconciler restarts replicas. What ended it all the same (it was refused for
            # good, like a model that is gone) would end another one too, until somebody acts.
            message = (
                f"deployment {serving.id} {serving.phase}: {serving.message}; "
                f"`plinth apply` the file again to serve"
            )
            reason = "NotServing"
        after_s = _SOON_S if self._left(state) else _SETTLED_S
        return self._to(state, reason, message, after_s, also=self._stop_left(state))

    def _left(self, state: EndpointState) -> list[StoredRun]:
        wanted = (state.endpoint.serving, state.endpoint.next)
        return [run for run in state.runs if run.id not in wanted and not run.phase.is_final]

    def _stop_left(self, state: EndpointState) -> Callable[[Connection], None] | None:
        """Return what stops them; None while the gateway may still send them requests."""
        endpoint, published = state.endpoint, self._published()
        if published is None or published.serving.get(endpoint.name) != endpoint.serving:
            return None
        return self._stop(self._left(state))

    def _wind_down(self, state: EndpointState, claim: Claim) -> Outcome:
        """Take the traffic away first, then end the processes, then forget the name."""
        endpoint = state.endpoint
        deletes = endpoint.desired == "delete"
        reason = "Deleting" if deletes else "Stopping"
        left = [run for run in state.runs if not run.phase.is_final]
        columns: dict[str, Any] = {"serving": None, "next": None}
        published = self._published()
        # Before the gateway has said what it runs, it may still send requests here.
        routed = published is None or published.serving.get(endpoint.name) is not None
        if routed and endpoint.serving is not None:
            return self._to(state, reason, "traffic is being taken away", _SOON_S, columns=columns)
        if left and not routed:
            message = "its deployments are being stopped"
            return self._to(state, reason, message, _SOON_S, columns=columns, also=self._stop(left))
        if left or routed:
            return self._to(state, reason, "is being stopped", _SOON_S, columns=columns)
        if not deletes:
            return self._to(state, "Stopped", "was stopped", None, columns=columns)

        if state.ended:
            return self._delete_runs(state, columns, claim)

        def delete(connection: Connection) -> None:
            delete_grants_on(connection, endpoint.team, f"endpoint/{endpoint.name}")
            delete_endpoint(connection, endpoint.name)

        return Outcome(columns, None, delete, self._still(state))

    def _delete_runs(self, state: EndpointState, columns: dict[str, Any], claim: Claim) -> Outcome:
        """Delete deployments that ended: files first, as what is killed half-way begins again."""
        done = [
            (run, attempts) for run, attempts in state.ended if run.closed and is_metered(attempts)
        ]
        if not done:
            message = "waits until the usage of its deployments is in the ledger"
            return self._to(state, "Deleting", message, _METERED_S, columns=columns)
        for run, attempts in done:
            forget_files(self._context, run.id, attempts, valid_until=claim.valid_until)

        def delete(connection: Connection) -> None:
            for run, _ in done:
                delete_run(connection, run.id, self._context.clock.now())

        message = "its deployments are being deleted"
        return self._to(state, "Deleting", message, 0, columns=columns, also=delete)

    def _stop(self, runs: list[StoredRun]) -> Callable[[Connection], None]:
        def stop(connection: Connection) -> None:
            for run in runs:
                if run.desired != "stop":
                    want_stop(connection, run.id, self._context.clock.now())

        return stop

    def _to(
        self,
        state: EndpointState,
        reason: str,
        message: str,
        after_s: float | None,
        *,
        columns: dict[str, Any] | None = None,
        also: Callable[[Connection], None] | None = None,
    ) -> Outcome:
        now, endpoint = self._context.clock.now(), state.endpoint

        def write(connection: Connection) -> None:
            if reason != endpoint.reason:
                event = Event(at=now, phase=endpoint.desired, reason=reason, message=message)
                add_event(connection, f"endpoint/{endpoint.name}", event)
            if also is not None:
                also(connection)

        changes = {**(columns or {}), "reason": reason, "message": clipped(message)}
        new = {name: value for name, value in changes.items() if getattr(endpoint, name) != value}
        return Outcome(new, after_s, write, self._still(state))

    def _still(self, state: EndpointState) -> Callable[[Connection], bool]:
        """Return a check that nobody has applied, stopped or deleted it since it was read."""
        read = state.endpoint

        def still(connection: Connection) -> bool:
            now = find_endpoint(connection, read.name)
            return now is not None and (now.desired, now.next) == (read.desired, read.next)

        return still
