"""Follow each workspace's session: show what goes on, stop it when it is time, keep the files."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from plinth.control.context import Context
from plinth.control.loop import Outcome
from plinth.control.preparation import socket_of
from plinth.control.runs.service import forget_files, is_metered
from plinth.control.workspaces.idle import Verdict, judge
from plinth.control.workspaces.probe import Seen, Silent, ask, send_away
from plinth.control.workspaces.visits import is_orphan, keys_to_leave
from plinth.domain.run import Phase
from plinth.kit.errors import PlinthError, Temporary
from plinth.store import tables
from plinth.store.events import Event, add_event, clipped
from plinth.store.leases import Claim
from plinth.store.runs import (
    Attempt,
    StoredRun,
    delete_run,
    list_attempts,
    list_newest_attempts,
    want_stop,
)
from plinth.store.workspaces import (
    Activity,
    StoredWorkspace,
    delete_workspace,
    find_workspace,
    get_workspace,
    list_sessions,
)

_SOON_S = 0.3
_LATER_S = 5.0
_METERED_S = 0.5
_OPEN = ("Open", "Busy", "Idle")
# How far what is shown of an open session may lie behind while nothing else is new.
_SHOWN_EVERY_S = 10.0


@dataclass(frozen=True, slots=True)
class WorkspaceState:
    """A workspace, the run of its session, and, while it is deleted, all its runs.

    `is_orphan`: it is wanted open, and nobody may visit it any more. `newest`: the last two
    attempts of the session that is wanted.
    """

    workspace: StoredWorkspace
    run: StoredRun | None
    is_orphan: bool = False
    newest: tuple[Attempt, ...] = ()
    ended: tuple[tuple[StoredRun, tuple[Attempt, ...]], ...] = ()


class WorkspaceReconciler:
    """See the module.

    `is_reached` tells whether a workspace's page is there, behind the gateway; `probe` asks the
    process behind a socket what goes on, `leave` has it close the WebSockets of some keys.
    """

    table = tables.workspace

    def __init__(
        self,
        context: Context,
        is_reached: Callable[[str], bool],
        probe: Callable[[Path], Seen] = ask,
        leave: Callable[[Path, Sequence[str]], None] = send_away,
    ) -> None:
        self._context = context
        self._is_reached = is_reached
        self._probe = probe
        self._leave = leave

    def load(self, connection: Connection, key: str) -> WorkspaceState:
        """Read the workspace and its runs."""
        workspace = get_workspace(connection, key)
        runs = list_sessions(connection, workspace.team, key)
        run = next((each for each in runs if each.id == workspace.run), None)
        if workspace.desired != "delete":
            is_wanted = workspace.desired == "run"
            newest = list_newest_attempts(connection, run.id, replicas=1, newest=2) if run else []
            return WorkspaceState(
                workspace,
                run,
                is_orphan=is_wanted and is_orphan(connection, workspace),
                newest=tuple(newest),
            )
        ended = [
            (each, tuple(list_attempts(connection, [each.id])))
            for each in runs
            if each.phase.is_final
        ]
        return WorkspaceState(workspace, run, ended=tuple(ended))

    def work(self, state: WorkspaceState, claim: Claim) -> Outcome:
        """Do the next step: look at an open session, or see a stopped one to its end."""
        workspace, run = state.workspace, state.run
        if workspace.desired != "run":
            return self._wind_down(state, claim)
        if run is None or run.phase.is_final:
            return self._ended(state)
        if state.is_orphan:
            return self._leave_to_nobody(state, run)
        if state.newest and state.newest[-1].number > workspace.activity.attempt:
            return self._began_anew(state)
        if run.phase is not Phase.RUNNING or run.reason != "Ready":
            if workspace.reason == "Restarting":
                # Why it starts is worth more than that it does.
                return self._to(state, workspace.reason, workspace.message, _SOON_S)
            return self._to(state, "Starting", run.message, _SOON_S)
        return self._look(state, run)

    def failed(self, state: WorkspaceState, error: PlinthError) -> Outcome:
        """Show the error and try again."""
        after_s = error.retry_after_s if isinstance(error, Temporary) else _LATER_S
        return self._to(state, "Error", error.message, after_s)

    def _began_anew(self, state: WorkspaceState) -> Outcome:
        """Say that the session crashed, how, and what is gone with it."""
        *before, newest = state.newest
        activity = state.workspace.activity
        # What was open in it would count as closed by somebody.
        closed = {"kernels": 0, "busy": (), "terminals": 0, "connections": 0}
        columns = {"activity": activity.model_copy(update={**closed, "attempt": newest.number})}
        how = "".join(
            f"attempt {each.number} ended: {each.reason or f'exited with {each.exit_code}'}; "
            for each in before
        )
        message = f"{how}attempt {newest.number} begins"
        if activity.ready_s is not None:
            message += " with the same files; its kernels, and what they held in memory, are gone"
        return self._to(state, "Restarting", message, _SOON_S, columns=columns)

    def _look(self, state: WorkspaceState, run: StoredRun) -> Outcome:
        """Ask what goes on, and end the session when it is time."""
        workspace, now = state.workspace, self._context.clock.now()
        if workspace.activity.ready_s is None and not self._is_reached(workspace.name):
            return self._to(state, "Starting", "the gateway does not know it yet", _SOON_S)
        seen = self._see(workspace, run)
        before = workspace.activity
        if before.ready_s is None:
            ready_s = round((now - run.created_at).total_seconds(), 3)
            before = before.model_copy(update={"ready_s": ready_s})
        verdict = judge(
            workspace.workload,
            before,
            seen,
            since=run.created_at,
            now=now,
            disk_free_bytes=shutil.disk_usage(self._context.home.files).free,
        )
        columns: dict[str, Any] = {"activity": self._shown(workspace, verdict)}
        if verdict.reason is None:
            after_s = min(_LATER_S, max(_SOON_S, workspace.workload.idle_stop / 10))
            return self._to(state, verdict.state, verdict.message, after_s, columns=columns)
        columns["desired"] = "stop"
        return self._to(
            state,
            verdict.reason,
            verdict.message,
            _SOON_S,
            columns=columns,
            also=self._stop(run),
        )

    def _leave_to_nobody(self, state: WorkspaceState, run: StoredRun) -> Outcome:
        """End a session that nobody may see: what runs in it holds a key of the team."""
        team = state.workspace.team
        message = f"its owner may not write in team `{team}` any more; the files stay"
        columns: dict[str, Any] = {"desired": "stop"}
        return self._to(state, "OwnerLeft", message, _SOON_S, columns=columns, also=self._stop(run))

    def _see(self, workspace: StoredWorkspace, run: StoredRun) -> Seen | None:
        """Ask what goes on; who is there and may not be any more has to leave."""
        path = socket_of(self._context, run.id, 0)
        # What is silent now is asked again at the next look.
        with contextlib.suppress(Silent):
            seen = self._probe(path)
            if seen.visitors:
                self._send_away(path, workspace, seen.visitors)
            return seen
        return None

    def _send_away(self, path: Path, workspace: StoredWorkspace, keys: Sequence[str]) -> None:
        now = self._context.clock.now()
        with self._context.database.read() as connection:
            gone = keys_to_leave(connection, workspace, keys, now)
        if gone:
            with contextlib.suppress(Silent):
                self._leave(path, gone)

    @staticmethod
    def _shown(workspace: StoredWorkspace, verdict: Verdict) -> Activity:
        """Return what is written: not each small change, each is a commit."""
        old, new = workspace.activity, verdict.activity
        aside = {"seen_at", "cpu", "memory_bytes", "active_at", "stops_at", "written_bytes"}
        every_s = min(_SHOWN_EVERY_S, workspace.workload.idle_stop / 10)
        times = ((old.seen_at, new.seen_at), (old.stops_at, new.stops_at))
        is_late = any(
            before is None or now is None or abs((now - before).total_seconds()) >= every_s
            for before, now in times
        )
        is_same = old.model_dump(exclude=aside) == new.model_dump(exclude=aside)
        return old if is_same and not is_late and verdict.reason is None else new

    def _ended(self, state: WorkspaceState) -> Outcome:
        """Say how a session ended that nobody asked to."""
        run = state.run
        reason, message = "Stopped", "is not open"
        if run is not None:
            reason, message = run.phase.value.capitalize(), run.message
        columns: dict[str, Any] = {"desired": "stop", "activity": _past(state.workspace.activity)}
        return self._to(state, reason, message, None, columns=columns)

    def _wind_down(self, state: WorkspaceState, claim: Claim) -> Outcome:
        """See the session end; then, if it is wanted, forget the name. Files stay."""
        workspace, run = state.workspace, state.run
        deletes = workspace.desired == "delete"
        if run is not None and not run.phase.is_final:
            reason, message = workspace.reason, workspace.message
            if run.desired != "stop" or deletes:
                reason, message = ("Deleting" if deletes else "Stopping"), "is being stopped"
            return self._to(state, reason, message, _SOON_S, also=self._stop(run))
        columns: dict[str, Any] = {"activity": _past(workspace.activity)}
        if deletes:
            return self._delete(state, claim)
        if workspace.reason in ("Stopping", "Starting", "Restarting", *_OPEN, "Error"):
            return self._to(state, "Stopped", "was stopped", None, columns=columns)
        return self._to(state, workspace.reason, workspace.message, None, columns=columns)

    def _delete(self, state: WorkspaceState, claim: Claim) -> Outcome:
        """Delete the runs: files first, as what is killed half-way begins again; then the row."""
        done = [
            (run, attempts) for run, attempts in state.ended if run.closed and is_metered(attempts)
        ]
        if state.ended and not done:
            message = "waits until its usage is in the ledger"
            return self._to(state, "Deleting", message, _METERED_S)
        for run, attempts in done:
            forget_files(self._context, run.id, attempts, valid_until=claim.valid_until)

        def delete(connection: Connection) -> None:
            for run, _ in done:
                delete_run(connection, run.id, self._context.clock.now())
            if not state.ended:
                delete_workspace(connection, state.workspace.name)

        if state.ended:
            return self._to(state, "Deleting", "its sessions are being deleted", 0, also=delete)
        return Outcome({}, None, delete, self._still(state))

    def _stop(self, run: StoredRun) -> Callable[[Connection], None]:
        def stop(connection: Connection) -> None:
            if run.desired != "stop":
                want_stop(connection, run.id, self._context.clock.now())

        return stop

    def _to(
        self,
        state: WorkspaceState,
        reason: str,
        message: str,
        after_s: float | None,
        *,
        columns: dict[str, Any] | None = None,
        also: Callable[[Connection], None] | None = None,
    ) -> Outcome:
        now, workspace = self._context.clock.now(), state.workspace

        def write(connection: Connection) -> None:
            if reason != workspace.reason:
                event = Event(at=now, phase=workspace.desired, reason=reason, message=message)
                add_event(connection, f"workspace/{workspace.name}", event)
            if also is not None:
                also(connection)

        changes = {**(columns or {}), "reason": reason, "message": clipped(message)}
        new = {name: value for name, value in changes.items() if getattr(workspace, name) != value}
        if "activity" in new:
            new["activity"] = new["activity"].model_dump(mode="json")
        return Outcome(new, after_s, write, self._still(state))

    def _still(self, state: WorkspaceState) -> Callable[[Connection], bool]:
        """Return a check that nobody has started, stopped or deleted it since it was read."""
        read = state.workspace

        def still(connection: Connection) -> bool:
            now = find_workspace(connection, read.name)
            return now is not None and all(
                getattr(now, name) == getattr(read, name) for name in ("desired", "workload", "run")
            )

        return still


def _past(activity: Activity) -> Activity:
    """Return what stays of a session's activity when it is over: what was measured."""
    return Activity(ready_s=activity.ready_s, first_cell_s=activity.first_cell_s)
