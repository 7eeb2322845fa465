"""Bring a run from pending to its end, one idempotent step at a time."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import Connection

from plinth.control.batches.batch_watch import BatchWatch
from plinth.control.context import Context
from plinth.control.conversions.conversion_watch import ConversionWatch
from plinth.control.loop import Outcome
from plinth.control.runs.deployment import DeploymentWatch
from plinth.control.runs.job import JobWatch
from plinth.control.runs.observation import RunState, replicas_of
from plinth.control.runs.requests import RequestsWatch
from plinth.control.runs.steps import NEWEST, SOON_S, RunSteps
from plinth.control.tags import tags_of
from plinth.control.workspaces.probe import Seen, ask
from plinth.control.workspaces.watch import WorkspaceWatch
from plinth.domain.run import Observation, Phase
from plinth.kit.errors import NotFound, PlinthError, Temporary
from plinth.store import tables
from plinth.store.events import Event, add_event, list_events
from plinth.store.identities import find_key, find_principal
from plinth.store.leases import Claim
from plinth.store.runs import StoredRun, change_of, find_run, list_newest_attempts
from plinth.tracking.mlflow import FinalStatus

# After how long a stop that was refused is tried again.
_STOP_AGAIN_S = 1.0
# While a run has one of these reasons its processes are being ended, and then it has failed.
_FAILING = frozenset({"Failing", "TimedOut"})
_TRACKING_STATUS: dict[Phase, FinalStatus] = {
    Phase.SUCCEEDED: "FINISHED",
    Phase.FAILED: "FAILED",
    Phase.STOPPED: "KILLED",
}


class Watch(Protocol):
    """Decides how a run of one kind of workload goes on."""

    def decide(self, state: RunState, workload: Any, seen: dict[int, Observation], /) -> Outcome:
        """Return the next step of a run whose replicas were seen like this."""


class RunReconciler:
    """See the module. `ready` tells whether a deployment answers right through the gateway.

    `probe` asks the workspace behind a socket what goes on in it.
    """

    table = tables.run

    def __init__(
        self,
        context: Context,
        ready: Callable[[StoredRun], str | None],
        probe: Callable[[Path], Seen] = ask,
    ) -> None:
        self._context = context
        self._steps = RunSteps(context)
        # How what is seen of each kind of workload is judged.
        self._watches: Mapping[str, Watch] = {
            "job": JobWatch(self._steps),
            "workspace": WorkspaceWatch(context, self._steps, probe),
            "endpoint": DeploymentWatch(self._steps, ready),
            "batch": BatchWatch(context, self._steps),
            "flow": DeploymentWatch(self._steps, ready),
            "requests": RequestsWatch(context, self._steps),
            "evaluation": JobWatch(self._steps),
            "conversion": ConversionWatch(context, self._steps),
        }

    def load(self, connection: Connection, key: str) -> RunState:
        """Read the run, its attempts and its principal."""
        run = find_run(connection, key)
        principal = find_principal(connection, run.principal)
        if principal is None:
            raise NotFound(f"run {key} has no principal")
        attempts = list_newest_attempts(connection, key, replicas=replicas_of(run), newest=NEWEST)
        key_id = attempts[-1].key if attempts else None
        # A server of an earlier version of Plinth may still have one; it is of no use.
        calls = run.workload.calls
        minted = find_key(connection, key_id) if key_id is not None and calls else None
        return RunState(run, tuple(attempts), principal, minted, read_at=self._context.clock.now())

    def work(self, state: RunState, claim: Claim) -> Outcome:
        """Do the next step."""
        state = replace(state, valid_until=claim.valid_until)
        run = state.run
        if run.phase.is_final:
            return self._close(state)
        if run.desired == "stop" and run.phase is not Phase.STOPPING:
            return self._steps.to(state, Phase.STOPPING, "Stopping", "was asked to stop", after_s=0)
        if run.phase is Phase.PENDING:
            return self._intend(state)
        if run.phase is Phase.STOPPING:
            return self._stop(state)
        return self._watch(state)

    def failed(self, state: RunState, error: PlinthError) -> Outcome:
        """Show the error; try again when it is temporary, else end the run."""
        run = state.run
        if run.phase.is_final:
            return self._not_closed(state, error)
        if isinstance(error, Temporary):
            reason, message = _reason_of(error), error.message
            if run.reason in _FAILING:
                reason, message = run.reason, run.message
            return self._steps.to(state, run.phase, reason, message, after_s=error.retry_after_s)
        if run.phase in (Phase.STARTING, Phase.RUNNING, Phase.STOPPING) and any(
            not attempt.phase.is_final for attempt in state.current.values()
        ):
            # Something may be running: it is stopped before the run is called failed. The first
            # error is the one to show; stopping may fail too, and again.
            is_first = run.reason not in _FAILING
            reason, message = ("Failing", _words(error)) if is_first else (run.reason, run.message)
            after_s = 0 if is_first else _STOP_AGAIN_S
            return self._steps.to(state, run.phase, reason, message, after_s)
        return self._steps.end(state, Phase.FAILED, _reason_of(error), _words(error))

    # -- pending: prepare, then write the intent to start ------------------------------------

    def _intend(self, state: RunState) -> Outcome:
        run, steps = state.run, self._steps
        prepared = steps.prepare(run)
        tracking_run = run.tracking_run or self._track(run)
        changes = change_of(run, Phase.STARTING, "Starting", "is being started")
        changes |= {
            "tracking_run": tracking_run,
            "started_at": run.started_at or self._context.clock.now(),
        }
        add = steps.add_attempts(state, prepared, range(replicas_of(run)))
        return steps.outcome(state, changes, after_s=0, also=add)

    def _track(self, run: StoredRun) -> str | None:
        if not run.workload.tracked:
            return None
        self._context.tracking.ensure_workspace(run.team)
        return self._context.tracking.ensure_run(run.team, run.workload.name, run.id, tags_of(run))

    # -- starting and running: start what is intended, observe, decide ------------------------

    def _watch(self, state: RunState) -> Outcome:
        if state.run.reason in _FAILING:
            # Nothing is started any more: what was refused for good would be refused again.
            return self._fail_when_gone(state, self._steps.observe(state))
        seen = self._steps.start_and_observe(state)
        return self._watches[state.run.workload.kind].decide(state, state.run.workload, seen)

    def _fail_when_gone(self, state: RunState, seen: dict[int, Observation]) -> Outcome:
        run = state.run
        if all(o.phase.is_final or o.gone for o in seen.values()):
            reason = "Failed" if run.reason == "Failing" else run.reason
            return self._steps.end(state, Phase.FAILED, reason, run.message, seen=seen)
        self._steps.stop_all(state, run.workload.grace)
        return self._steps.to(state, run.phase, run.reason, run.message, SOON_S, seen=seen)

    # -- stopping and the end ------------------------------------------------------------------

    def _stop(self, state: RunState) -> Outcome:
        seen = self._steps.observe(state)
        if state.run.workload.ends and seen and seen[0].phase is Phase.SUCCEEDED:
            # It came to its own end before the stop reached it.
            return self._watches[state.run.workload.kind].decide(state, state.run.workload, seen)
        if all(o.phase.is_final or o.gone for o in seen.values()):
            return self._steps.end(state, Phase.STOPPED, "Stopped", "was stopped", seen=seen)
        self._steps.stop_all(state, state.run.workload.grace)
        return self._steps.to(
            state, Phase.STOPPING, "Stopping", "was asked to stop", SOON_S, seen=seen
        )

    def _close(self, state: RunState) -> Outcome:
        run = state.run
        if run.tracking_run is not None and not run.closed:
            status = _TRACKING_STATUS[run.phase]
            # Somebody may have deleted it in MLflow: then there is nothing left to finish.
            with contextlib.suppress(NotFound):
                self._context.tracking.finish_run(
                    run.team,
                    run.tracking_run,
                    status,
                    ended_at=run.ended_at,
                )
        return Outcome({"closed": True})

    def _not_closed(self, state: RunState, error: PlinthError) -> Outcome:
        """Note, once, that tracking was not told; how the run ended stays as it is."""
        run = state.run
        event = Event(
            at=self._context.clock.now(),
            phase=run.phase,
            reason="NotClosed",
            message=f"the end was not noted in MLflow: {_words(error)}",
        )

        def write(connection: Connection) -> None:
            subject = f"run/{run.id}"
            if all(known.reason != event.reason for known in list_events(connection, subject)):
                add_event(connection, subject, event)

        if isinstance(error, Temporary):
            return Outcome({}, error.retry_after_s, write)
        return Outcome({"closed": True}, None, write)


def _reason_of(error: PlinthError) -> str:
    return "".join(word.capitalize() for word in error.code.split("_"))


def _words(error: PlinthError) -> str:
    return f"{error.message}; {error.hint}" if error.hint else error.message
