"""Change the intent of workspaces. Called by the API inside its transaction; never commits."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection

from plinth.control.context import Context
from plinth.control.identities import require_as_much_as_team
from plinth.control.preparation import socket_of
from plinth.control.runs.service import Sources, add_workload_run, resolve_data
from plinth.control.workspaces.preparation import workspace_environment
from plinth.control.workspaces.probe import Seen, Silent, ask
from plinth.domain.access import Actor
from plinth.domain.plan import Plan
from plinth.domain.run import Phase
from plinth.domain.workspace import Workspace
from plinth.kit.errors import Conflict, Invalid, NotFound
from plinth.store.runs import StoredRun, find_run
from plinth.store.workspaces import (
    Activity,
    StoredWorkspace,
    add_workspace,
    file_json,
    find_workspace,
    get_workspace,
    want_workspace,
)

# For how long the schedule waits where somebody asks to stay.
STAY_S = 3600.0


class Busy(Conflict):
    """A cell runs in the workspace: who stops it all the same says so."""

    code = "workspace_busy"


def bring_up(
    connection: Connection, context: Context, actor: Actor, workload: Workspace, plan: Plan
) -> StoredWorkspace:
    """Write the intent to have a workspace open as the file says; `workload.team` is set.

    Nothing happens when it is open with this file. Raises Conflict when it is open with another
    one, when the name is another's, or while it is being stopped.
    """
    if workload.environment.file is not None:
        raise Invalid(
            "`environment.file` names a file on the caller's machine",
            hint="send its lines as `environment.packages`; `plinth workspace up` does",
        )
    # What could not be built is told now, and not by the build.
    workspace_environment(workload)
    found = find_workspace(connection, workload.name)
    if found is None:
        return _add(connection, context, actor, workload, plan)
    _check_ours(found, actor, workload)
    run = session_of(connection, found)
    if run is not None and not run.phase.is_final:
        if found.desired == "run" and found.workload == workload:
            return found
        is_open = found.desired == "run"
        raise Conflict(
            f"workspace `{found.name}` is "
            + ("open with another file" if is_open else "still being stopped"),
            hint=f"`plinth workspace stop {found.name}` first" if is_open else "again in a moment",
        )
    return _begin(connection, context, actor, workload, plan)


def stop_workspace(connection: Connection, context: Context, workspace: StoredWorkspace) -> None:
    """Ask a workspace to stop; its name and files stay."""
    if workspace.desired == "run":
        now = context.clock.now()
        want_workspace(connection, workspace.name, desired="stop", now=now)


def remove_workspace(connection: Connection, context: Context, workspace: StoredWorkspace) -> None:
    """Ask a workspace to stop and its name to be forgotten; the files stay."""
    want_workspace(connection, workspace.name, desired="delete", now=context.clock.now())


def stay_open(connection: Connection, context: Context, workspace: StoredWorkspace) -> None:
    """Count it as work, just now, that somebody wants it to stay; the schedule waits an hour."""
    now = context.clock.now()
    asked = {"active_at": now, "stay_until": now + timedelta(seconds=STAY_S)}
    activity = workspace.activity.model_copy(update=asked)
    want_workspace(
        connection,
        workspace.name,
        desired=workspace.desired,
        now=now,
        activity=activity.model_dump(mode="json"),
    )


def resize_workspace(
    connection: Connection, context: Context, workspace: StoredWorkspace, workload: Workspace
) -> StoredWorkspace:
    """Give a workspace that is not open another size. Raises Conflict while it is."""
    run = session_of(connection, workspace)
    if run is not None and not run.phase.is_final:
        raise Conflict(
            f"workspace `{workspace.name}` is open",
            hint=f"`plinth workspace stop {workspace.name}` first; files stay",
            code="workspace_open",
        )
    now = context.clock.now()
    want_workspace(
        connection,
        workspace.name,
        desired=workspace.desired,
        now=now,
        workload=file_json(workload),
    )
    return get_workspace(connection, workspace.name)


def session_of(connection: Connection, workspace: StoredWorkspace) -> StoredRun | None:
    """Return the run of a workspace's newest session; None also when it was deleted with it."""
    if workspace.run is None:
        return None
    with contextlib.suppress(NotFound):
        return find_run(connection, workspace.run)
    return None


def require_idle(context: Context, workspace: StoredWorkspace, run: StoredRun | None) -> None:
    """Return if nothing runs in the session, asked just now. No transaction may be open.

    Raises Busy, naming what runs, also when the session does not say.
    """
    if run is None or run.phase is not Phase.RUNNING or run.reason != "Ready":
        return
    hint = f"wait for it, or `plinth workspace stop {workspace.name} --force`"
    try:
        seen = ask(socket_of(context, run.id, 0))
    except Silent as why:
        raise Busy(
            f"workspace `{workspace.name}` does not say whether a cell runs: {why}", hint=hint
        ) from why
    if seen.busy:
        raise Busy(f"workspace `{workspace.name}` is busy: {_running(seen)}", hint=hint)


def _running(seen: Seen) -> str:
    names = ", ".join(f"`{name}`" for name in seen.busy)
    return f"a cell of {names} runs"


def _check_ours(found: StoredWorkspace, actor: Actor, workload: Workspace) -> None:
    is_owner = found.owner == actor.principal.id
    if found.team == workload.team and found.workload.shared and not (is_owner or workload.shared):
        raise Conflict(
            f"workspace `{found.name}` is shared, and only its owner may unshare it",
            hint="say `shared: true`, or choose another name",
            code="name_taken",
        )
    if found.team != workload.team or (
        not is_owner and not (found.workload.shared and workload.shared)
    ):
        raise Conflict(
            f"the workspace name `{workload.name}` is taken; names are unique in Plinth",
            hint="choose another name",
            code="name_taken",
        )
    if found.desired == "delete":
        raise Conflict(f"workspace `{found.name}` is being deleted", hint="again in a moment")


def _add(
    connection: Connection, context: Context, actor: Actor, workload: Workspace, plan: Plan
) -> StoredWorkspace:
    now = context.clock.now()
    run = _session(connection, context, actor, workload, plan)
    workspace = StoredWorkspace(
        name=workload.name,
        team=workload.team or "",
        owner=actor.principal.id,
        workload=workload,
        run=run.id,
        created_at=now,
        created_by=actor.principal.id,
        updated_at=now,
    )
    add_workspace(connection, workspace)
    return workspace


def _begin(
    connection: Connection, context: Context, actor: Actor, workload: Workspace, plan: Plan
) -> StoredWorkspace:
    run = _session(connection, context, actor, workload, plan)
    new: Mapping[str, Any] = {
        "workload": file_json(workload),
        "run": run.id,
        "activity": Activity().model_dump(mode="json"),
        "reason": "Accepted",
        "message": "accepted",
    }
    want_workspace(connection, workload.name, desired="run", now=context.clock.now(), **new)
    return get_workspace(connection, workload.name)


def _session(
    connection: Connection, context: Context, actor: Actor, workload: Workspace, plan: Plan
) -> StoredRun:
    # The session gets a key of the team, and does with it whatever is typed.
    require_as_much_as_team(connection, actor, workload.team or "")
    sources = Sources(data=resolve_data(connection, workload))
    return add_workload_run(connection, context, actor, workload, plan=plan, sources=sources)
