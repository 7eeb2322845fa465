"""What the steps of every run share: start and look at its replicas, and say what follows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Any

from sqlalchemy import Connection

from plinth.control.batches.preparation import prepare_batch
from plinth.control.context import Context
from plinth.control.conversions.preparation import prepare_conversion
from plinth.control.flows.preparation import prepare_evaluation, prepare_flow
from plinth.control.loop import Outcome
from plinth.control.openai_batches.preparation import prepare_requests
from plinth.control.planning import hold_to_place
from plinth.control.preparation import (
    Prepared,
    answers_vary,
    has_example,
    prepare_endpoint,
    prepare_job,
    replica_spec,
    with_key,
)
from plinth.control.runs.observation import (
    RunState,
    as_observation,
    at_the_end,
    is_news,
    not_before_seen,
    seen_at,
)
from plinth.control.workspaces.preparation import prepare_workspace
from plinth.domain.run import Observation, Phase
from plinth.domain.workload import Endpoint
from plinth.store.identities import add_key, revoke_keys_of
from plinth.store.runs import (
    Attempt,
    StoredRun,
    add_attempt,
    change_of,
    note_change,
    note_observed,
)

# A run's key outlives its longest life by this much, for clocks and for the last calls.
_KEY_SLACK_S = 600.0
SOON_S = 0.1
# How much of an output is read at once, and how much of its last line is told.
_PIECE_BYTES, _LINE_CHARACTERS = 1_000_000, 300
_FIRST_BACKOFF_S, _LONGEST_BACKOFF_S = 0.5, 30.0
# What ran for this long is no crash loop: it starts again at once, however often it did before.
_HEALTHY_S = 10.0
# The newest attempts of a replica that decide: of no more crashes in a row does the wait grow.
NEWEST = 8
# How each kind of workload is made ready.
_PREPARE: Mapping[str, Callable[[Context, StoredRun, Any], Prepared]] = {
    "job": prepare_job,
    "endpoint": prepare_endpoint,
    "batch": prepare_batch,
    "workspace": prepare_workspace,
    "flow": prepare_flow,
    "requests": prepare_requests,
    "evaluation": prepare_evaluation,
    "conversion": prepare_conversion,
}


class RunSteps:
    """See the module. Holds nothing of a run."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def checked_by_example(self, run: StoredRun) -> bool:
        """Tell whether a deployment's readiness was checked by its model's own example."""
        return has_example(self._context, run)

    def answers_as_onnx(self, run: StoredRun) -> bool:
        """Tell whether a deployment answers from its model's ONNX form."""
        return isinstance(run.workload, Endpoint) and run.workload.form == "onnx"

    def checked_by_chat(self, run: StoredRun) -> bool:
        """Tell whether that example was a chat request, to which the answers vary."""
        return has_example(self._context, run) and answers_vary(self._context, run)

    def prepare(self, run: StoredRun) -> Prepared:
        """Make ready what the run needs. Raises Temporary while that goes on."""
        return _PREPARE[run.workload.kind](self._context, run, run.workload)

    def add_attempts(
        self, state: RunState, prepared: Prepared, replicas: Iterable[int]
    ) -> Callable[[Connection], None]:
        """Return what writes the intent to start the next attempt of these replicas.

        Raises PlanRefused when the run may not start there any more.
        """
        context, run = self._context, state.run
        hold_to_place(context, run, state.principal)
        numbers = {replica: attempt.number + 1 for replica, attempt in state.current.items()}
        specs = [
            replica_spec(context, run, prepared, replica=index, number=numbers.get(index, 1))
            for index in replicas
        ]
        handles = [(spec, context.engine.handle(spec)) for spec in specs]

        def add(connection: Connection) -> None:
            for spec, handle in handles:
                self._add_attempt(connection, state, spec.replica, spec.attempt, handle)

        return add

    def _add_attempt(
        self,
        connection: Connection,
        state: RunState,
        replica: int,
        number: int,
        handle: dict[str, Any],
    ) -> None:
        now, workload = self._context.clock.now(), state.run.workload
        key = None
        if workload.calls:
            # The attempt before this one has ended, and its key with it.
            revoke_keys_of(connection, state.principal.id, now)
            key = add_key(
                connection,
                principal=state.principal,
                label=f"run {state.run.id} attempt {number}",
                expires_at=now + timedelta(seconds=workload.key_s + _KEY_SLACK_S),
                now=now,
            ).id
        attempt = Attempt(
            run=state.run.id,
            replica=replica,
            number=number,
            phase=Phase.STARTING,
            key=key,
            handle=handle,
            created_at=now,
        )
        add_attempt(connection, attempt)

    def start_and_observe(self, state: RunState) -> dict[int, Observation]:
        """Start what is intended and may start now; return what is seen of each replica."""
        engine, run = self._context.engine, state.run
        waiting = [
            attempt
            for attempt in state.current.values()
            if attempt.phase is Phase.STARTING and self._is_due(state, attempt)
        ]
        prepared = self.prepare(run) if waiting else None
        for attempt in waiting:
            assert prepared is not None
            spec = replica_spec(
                self._context, run, prepared, replica=attempt.replica, number=attempt.number
            )
            if state.key is not None:
                key = self._context.mint(state.principal, state.key.id, state.key.expires_at)
                spec = with_key(self._context, spec, run, key)
            engine.start(spec, valid_until=state.valid_until)
        return self.observe(state)

    def observe(self, state: RunState) -> dict[int, Observation]:
        """Return what is seen of the newest attempt of each replica."""
        current = [attempt for attempt in state.current.values() if not attempt.phase.is_final]
        handles = [attempt.handle for attempt in current]
        # What never started can be stopped while the engine is away.
        observations = self._context.engine.observe(handles) if handles else []
        seen = {
            replica: as_observation(attempt)
            for replica, attempt in state.current.items()
            if attempt.phase.is_final
        }
        for attempt, observation in zip(current, observations, strict=True):
            seen[attempt.replica] = self._settle(attempt, observation)
        return seen

    def _settle(self, attempt: Attempt, observation: Observation) -> Observation:
        """Call a replica that vanished failed, unless it is only waiting for its start."""
        if not observation.gone:
            return not_before_seen(attempt, observation)
        if attempt.started_at is None and attempt.phase is Phase.STARTING:
            return Observation(phase=Phase.STARTING, gone=True)
        return Observation(
            phase=Phase.FAILED,
            started_at=attempt.started_at,
            ended_at=self._context.clock.now(),
            reason="the engine knows nothing of it any more",
            isolation=attempt.isolation,
        )

    def last_line(self, attempt: Attempt) -> str:
        """Return the last line that an ended replica printed; empty where it printed none."""
        rest, offset = b"", 0
        while True:
            piece, offset = self._context.engine.logs(attempt.handle, offset, _PIECE_BYTES)
            if not piece:
                break
            rest = (rest + piece)[-_PIECE_BYTES:]
        lines = rest.decode(errors="replace").split("\n")
        line = next((line.strip() for line in reversed(lines) if line.strip()), "")
        # It is shown on terminals, and the model's own code wrote it.
        plain = "".join(character for character in line if character.isprintable())
        return plain[:_LINE_CHARACTERS]

    def stop_all(self, state: RunState, grace_s: float) -> None:
        """Ask every replica that may run to stop."""
        for attempt in state.current.values():
            if not attempt.phase.is_final:
                self._context.engine.stop(attempt.handle, grace_s, valid_until=state.valid_until)

    def end(
        self,
        state: RunState,
        phase: Phase,
        reason: str,
        message: str,
        *,
        seen: dict[int, Observation] | None = None,
    ) -> Outcome:
        """End the run, and every key of it."""
        changes = change_of(state.run, phase, reason, message)
        changes["ended_at"] = self._context.clock.now()
        if seen:
            seen = {replica: at_the_end(observation) for replica, observation in seen.items()}
            changes["exit_code"] = seen[min(seen)].exit_code
            ends = [o.ended_at for o in seen.values() if o.ended_at is not None]
            changes["ended_at"] = max(ends, default=changes["ended_at"])

        def revoke(connection: Connection) -> None:
            revoke_keys_of(connection, state.run.principal, self._context.clock.now())

        return self.outcome(state, changes, after_s=0, seen=seen, also=revoke)

    def to(
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
        """Take the run to a phase, or leave it there with another reason."""
        changes = change_of(state.run, phase, reason, message)
        return self.outcome(state, changes, after_s=after_s, seen=seen, also=also)

    def outcome(
        self,
        state: RunState,
        changes: dict[str, Any],
        *,
        after_s: float,
        seen: dict[int, Observation] | None = None,
        also: Callable[[Connection], None] | None = None,
    ) -> Outcome:
        """Write what is new in `changes` and in what was seen; look again after `after_s`."""

        def write(connection: Connection) -> None:
            note_change(connection, state.run, changes, self._context.clock.now())
            for replica, observation in (seen or {}).items():
                attempt = state.current[replica]
                # The engine was asked after the rows were read: it was seen then at least.
                at = seen_at(observation, state.read_at)
                if is_news(attempt, observation, at):
                    note_observed(connection, attempt, observation, at)
            if also is not None:
                also(connection)

        new = {name: value for name, value in changes.items() if getattr(state.run, name) != value}
        return Outcome(new, after_s, write)

    def is_overdue(
        self, since: datetime | None, limit_s: float, *, age_s: float | None = None
    ) -> bool:
        """Tell whether more than `limit_s` has passed since then.

        `age_s`: what has passed by a clock that nobody can set, where that is known.
        """
        if age_s is not None:
            return age_s > limit_s
        if since is None:
            return False
        return self._context.clock.now() > since + timedelta(seconds=limit_s)

    def poll_s(self, seen: Observation, longest_s: float) -> float:
        """Return how soon to look again: what started just now often ends soon."""
        if seen.started_at is None:
            return SOON_S
        age_s = seen.age_s
        if age_s is None:
            age_s = abs((self._context.clock.now() - seen.started_at).total_seconds())
        return min(longest_s, max(SOON_S, age_s / 10))

    def _is_due(self, state: RunState, attempt: Attempt) -> bool:
        """Tell whether a repeated start has waited long enough; doubles from half a second."""
        if attempt.number == 1 or state.run.workload.ends:
            return True
        before = [a for a in state.attempts if a.replica == attempt.replica][:-1]
        crashes = len(list(takewhile(_was_short, reversed(before))))
        if crashes == 0:
            return True
        wait_s = min(_LONGEST_BACKOFF_S, _FIRST_BACKOFF_S * 2.0 ** (crashes - 1))
        waited_s = (self._context.clock.now() - attempt.created_at).total_seconds()
        # Less than nothing: the clock was set back, and says nothing of how long it was.
        return waited_s > wait_s or waited_s < 0


def _was_short(attempt: Attempt) -> bool:
    if attempt.started_at is None or attempt.ended_at is None:
        return True
    return (attempt.ended_at - attempt.started_at).total_seconds() < _HEALTHY_S
