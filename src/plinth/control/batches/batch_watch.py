"""What follows from what is seen of a batch: it goes on, is tried again, or has come to its end."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import Connection

from plinth.control.batches.preparation import work_folder
from plinth.control.batches.progress import read_progress
from plinth.control.batches.publication import add_output, publish
from plinth.control.context import Context
from plinth.control.loop import Outcome
from plinth.control.model_form import keep_form
from plinth.control.preparation import model_folder
from plinth.control.runs.observation import RunState
from plinth.control.runs.steps import SOON_S, RunSteps
from plinth.domain.batch import BatchInference
from plinth.domain.run import Observation, Phase
from plinth.store.runs import StoredRun

_LONGEST_POLL_S = 2.0
# The exit code by which the program says that another attempt would end the same way.
_HOPELESS = 3
_WHY = "error: "


class BatchWatch:
    """Decide how a batch goes on. Every attempt goes on behind the last finished mini-batch."""

    def __init__(self, context: Context, steps: RunSteps) -> None:
        self._context = context
        self._steps = steps

    def decide(
        self, state: RunState, batch: BatchInference, seen: dict[int, Observation]
    ) -> Outcome:
        """Return the next step of a batch whose process was seen like this."""
        run, observation = state.run, seen[0]
        if observation.phase is Phase.SUCCEEDED:
            return self._finish(state, batch, seen)
        if observation.phase.is_final:
            return self._ended(state, batch, seen)
        started_at, age_s = observation.started_at, observation.age_s
        if self._steps.is_overdue(started_at, batch.timeout, age_s=age_s):
            self._steps.stop_all(state, batch.grace)
            message = f"ran longer than its timeout of {batch.timeout:g} s"
            message += f"; {self._resumable(run.id)}"
            return self._steps.to(state, run.phase, "TimedOut", message, after_s=SOON_S, seen=seen)
        if observation.phase is Phase.RUNNING:
            after_s = self._steps.poll_s(observation, _LONGEST_POLL_S)
            return self._steps.to(state, Phase.RUNNING, "Running", "is running", after_s, seen=seen)
        return self._steps.to(state, run.phase, "Starting", "is being started", SOON_S, seen=seen)

    def _finish(
        self, state: RunState, batch: BatchInference, seen: dict[int, Observation]
    ) -> Outcome:
        """Publish the output, and then end the run in the same transaction as its row."""
        run, context = state.run, self._context
        self._keep_form(run)
        published = publish(context, run, batch)
        if published is None:
            message = f"no row was answered: {read_progress(context, run.id).words}"
            return self._steps.end(state, Phase.SUCCEEDED, "Completed", message, seen=seen)
        found = published
        message = f"{found.rows:,} rows are a version of `{batch.dataset}`"
        if found.set_aside:
            message += f"; {found.set_aside:,} were set aside"
        ended = self._steps.end(state, Phase.SUCCEEDED, "Completed", message, seen=seen)
        also = ended.also

        def write(connection: Connection) -> None:
            add_output(connection, context, run, found)
            if also is not None:
                also(connection)

        return replace(ended, also=write)

    def _ended(
        self, state: RunState, batch: BatchInference, seen: dict[int, Observation]
    ) -> Outcome:
        run, observation, attempt = state.run, seen[0], state.current[0]
        self._keep_form(run)
        line = self._steps.last_line(attempt)
        if observation.exit_code == _HOPELESS:
            why = line.partition(_WHY)[2] or line or "it did not say why"
            message = f"{why}; {self._resumable(run.id)}"
            return self._steps.end(state, Phase.FAILED, "Failed", message, seen=seen)
        why = observation.reason or f"exited with {observation.exit_code}"
        if observation.phase is Phase.STOPPED:
            why = "was stopped from outside, as when its node goes down"
        elif line:
            why = f"{why}; its last line: {line}"
        if attempt.number < batch.attempts:
            message = f"attempt {attempt.number} of {batch.attempts} {why}"
            return self._steps.to(state, Phase.PENDING, "Retrying", message, after_s=1, seen=seen)
        message = f"{why}; {self._resumable(run.id)}"
        return self._steps.end(state, Phase.FAILED, "Failed", message, seen=seen)

    def _keep_form(self, run: StoredRun) -> None:
        context = self._context
        if run.model is not None:
            model = model_folder(context, run.model)
            keep_form(context.tracking, run.model, model, work_folder(context, run.id))

    def _resumable(self, run_id: str) -> str:
        done = read_progress(self._context, run_id)
        return f"{done.rows_done:,} rows are finished and can be taken over"
