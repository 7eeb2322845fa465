"""What follows from what is seen of the sending of a batch of requests."""

from __future__ import annotations

from datetime import datetime

from plinth.control.context import Context
from plinth.control.loop import Outcome
from plinth.control.openai_batches.progress import read_progress
from plinth.control.runs.observation import RunState
from plinth.control.runs.steps import NEWEST, SOON_S, RunSteps
from plinth.domain.request_batch import RequestBatch
from plinth.domain.run import Observation, Phase
from plinth.store.runs import Attempt

_LONGEST_POLL_S = 2.0
# What ran for this long is no crash loop, however often it was killed before.
_HEALTHY_S = 10.0
_LONGEST_WAIT_S = 30.0


class RequestsWatch:
    """Decide how the sending goes on: whatever ends it, the next attempt goes on with the rest.

    It is stopped in time by its batch, which knows when the window closes.
    """

    def __init__(self, context: Context, steps: RunSteps) -> None:
        self._context = context
        self._steps = steps

    def decide(
        self, state: RunState, requests: RequestBatch, seen: dict[int, Observation]
    ) -> Outcome:
        """Return the next step of a run whose process was seen like this."""
        run, observation = state.run, seen[0]
        said = read_progress(self._context, run.id).words(requests.requests)
        if observation.phase is Phase.SUCCEEDED:
            return self._steps.end(state, Phase.SUCCEEDED, "Completed", said, seen=seen)
        if observation.phase.is_final:
            return self._again(state, observation, seen)
        if observation.phase is Phase.RUNNING:
            after_s = self._steps.poll_s(observation, _LONGEST_POLL_S)
            return self._steps.to(state, Phase.RUNNING, "Running", said, after_s, seen=seen)
        return self._steps.to(state, run.phase, "Starting", "is being started", SOON_S, seen=seen)

    def _again(
        self, state: RunState, observation: Observation, seen: dict[int, Observation]
    ) -> Outcome:
        why = observation.reason or f"exited with {observation.exit_code}"
        said = self._steps.last_line(state.current[0])
        why = f"{why}; its last line: {said}" if said else why
        before = [attempt for attempt in state.attempts if attempt.number < state.current[0].number]
        is_short = _was_short(observation.started_at, observation.ended_at)
        crashes = 1 + _crashes(before) if is_short else 0
        if crashes >= NEWEST:
            message = f"ended {crashes} times just after its start: {why}"
            return self._steps.end(state, Phase.FAILED, "Failed", message, seen=seen)
        wait_s = min(_LONGEST_WAIT_S, 0.5 * 2.0**crashes)
        message = f"attempt {state.current[0].number} {why}; it goes on with the rest"
        return self._steps.to(state, Phase.PENDING, "Retrying", message, wait_s, seen=seen)


def _crashes(before: list[Attempt]) -> int:
    """Return how many attempts in a row, up to the last of these, ended just after their start."""
    count = 0
    for attempt in reversed(before):
        if not _was_short(attempt.started_at, attempt.ended_at):
            break
        count += 1
    return count


def _was_short(started_at: datetime | None, ended_at: datetime | None) -> bool:
    if started_at is None or ended_at is None:
        return True
    return (ended_at - started_at).total_seconds() < _HEALTHY_S
