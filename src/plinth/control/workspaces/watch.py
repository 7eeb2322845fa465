"""What follows from what is seen of a workspace's process: it starts, is ready, or has ended."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from plinth.control.context import Context
from plinth.control.loop import Outcome
from plinth.control.preparation import socket_of
from plinth.control.runs.observation import RunState, memory_said
from plinth.control.runs.steps import SOON_S, RunSteps
from plinth.control.workspaces.probe import Seen, Silent, ask
from plinth.domain.run import Observation, Phase
from plinth.domain.workspace import Workspace

_LONGEST_POLL_S = 2.0
# How often its tool may end by itself before it has been open for a while.
_START_ATTEMPTS = 3


class WorkspaceWatch:
    """Decide how a session goes on. `probe` asks the process behind a socket what goes on."""

    def __init__(
        self, context: Context, steps: RunSteps, probe: Callable[[Path], Seen] = ask
    ) -> None:
        self._context = context
        self._steps = steps
        self._probe = probe

    def decide(
        self, state: RunState, workspace: Workspace, seen: dict[int, Observation]
    ) -> Outcome:
        """Return the next step of a session whose process was seen like this."""
        run, observation, steps = state.run, seen[0], self._steps
        if observation.phase.is_final:
            return self._ended(state, observation, seen)
        if observation.phase is not Phase.RUNNING:
            return steps.to(state, run.phase, "Starting", "is being started", SOON_S, seen=seen)
        if run.phase is Phase.RUNNING and run.reason == "Ready":
            after_s = steps.poll_s(observation, _LONGEST_POLL_S)
            return steps.to(state, run.phase, "Ready", "is open", after_s, seen=seen)
        try:
            self._probe(socket_of(self._context, run.id, 0))
        except Silent as why:
            age_s = observation.age_s if state.current[0].number == 1 else None
            if steps.is_overdue(run.started_at, workspace.ready_timeout, age_s=age_s):
                steps.stop_all(state, workspace.grace)
                message = f"did not open within {workspace.ready_timeout:g} s: {why}"
                return steps.to(state, run.phase, "TimedOut", message, SOON_S, seen=seen)
            message = f"{workspace.tool} is starting"
            return steps.to(state, run.phase, "NotReady", message, 0.2, seen=seen)
        return steps.to(state, Phase.RUNNING, "Ready", "is open", SOON_S, seen=seen)

    def _ended(
        self, state: RunState, observation: Observation, seen: dict[int, Observation]
    ) -> Outcome:
        """Start it again, as its owner would; what crashes at once is given up."""
        run, attempt, steps = state.run, state.current[0], self._steps
        how = observation.reason or f"exited with {observation.exit_code}"
        if observation.phase is Phase.STOPPED:
            # With its node, or by somebody who may: kernels are gone, and nobody asked for new.
            why = "was stopped from outside, as when its node goes down"
            return steps.to(state, Phase.STOPPING, "StoppedOutside", why, 0, seen=seen)
        if attempt.number >= _START_ATTEMPTS:
            said = steps.last_line(attempt)
            last = f"; its last line: {said}" if said else ""
            given = memory_said(observation, run)
            message = f"{_said(how)}, {attempt.number} times{given}{last}"
            return steps.end(state, Phase.FAILED, "Failed", message, seen=seen)
        add = steps.add_attempts(state, steps.prepare(run), [0])
        message = f"is opened again: {_said(how)}"
        return steps.to(state, run.phase, "Restarting", message, 0, seen=seen, also=add)


def _said(how: str) -> str:
    """Return how it ended as a clause: `its supervisor was killed` is one already."""
    return how if how.startswith(("its ", "the ")) else f"it {how}"
