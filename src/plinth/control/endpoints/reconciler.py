"""Move an endpoint's traffic to the deployments that are ready, and end what they replaced."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from plinth.control.context import Context
from plinth.control.endpoints.forms import Forms
from plinth.control.endpoints.routing import hosted_names, routed, takes_traffic, wanted
from plinth.control.gateway import Published
from plinth.control.loop import Outcome
from plinth.control.runs.service import forget_files, is_metered
from plinth.domain.run import Phase
from plinth.domain.serving import MAIN
from plinth.domain.workload import Served
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
        self._forms = Forms(context)

    def load(self, connection: Connection, key: str) -> EndpointState:
        """Read the endpoint and its runs."""
        endpoint = find_endpoint(connection, key)
        if endpoint is None:
            raise NotFound(f"there is no endpoint `{key}`")
        runs = list_endpoint_runs(connection, endpoint.team, key, active=True)
        known = {run.id for run in runs}
        for run_id in {*endpoint.serving.values(), *endpoint.next.values()} - known:
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
        form = self._forms.next_step(state.endpoint, state.runs)
        if form is not None:
            reason = form.reason or state.endpoint.reason
            message = form.message or state.endpoint.message
            return self._to(state, reason, message, _SOON_S, also=form.write)
        move = _Move.of(state)
        if move.is_new:
            reason = "DeploymentFailed" if move.is_failed else "Serving"
            after_s = _SOON_S if move.is_failed else 0
            columns = {"serving": move.serving, "next": move.following, "before": move.before}
            return self._to(state, reason, move.message, after_s, columns=columns)
        if move.waits:
            # One that was to serve next and was replaced need not wait for its successor.
            return self._to(state, "Deploying", move.message, _SOON_S, also=self._stop_left(state))
        return self._settle(state)

    def failed(self, state: EndpointState, error: PlinthError) -> Outcome:
        """Show the error and try again."""
        after_s = error.retry_after_s if isinstance(error, Temporary) else _SETTLED_S
        return self._to(state, "Error", error.message, after_s)

    def _settle(self, state: EndpointState) -> Outcome:
        """Stop what neither serves nor is to serve, once the gateway sends it nothing."""
        endpoint = state.endpoint
        reason, message = endpoint.reason, endpoint.message
        ended = [
            (name, run)
            for name, run_id in endpoint.serving.items()
            if (run := state.run(run_id)) is not None and run.phase.is_final
        ]
        if ended:
            # Its own reconciler restarts replicas. What ended it all the same (it was refused for
            # good, like a model that is gone) would end another one too, until somebody acts.
            said = "; ".join(_told(name, run) for name, run in ended)
            message = f"{said}; `plinth apply` the file again to serve"
            reason = "NotServing"
        elif not hosted_names(endpoint.workload):
            reason, message = "Serving", "requests go to who serves the model"
        elif reason not in ("Serving", "DeploymentFailed") and not _lacking(endpoint):
            reason, message = "Serving", "all its deployments serve"
        after_s = _SOON_S if self._left(state) else _SETTLED_S
        return self._to(state, reason, message, after_s, also=self._stop_left(state))

    def _left(self, state: EndpointState) -> list[StoredRun]:
        endpoint = state.endpoint
        wanted = {*endpoint.serving.values(), *endpoint.next.values()}
        return [run for run in state.runs if run.id not in wanted and not run.phase.is_final]

    def _stop_left(self, state: EndpointState) -> Callable[[Connection], None] | None:
        """Return what stops them; None while the gateway may still send them requests."""
        endpoint, published = state.endpoint, self._published()
        if published is None or published.serving.get(endpoint.name, {}) != routed(endpoint):
            return None
        return self._stop(self._left(state))

    def _wind_down(self, state: EndpointState, claim: Claim) -> Outcome:
        """Take the traffic away first, then end the processes, then forget the name."""
        endpoint = state.endpoint
        deletes = endpoint.desired == "delete"
        reason = "Deleting" if deletes else "Stopping"
        left = [run for run in state.runs if not run.phase.is_final]
        columns: dict[str, Any] = {"serving": {}, "next": {}, "before": None}
        published = self._published()
        # Before the gateway has said what it runs, it may still send requests here.
        is_routed = published is None or bool(published.serving.get(endpoint.name))
        if is_routed and endpoint.serving:
            return self._to(state, reason, "traffic is being taken away", _SOON_S, columns=columns)
        if left and not is_routed:
            message = "its deployments are being stopped"
            return self._to(state, reason, message, _SOON_S, columns=columns, also=self._stop(left))
        if left or is_routed:
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
        if new.get("before") is not None:
            raise AssertionError("only a file that is applied is kept as the one before")
        return Outcome(new, after_s, write, self._still(state))

    def _still(self, state: EndpointState) -> Callable[[Connection], bool]:
        """Return a check that nobody has applied, stopped or deleted it since it was read."""
        read = state.endpoint

        def still(connection: Connection) -> bool:
            now = find_endpoint(connection, read.name)
            # What was read of the intent; `serving` is written only by who holds the lease, or
            # together with one of these.
            return now is not None and all(
                getattr(now, name) == getattr(read, name)
                for name in ("desired", "workload", "before", "serving", "next")
            )

        return still


@dataclass(frozen=True, slots=True)
class _Move:
    """What follows for an endpoint's deployments from how their runs stand.

    `is_new`: something is to be written. `is_failed`: some will not be ready any more. `waits`:
    some are not ready yet. `message` says it.
    """

    serving: dict[str, str]
    following: dict[str, str]
    before: Served | None
    is_new: bool
    is_failed: bool
    waits: bool
    message: str

    @classmethod
    def of(cls, state: EndpointState) -> _Move:
        """Return what follows now."""
        endpoint = state.endpoint
        serving, following = dict(endpoint.serving), dict(endpoint.next)
        ready, failed, waiting = [], [], []
        for name, run_id in endpoint.next.items():
            run = state.run(run_id)
            if run is None or not (run.phase is Phase.RUNNING or run.phase.is_final):
                waiting.append("" if run is None else _told(name, run, "is "))
                continue
            del following[name]
            if run.phase is Phase.RUNNING:
                serving[name] = run_id
                ready.append(f"{_called(name, run)} serves: {run.message}")
            else:
                failed.append(_told(name, run))
        before = endpoint.before
        if before is not None and (
            takes_traffic(endpoint.workload, serving) or not takes_traffic(before, serving)
        ):
            before = None
        then = endpoint.model_copy(update={"serving": serving, "next": following, "before": before})
        serving = wanted(then)
        if ready and not failed:
            failed = [f"deployment `{name}` does not run" for name in _lacking(then)]
        return cls(
            serving=serving,
            following=following,
            before=before,
            is_new=(serving, following, before)
            != (endpoint.serving, endpoint.next, endpoint.before),
            is_failed=bool(failed),
            waits=bool(waiting),
            message="; ".join([*failed, *ready] or waiting) or endpoint.message,
        )


def _lacking(endpoint: StoredEndpoint) -> list[str]:
    """Return the deployments of the file that neither serve nor are to."""
    return [
        name
        for name in hosted_names(endpoint.workload)
        if name not in endpoint.serving and name not in endpoint.next
    ]


def _called(name: str, run: StoredRun) -> str:
    return f"deployment {run.id}" if name == MAIN else f"deployment `{name}` ({run.id})"


def _told(name: str, run: StoredRun, verb: str = "") -> str:
    return f"{_called(name, run)} {verb}{run.phase}: {run.message}"
