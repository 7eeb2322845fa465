"""What follows from what is seen of a job."""

from __future__ import annotations

from plinth.control.loop import Outcome
from plinth.control.runs.observation import RunState
from plinth.control.runs.steps import SOON_S, RunSteps
from plinth.domain.model_conversion import ModelConversion
from plinth.domain.run import Observation, Phase
from plinth.domain.workload import Job

# How often a job that runs is looked at, at the least: each look is two commits.
_LONGEST_POLL_S = 2.0


class JobWatch:
    """Decide how a job goes on: it runs, is tried again, or has come to its end."""

    def __init__(self, steps: RunSteps) -> None:
        self._steps = steps

    def decide(
        self, state: RunState, job: Job | ModelConversion, seen: dict[int, Observation]
    ) -> Outcome:
        """Return the next step of a job whose replica was seen like this."""
        run, observation = state.run, seen[0]
        if observation.phase is Phase.SUCCEEDED:
            return self._steps.end(state, Phase.SUCCEEDED, "Completed", "exited with 0", seen=seen)
        if observation.phase.is_final:
            why = _why_ended(observation)
            if state.current[0].number < job.attempts:
                message = f"attempt {state.current[0].number} of {job.attempts} {why}"
                return self._steps.to(
                    state, Phase.PENDING, "Retrying", message, after_s=1, seen=seen
                )
            return self._steps.end(state, Phase.FAILED, "Failed", why, seen=seen)
        started_at, age_s = observation.started_at, observation.age_s
        if self._steps.is_overdue(started_at, job.timeout, age_s=age_s):
            self._steps.stop_all(state, job.grace)
            message = f"ran longer than its timeout of {job.timeout:g} s"
            return self._steps.to(state, run.phase, "TimedOut", message, after_s=SOON_S, seen=seen)
        if observation.phase is Phase.RUNNING:
            after_s = self._steps.poll_s(observation, _LONGEST_POLL_S)
            return self._steps.to(state, Phase.RUNNING, "Running", "is running", after_s, seen=seen)
        return self._steps.to(state, run.phase, "Starting", "is being started", SOON_S, seen=seen)


def _why_ended(observation: Observation) -> str:
    if observation.phase is Phase.STOPPED:
        return "was stopped from outside, as when its node goes down"
    return observation.reason or f"exited with {observation.exit_code}"
