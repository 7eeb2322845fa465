"""What follows from what is seen of a conversion: what it found is kept before its run ends."""

from __future__ import annotations

from plinth.control.context import Context
from plinth.control.loop import Outcome
from plinth.control.model_form import keep_form, known_form, plain_words
from plinth.control.preparation import model_folder
from plinth.control.runs.job import JobWatch
from plinth.control.runs.observation import RunState
from plinth.control.runs.steps import RunSteps
from plinth.domain.model_conversion import ModelConversion
from plinth.domain.run import Observation, Phase


class ConversionWatch:
    """Decide how a conversion goes on: like a job, and with what it found kept at its end.

    One that fails, takes too long or is stopped leaves no finding: its model answers as it is.
    """

    def __init__(self, context: Context, steps: RunSteps) -> None:
        self._context = context
        self._steps = steps
        self._as_job = JobWatch(steps)

    def decide(
        self, state: RunState, conversion: ModelConversion, seen: dict[int, Observation]
    ) -> Outcome:
        """Return the next step of a conversion whose process was seen like this."""
        run = state.run
        if seen[0].phase is not Phase.SUCCEEDED or run.model is None:
            return self._as_job.decide(state, conversion, seen)
        model = model_folder(self._context, run.model)
        work = self._context.home.runs / run.id / "work"
        keep_form(self._context.tracking, run.model, model, work)
        found = known_form(model)
        message = "left no finding that can be read"
        if found is not None:
            message = f"the model answers as {found['form']}: {plain_words(found.get('why'))}"
        return self._steps.end(state, Phase.SUCCEEDED, "Completed", message, seen=seen)
