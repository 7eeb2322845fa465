"""Bring a run from pending to its end, one idempotent step at a time."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from plinth.control.context import Context
from plinth.control.loop import Outcome
from plinth.control.preparation import (
    Prepared,
    prepare_endpoint,
    prepare_job,
    replica_spec,
    with_key,
)
from plinth.domain.access import Principal
from plinth.domain.run import Observation, Phase
from plinth.domain.workload import Endpoint, Job
from plinth.kit.errors import NotFound, PlinthError, Temporary
from plinth.store import tables
from plinth.store.events import Event, add_event, list_events
from plinth.store.identities import add_key, find_principal, revoke_keys_of
from plinth.store.runs import (
    Attempt,
    StoredRun,
    add_attempt,
    change_of,
    find_run,
    list_attempts,
    note_change,
    note_observed,
)
from plinth.tracking.mlflow import FinalStatus

# A run's key outlives its longest life by this much, for clocks and for the last calls.
_KEY_SLACK_S = 600.0
_SERVING_KEY_S = 365 * 86400.0
_LONGEST_POLL_S = 1.0
_SOON_S = 0.1
_LONGEST_BACKOFF_S = 30.0
# How often a deployment may crash before it has ever been ready.
_START_ATTEMPTS = 3
# The exit code by which a model server says that the model itself cannot be loaded.
_MODEL_DOES_NOT_LOAD = 3
# While a run has one of these reasons its processes are being ended, and then it has failed.
_FAILING = frozenset({"Failing", "TimedOut"})
_TRACKING_STATUS: dict[Phase, FinalStatus] = {
    Phase.SUCCEEDED: "FINISHED",
    Phase.FAILED: "FAILED",
    Phase.STOPPED: "KILLED",
}


@dataclass(frozen=True, slots=True)
class RunState:
    """A run, all its attempts, and its principal, as one reading saw them at `read_at`."""

    run: StoredRun
    attempts: tuple[Attempt, ...]
    principal: Principal
    read_at: datetime

    @property
    def current(self) -> dict[int, Attempt]:
        """The newest attempt of each replica."""
        return {attempt.replica: attempt for attempt in self.attempts}


class RunReconciler:
    """See the module. `ready` tells whether a deployment answers right through the gateway."""

    table = tables.run

    def __init__(self, context: Context, ready: Callable[[StoredRun], str | None]) -> None:
        self._context = context
        self._ready = ready

    def load(self, connection: Connection, key: str) -> RunState:
        """Read the run, its attempts and its principal."""
        run = find_run(connection, key)
        principal = find_principal(connection, run.principal)
        if principal is None:
            raise NotFound(f"run {key} has no principal")
        attempts = tuple(list_attempts(connection, [key]))
        return RunState(run, attempts, principal, self._context.clock.now())

    def work(self, state: RunState) -> Outcome:
        """Do the next step."""
        run = state.run
        if run.phase.is_final:
            return self._close(state)
        if run.desired == "stop" and run.phase is not Phase.STOPPING:
            return self._to(state, Phase.STOPPING, "Stopping", "was asked to stop", after_s=0)
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
            return self._to(state, run.phase, reason, message, after_s=error.retry_after_s)
        if run.phase in (Phase.STARTING, Phase.RUNNING, Phase.STOPPING) and any(
            not attempt.phase.is_final for attempt in state.current.values()
        ):
            # Something may be running: it is stopped before the run is called failed. The first
            # error is the one to show; stopping may fail too, and again.
            is_first = run.reason not in _FAILING
            reason, message = ("Failing", _words(error)) if is_first else (run.reason, run.message)
            after_s = 0 if is_first else _LONGEST_POLL_S
            return self._to(state, run.phase, reason, message, after_s)
        return self._end(state, Phase.FAILED, _reason_of(error), _words(error))

    # -- pending: prepare, then write the intent to start ------------------------------------

    def _intend(self, state: RunState) -> Outcome:
        context, run = self._context, state.run
        prepared = self._prepare(run)
        tracking_run = run.tracking_run or self._track(run)
        now = context.clock.now()
        numbers = {replica: state.current[replica].number + 1 for replica in state.current}
        order = [
            replica_spec(context, run, prepared, replica=index, number=numbers.get(index, 1))
            for index in range(_replicas(run))
        ]
        handles = [(spec, context.engine.handle(spec)) for spec in order]

        def add(connection: Connection) -> None:
            for spec, handle in handles:
                self._add_attempt(connection, state, spec.replica, spec.attempt, handle)

        changes = change_of(run, Phase.STARTING, "Starting", "is being started")
        changes |= {"tracking_run": tracking_run, "started_at": run.started_at or now}
        return self._outcome(state, changes, after_s=0, also=add)

    def _prepare(self, run: StoredRun) -> Prepared:
        if isinstance(run.workload, Job):
            return prepare_job(self._context, run, run.workload)
        return prepare_endpoint(self._context, run, run.workload)

    def _track(self, run: StoredRun) -> str | None:
        if not isinstance(run.workload, Job):
            return None
        tags = {"plinth.team": run.team, "plinth.code": run.code_digest or ""}
        for name, version in run.data.items():
            tags[f"plinth.data.{name}"] = f"{version.name}@{version.version} {version.digest}"
        self._context.tracking.ensure_workspace(run.team)
        return self._context.tracking.ensure_run(run.team, run.workload.name, run.id, tags)

    def _add_attempt(
        self,
        connection: Connection,
        state: RunState,
        replica: int,
        number: int,
        handle: dict[str, Any],
    ) -> None:
        now, workload = self._context.clock.now(), state.run.workload
        life = workload.timeout if isinstance(workload, Job) else _SERVING_KEY_S
        key = add_key(
            connection,
            principal=state.principal,
            label=f"run {state.run.id} attempt {number}",
            expires_at=now + timedelta(seconds=life + _KEY_SLACK_S),
            now=now,
        )
        attempt = Attempt(
            run=state.run.id,
            replica=replica,
            number=number,
            phase=Phase.STARTING,
            key=key.id,
            handle=handle,
            created_at=now,
        )
        add_attempt(connection, attempt)

    # -- starting and running: start what is intended, observe, decide ------------------------

    def _watch(self, state: RunState) -> Outcome:
        if state.run.reason in _FAILING:
            # Nothing is started any more: what was refused for good would be refused again.
            return self._fail_when_gone(state, self._observe(state))
        seen = self._start_and_observe(state)
        if isinstance(state.run.workload, Job):
            return self._watch_job(state, state.run.workload, seen)
        return self._watch_endpoint(state, state.run.workload, seen)

    def _start_and_observe(self, state: RunState) -> dict[int, Observation]:
        engine, run = self._context.engine, state.run
        waiting = [
            attempt
            for attempt in state.current.values()
            if attempt.phase is Phase.STARTING and self._is_due(state, attempt)
        ]
        prepared = self._prepare(run) if waiting else None
        for attempt in waiting:
            assert prepared is not None
            spec = replica_spec(
                self._context, run, prepared, replica=attempt.replica, number=attempt.number
            )
            expires_at = attempt.created_at + timedelta(seconds=_SERVING_KEY_S)
            if isinstance(run.workload, Job):
                life = run.workload.timeout + _KEY_SLACK_S
                expires_at = attempt.created_at + timedelta(seconds=life)
            key = self._context.mint(state.principal, attempt.key, expires_at)
            engine.start(with_key(self._context, spec, run, key))
        return self._observe(state)

    def _observe(self, state: RunState) -> dict[int, Observation]:
        current = [attempt for attempt in state.current.values() if not attempt.phase.is_final]
        handles = [attempt.handle for attempt in current]
        # What never started can be stopped while the engine is away.
        observations = self._context.engine.observe(handles) if handles else []
        seen = {
            replica: _as_observation(attempt)
            for replica, attempt in state.current.items()
            if attempt.phase.is_final
        }
        for attempt, observation in zip(current, observations, strict=True):
            seen[attempt.replica] = self._settle(attempt, observation)
        return seen

    def _settle(self, attempt: Attempt, observation: Observation) -> Observation:
        """Call a replica that vanished failed, unless it is only waiting for its start."""
        if not observation.gone:
            return observation
        if attempt.started_at is None and attempt.phase is Phase.STARTING:
            return Observation(phase=Phase.STARTING, gone=True)
        return Observation(
            phase=Phase.FAILED,
            started_at=attempt.started_at,
            ended_at=self._context.clock.now(),
            reason="the engine knows nothing of it any more",
            isolation=attempt.isolation,
        )

    def _watch_job(self, state: RunState, job: Job, seen: dict[int, Observation]) -> Outcome:
        run, observation = state.run, seen[0]
        if observation.phase is Phase.SUCCEEDED:
            return self._end(state, Phase.SUCCEEDED, "Completed", "exited with 0", seen=seen)
        if observation.phase.is_final:
            why = _why_ended(observation)
            if state.current[0].number < job.attempts:
                message = f"attempt {state.current[0].number} of {job.attempts} {why}"
                return self._to(state, Phase.PENDING, "Retrying", message, after_s=1, seen=seen)
            return self._end(state, Phase.FAILED, "Failed", why, seen=seen)
        if self._is_overdue(observation.started_at, job.timeout):
            self._stop_all(state, job.grace)
            message = f"ran longer than its timeout of {job.timeout:g} s"
            return self._to(state, run.phase, "TimedOut", message, after_s=_SOON_S, seen=seen)
        if observation.phase is Phase.RUNNING:
            after_s = self._poll_s(observation)
            return self._to(state, Phase.RUNNING, "Running", "is running", after_s, seen=seen)
        return self._to(state, run.phase, "Starting", "is being started", _SOON_S, seen=seen)

    def _watch_endpoint(
        self, state: RunState, endpoint: Endpoint, seen: dict[int, Observation]
    ) -> Outcome:
        run = state.run
        ended = {replica: o for replica, o in seen.items() if o.phase.is_final}
        if run.phase is Phase.STARTING:
            refusal = _refusal(state, ended)
            if refusal is not None:
                self._stop_all(state, endpoint.grace)
                return self._to(state, run.phase, "Failing", refusal, _SOON_S, seen=seen)
            if self._is_overdue(run.started_at, endpoint.ready_timeout):
                self._stop_all(state, endpoint.grace)
                message = (
                    f"was not ready after {endpoint.ready_timeout:g} s: {run.message}; "
                    f"`plinth logs {run.id}` may say why"
                )
                return self._to(state, run.phase, "TimedOut", message, _SOON_S, seen=seen)
        if ended:
            return self._restart(state, ended, seen)
        if any(o.phase is not Phase.RUNNING for o in seen.values()):
            reason = "ReplicaStarting" if run.phase is Phase.RUNNING else "Starting"
            return self._to(
                state, run.phase, reason, "its server is being started", _SOON_S, seen=seen
            )
        if run.phase is Phase.STARTING:
            why_not = self._ready(run)
            if why_not is not None:
                return self._to(state, run.phase, "NotReady", why_not, 0.2, seen=seen)
        after_s = min(self._poll_s(o) for o in seen.values())
        return self._to(state, Phase.RUNNING, "Ready", "answers", after_s, seen=seen)

    def _restart(
        self, state: RunState, ended: dict[int, Observation], seen: dict[int, Observation]
    ) -> Outcome:
        run, prepared = state.run, self._prepare(state.run)
        specs = [
            replica_spec(
                self._context,
                run,
                prepared,
                replica=replica,
                number=state.current[replica].number + 1,
            )
            for replica in ended
        ]
        handles = [(spec, self._context.engine.handle(spec)) for spec in specs]

        def add(connection: Connection) -> None:
            for spec, handle in handles:
                self._add_attempt(connection, state, spec.replica, spec.attempt, handle)

        why = next(iter(ended.values())).reason or "exited"
        message = f"replica {min(ended)} is started again: {why}"
        return self._to(state, run.phase, "Restarting", message, 0, seen=seen, also=add)

    def _fail_when_gone(self, state: RunState, seen: dict[int, Observation]) -> Outcome:
        run = state.run
        if all(o.phase.is_final or o.gone for o in seen.values()):
            reason = "Failed" if run.reason == "Failing" else run.reason
            return self._end(state, Phase.FAILED, reason, run.message, seen=seen)
        self._stop_all(state, run.workload.grace)
        return self._to(state, run.phase, run.reason, run.message, _SOON_S, seen=seen)

    # -- stopping and the end ------------------------------------------------------------------

    def _stop(self, state: RunState) -> Outcome:
        seen = self._observe(state)
        if isinstance(state.run.workload, Job) and seen and seen[0].phase is Phase.SUCCEEDED:
            # It came to its own end before the stop reached it.
            return self._end(state, Phase.SUCCEEDED, "Completed", "exited with 0", seen=seen)
        if all(o.phase.is_final or o.gone for o in seen.values()):
            return self._end(state, Phase.STOPPED, "Stopped", "was stopped", seen=seen)
        self._stop_all(state, state.run.workload.grace)
        return self._to(state, Phase.STOPPING, "Stopping", "was asked to stop", _SOON_S, seen=seen)

    def _stop_all(self, state: RunState, grace_s: float) -> None:
        for attempt in state.current.values():
            if not attempt.phase.is_final:
                self._context.engine.stop(attempt.handle, grace_s)

    def _end(
        self,
        state: RunState,
        phase: Phase,
        reason: str,
        message: str,
        *,
        seen: dict[int, Observation] | None = None,
    ) -> Outcome:
        changes = change_of(state.run, phase, reason, message)
        changes["ended_at"] = self._context.clock.now()
        if seen:
            seen = {replica: _at_the_end(observation) for replica, observation in seen.items()}
            changes["exit_code"] = seen[min(seen)].exit_code
            ends = [o.ended_at for o in seen.values() if o.ended_at is not None]
            changes["ended_at"] = max(ends, default=changes["ended_at"])

        def revoke(connection: Connection) -> None:
            revoke_keys_of(connection, state.run.principal, self._context.clock.now())

        return self._outcome(state, changes, after_s=0, seen=seen, also=revoke)

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

    # -- what every step shares ----------------------------------------------------------------

    def _to(
        self,
        state: RunState,
        phase: Phase,
        reason: str,
        message: str,
        after_s: float,
        *,
        seen: dict[int, Observation] | None = None,
        also: Callable[[Connection], None] | None = None,
    ) -> Outcome:
        changes = change_of(state.run, phase, reason, message)
        return self._outcome(state, changes, after_s=after_s, seen=seen, also=also)

    def _outcome(
        self,
        state: RunState,
        changes: dict[str, Any],
        *,
        after_s: float,
        seen: dict[int, Observation] | None = None,
        also: Callable[[Connection], None] | None = None,
    ) -> Outcome:
        def write(connection: Connection) -> None:
            note_change(connection, state.run, changes, self._context.clock.now())
            for replica, observation in (seen or {}).items():
                if not observation.gone:
                    # The engine was asked after the rows were read: it was seen then at least.
                    note_observed(connection, state.current[replica], observation, state.read_at)
            if also is not None:
                also(connection)

        return Outcome(changes, after_s, write)

    def _is_overdue(self, since: datetime | None, limit_s: float) -> bool:
        if since is None:
            return False
        return self._context.clock.now() > since + timedelta(seconds=limit_s)

    def _poll_s(self, seen: Observation) -> float:
        """Return how soon to look again: what started just now often ends soon."""
        if seen.started_at is None:
            return _SOON_S
        age_s = (self._context.clock.now() - seen.started_at).total_seconds()
        return min(_LONGEST_POLL_S, max(_SOON_S, age_s / 10))

    def _is_due(self, state: RunState, attempt: Attempt) -> bool:
        """Tell whether a repeated start has waited long enough; doubles from half a second."""
        if attempt.number == 1 or isinstance(state.run.workload, Job):
            return True
        before = [a for a in state.attempts if a.replica == attempt.replica][-2]
        ran_s = 0.0
        if before.started_at is not None and before.ended_at is not None:
            ran_s = (before.ended_at - before.started_at).total_seconds()
        if ran_s > _LONGEST_BACKOFF_S:
            return True
        wait_s = min(_LONGEST_BACKOFF_S, 0.5 * 2.0 ** min(attempt.number - 2, 10))
        return self._is_overdue(attempt.created_at, wait_s)


def _replicas(run: StoredRun) -> int:
    return run.workload.replicas if isinstance(run.workload, Endpoint) else 1


def _why_ended(observation: Observation) -> str:
    if observation.phase is Phase.STOPPED:
        return "was stopped from outside, as when its node goes down"
    return observation.reason or f"exited with {observation.exit_code}"


def _refusal(state: RunState, ended: dict[int, Observation]) -> str | None:
    for replica, observation in ended.items():
        if observation.exit_code == _MODEL_DOES_NOT_LOAD:
            return f"the model does not load; `plinth logs {state.run.id}` says why"
        if state.current[replica].number >= _START_ATTEMPTS:
            why = observation.reason or f"exited with {observation.exit_code}"
            return f"its server {why}, {_START_ATTEMPTS} times; see `plinth logs {state.run.id}`"
    return None


def _as_observation(attempt: Attempt) -> Observation:
    return Observation(
        phase=attempt.phase,
        started_at=attempt.started_at,
        ended_at=attempt.ended_at,
        exit_code=attempt.exit_code,
        reason=attempt.reason,
        isolation=attempt.isolation,
    )


def _at_the_end(observation: Observation) -> Observation:
    """Return how an attempt stands when its run has ended; one that never started is stopped."""
    if not observation.gone:
        return observation
    return Observation(phase=Phase.STOPPED, reason="was never started")


def _reason_of(error: PlinthError) -> str:
    return "".join(word.capitalize() for word in error.code.split("_"))


def _words(error: PlinthError) -> str:
    return f"{error.message}; {error.hint}" if error.hint else error.message
