"""What follows from what is seen of a deployment of an endpoint."""

from __future__ import annotations

from collections.abc import Callable

from plinth.control.loop import Outcome
from plinth.control.runs.observation import RunState, memory_said
from plinth.control.runs.steps import SOON_S, RunSteps
from plinth.domain.run import Observation, Phase
from plinth.domain.workload import Served
from plinth.store.runs import StoredRun

# How often a server that runs is looked at, at the least: each look is two commits.
_LONGEST_POLL_S = 1.0
# How often a deployment may crash before it has ever been ready.
_START_ATTEMPTS = 3
# The exit code by which a model server says that the model itself cannot be loaded.
_MODEL_DOES_NOT_LOAD = 3
# What stands before the reason in the last line of such a server (runtimes/v2server).
_WHY = "does not load: "


class DeploymentWatch:
    """Decide how a deployment goes on. `ready` tells what it still lacks to serve, if anything."""

    def __init__(self, steps: RunSteps, ready: Callable[[StoredRun], str | None]) -> None:
        self._steps = steps
        self._ready = ready

    def decide(self, state: RunState, endpoint: Served, seen: dict[int, Observation]) -> Outcome:
        """Return the next step of a deployment whose replicas were seen like this."""
        run = state.run
        ended = {replica: o for replica, o in seen.items() if o.phase.is_final}
        if run.phase is Phase.STARTING:
            refusal = self._refusal(state, ended)
            if refusal is not None:
                self._steps.stop_all(state, endpoint.grace)
                return self._steps.to(state, run.phase, "Failing", refusal, SOON_S, seen=seen)
            age_s = _age_s(state, seen)
            if self._steps.is_overdue(run.started_at, endpoint.ready_timeout, age_s=age_s):
                self._steps.stop_all(state, endpoint.grace)
                message = (
                    f"was not ready after {endpoint.ready_timeout:g} s: {run.message}; "
                    f"`plinth logs {run.id}` may say why"
                )
                return self._steps.to(state, run.phase, "TimedOut", message, SOON_S, seen=seen)
        if ended:
            return self._restart(state, ended, seen)
        if any(o.phase is not Phase.RUNNING for o in seen.values()):
            reason = "ReplicaStarting" if run.phase is Phase.RUNNING else "Starting"
            return self._steps.to(
                state, run.phase, reason, "its server is being started", SOON_S, seen=seen
            )
        if run.phase is Phase.STARTING:
            why_not = self._ready(run)
            if why_not is not None:
                return self._steps.to(state, run.phase, "NotReady", why_not, 0.2, seen=seen)
        after_s = min(self._steps.poll_s(o, _LONGEST_POLL_S) for o in seen.values())
        message = run.message if run.reason == "Ready" else self._how_ready(run)
        return self._steps.to(state, Phase.RUNNING, "Ready", message, after_s, seen=seen)

    def _refusal(self, state: RunState, ended: dict[int, Observation]) -> str | None:
        """Return why it is given up, with what its server said at last."""
        for replica, observation in ended.items():
            attempt = state.current[replica]
            if observation.exit_code == _MODEL_DOES_NOT_LOAD:
                line = self._steps.last_line(attempt)
                why = line.partition(_WHY)[2] or line or "its server did not say why"
                return f"the {_what(state.run)} does not load: {why}"
            if attempt.number >= _START_ATTEMPTS:
                how = observation.reason or f"exited with {observation.exit_code}"
                said = self._steps.last_line(attempt)
                last = f"; its last line: {said}" if said else ""
                given = memory_said(observation, state.run)
                return f"its server {how}, {_START_ATTEMPTS} times{given}{last}"
        return None

    def _how_ready(self, run: StoredRun) -> str:
        if self._steps.checked_by_chat(run):
            return "it answered its model's input example; what it says is not compared"
        if self._steps.checked_by_example(run):
            how = " from its ONNX form" if self._steps.answers_as_onnx(run) else ""
            return f"its model's input example came back right{how}"
        if run.model is None:
            return "it is loaded, and answers through the gateway"
        return "its server says so; the model has no input example to check it by"

    def _restart(
        self, state: RunState, ended: dict[int, Observation], seen: dict[int, Observation]
    ) -> Outcome:
        run = state.run
        add = self._steps.add_attempts(state, self._steps.prepare(run), ended)
        why = next(iter(ended.values())).reason or "exited"
        message = f"replica {min(ended)} is started again: {why}"
        return self._steps.to(state, run.phase, "Restarting", message, 0, seen=seen, also=add)


def _what(run: StoredRun) -> str:
    return "flow" if run.workload.kind == "flow" else "model"


def _age_s(state: RunState, seen: dict[int, Observation]) -> float | None:
    """Return for how long all of it has run; None, for the wall's clock, once one was restarted."""
    ages = [observation.age_s for observation in seen.values() if observation.age_s is not None]
    is_first = all(attempt.number == 1 for attempt in state.current.values())
    return max(ages, default=None) if is_first else None
