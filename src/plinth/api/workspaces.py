"""Workspaces: open, look at, stop, resize and remove them; their files stay."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Field, ValidationError
from sqlalchemy import Connection

from plinth.api.caller import Caller, CallerDep, ContextDep, needs, no_team, require_team
from plinth.api.runs import summary as run_summary
from plinth.control.context import Context
from plinth.control.workspaces.service import (
    bring_up,
    remove_workspace,
    require_idle,
    resize_workspace,
    session_of,
    stop_workspace,
)
from plinth.control.workspaces.size import plan_workspace
from plinth.domain.access import Action, Resource
from plinth.domain.base import Declared, Name
from plinth.domain.mistake import told
from plinth.domain.web_page import page_origin, workspace_page
from plinth.domain.workspace import GpuUse, Workspace
from plinth.kit.errors import Denied, Invalid
from plinth.store.events import list_events
from plinth.store.identities import find_principal
from plinth.store.workspaces import (
    StoredWorkspace,
    find_workspace,
    get_workspace,
    list_sessions,
    list_workspaces,
    no_workspace,
)

router = APIRouter(tags=["workspaces"])


class Stopping(Declared):
    """How to stop. `force`: also while a cell runs; `ask`: only say whether it would be refused."""

    force: bool = False
    ask: bool = False


class Size(Declared):
    """Another size; `gpu` where it has one."""

    profile: Annotated[str, Field(max_length=40, pattern=r"^[a-z0-9-]*$")]
    gpu: GpuUse | None = None


@router.put("/workspaces/{name}", **needs(Action.WRITE, "workspace"))
def up(name: Name, workload: Workspace, context: ContextDep, caller: CallerDep) -> dict[str, Any]:
    """Plan a workspace, and write the intent to have it open as its file says."""
    if workload.name != name:
        raise Invalid(f"the address says `{name}`, the workspace's own `name` is `{workload.name}`")
    team = workload.team or caller.actor.principal.team
    workload = workload.model_copy(update={"team": team})
    resource = Resource(kind="workspace", team=team, name=name)
    caller.require(Action.WRITE, resource, absent=no_team(team))
    require_team(context, team)
    return _open(context, caller, workload)


@router.post("/workspaces/{name}/start", **needs(Action.WRITE, "workspace"))
def start(name: str, context: ContextDep, caller: CallerDep) -> dict[str, Any]:
    """Open a workspace again, as its file says."""
    with context.database.read() as connection:
        found = _find_own(connection, caller, name, Action.WRITE)
    return _open(context, caller, found.workload)


@router.get("/workspaces", **needs(Action.READ, "workspace"))
def list_all(context: ContextDep, caller: CallerDep) -> list[dict[str, Any]]:
    """List the workspaces that the caller may see."""
    with context.database.read() as connection:
        return [
            summary(connection, context, each)
            for each in list_workspaces(connection)
            if caller.may(Action.READ, _resource(each))
        ]


@router.get("/workspaces/{name}", **needs(Action.READ, "workspace"))
def get(name: str, context: ContextDep, caller: CallerDep) -> dict[str, Any]:
    """Show a workspace with its sessions and what happened to it."""
    with context.database.read() as connection:
        found = _find(connection, caller, name, Action.READ)
        return describe(connection, context, found)


@router.post("/workspaces/{name}/stop", **needs(Action.STOP, "workspace"))
def stop(name: str, how: Stopping, context: ContextDep, caller: CallerDep) -> dict[str, Any]:
    """Ask a workspace to stop; refused while a cell runs, unless it is forced."""
    with context.database.read() as connection:
        found = _find_own(connection, caller, name, Action.STOP, ends=True)
        run = session_of(connection, found)
    if not how.force and found.desired == "run":
        # Asked over its socket, so before the transaction.
        require_idle(context, found, run)
    if how.ask:
        with context.database.read() as connection:
            return describe(connection, context, found)
    with context.database.write() as connection:
        found = _find_own(connection, caller, name, Action.STOP, ends=True)
        if found.desired == "run":
            caller.note(connection, "stop", f"workspace/{name}", team=found.team, forced=how.force)
        stop_workspace(connection, context, found)
        answer = describe(connection, context, get_workspace(connection, name))
    context.hint()
    return answer


@router.post("/workspaces/{name}/resize", **needs(Action.WRITE, "workspace"))
def resize(name: str, size: Size, context: ContextDep, caller: CallerDep) -> dict[str, Any]:
    """Give a workspace that is not open another size; the files stay."""
    with context.database.read() as connection:
        found = _find_own(connection, caller, name, Action.WRITE)
    try:
        workload = found.workload.resized(size.profile, size.gpu)
    except ValidationError as err:
        raise Invalid(told(err, Workspace)) from err
    plan_workspace(context, workload)
    with context.database.write() as connection:
        found = _find_own(connection, caller, name, Action.WRITE)
        found = resize_workspace(connection, context, found, workload)
        caller.note(
            connection,
            "resize",
            f"workspace/{name}",
            team=found.team,
            profile=workload.profile,
            **_gpu(workload),
        )
        return describe(connection, context, found)


@router.delete("/workspaces/{name}", **needs(Action.WRITE, "workspace"))
def delete(
    name: str, context: ContextDep, caller: CallerDep, *, force: bool = False
) -> dict[str, Any]:
    """Ask a workspace to stop and its name to be forgotten; its files stay."""
    with context.database.read() as connection:
        found = _find_own(connection, caller, name, Action.WRITE, ends=True)
        run = session_of(connection, found)
    if not force and found.desired == "run":
        require_idle(context, found, run)
    with context.database.write() as connection:
        found = _find_own(connection, caller, name, Action.WRITE, ends=True)
        if found.desired != "delete":
            caller.note(connection, "delete", f"workspace/{name}", team=found.team)
        remove_workspace(connection, context, found)
        answer = describe(connection, context, get_workspace(connection, name))
    context.hint()
    return answer


def require_visit(context: Context, caller: Caller, name: str) -> None:
    """Return if the caller may open the workspace's page. Raises NotFound and Denied.

    Its owner may; where it is shared, whoever may write in the team.
    """
    with context.database.read() as connection:
        found = find_workspace(connection, name)
    if found is None:
        raise no_workspace(name)
    caller.require(Action.READ, _resource(found), absent=no_workspace(name))
    if found.owner == caller.actor.principal.id:
        return
    if not found.workload.shared:
        raise Denied(
            f"workspace `{name}` is somebody else's, and not shared",
            hint="`shared: true` in its file lets all who may write in the team open it; "
            "`plinth workspace up` makes one of your own",
            rule="not-owner",
        )
    caller.require(Action.WRITE, _resource(found), absent=no_workspace(name))


def summary(connection: Connection, context: Context, workspace: StoredWorkspace) -> dict[str, Any]:
    """Return a workspace as lists show it."""
    fields = {"name", "team", "owner", "desired", "run", "reason", "message", "created_at"}
    holder = find_principal(connection, workspace.owner)
    run = session_of(connection, workspace)
    workload = workspace.workload
    return {
        **workspace.model_dump(mode="json", include=fields),
        "kind": workload.kind,
        "owner_name": holder.name if holder else None,
        "tool": workload.tool,
        "profile": workload.profile,
        "shared": workload.shared,
        "phase": "stopped" if run is None else run.phase.value,
        "started_at": None if run is None else run.model_dump(mode="json")["created_at"],
        "url": page_origin(workspace_page(workspace.name), context.port),
        "activity": workspace.activity.model_dump(mode="json"),
    }


def describe(
    connection: Connection, context: Context, workspace: StoredWorkspace
) -> dict[str, Any]:
    """Return a workspace with all that belongs to it."""
    runs = list_sessions(connection, workspace.team, workspace.name)
    events = list_events(connection, f"workspace/{workspace.name}")
    return {
        **summary(connection, context, workspace),
        "workload": workspace.workload.model_dump(mode="json"),
        "sessions": [run_summary(run) for run in runs],
        "events": [event.model_dump(mode="json") for event in events],
    }


def _open(context: Context, caller: Caller, workload: Workspace) -> dict[str, Any]:
    plan = plan_workspace(context, workload)
    with context.database.write() as connection:
        before = find_workspace(connection, workload.name)
        found = bring_up(connection, context, caller.actor, workload, plan)
        is_new = before is None or before.run != found.run
        if is_new:
            caller.note(
                connection,
                "up",
                f"workspace/{found.name}",
                team=found.team,
                run=found.run,
                profile=workload.profile,
                **_gpu(workload),
            )
        answer = describe(connection, context, found)
    context.hint()
    return {**answer, "changed": is_new}


def _gpu(workload: Workspace) -> dict[str, Any]:
    return {} if workload.gpu is None else {"gpu": workload.gpu.model_dump(mode="json")}


def _resource(workspace: StoredWorkspace) -> Resource:
    return Resource(kind="workspace", team=workspace.team, name=workspace.name)


def _find(connection: Connection, caller: Caller, name: str, action: Action) -> StoredWorkspace:
    found = get_workspace(connection, name)
    caller.require(action, _resource(found), absent=no_workspace(name))
    return found


def _find_own(
    connection: Connection, caller: Caller, name: str, action: Action, *, ends: bool = False
) -> StoredWorkspace:
    """Return a workspace that is the caller's, or shared; an operator may end anybody's."""
    found = _find(connection, caller, name, action)
    if found.owner == caller.actor.principal.id or found.workload.shared:
        return found
    if ends and caller.may(Action.DELETE, _resource(found)):
        return found
    raise Denied(
        f"workspace `{found.name}` is somebody else's, and not shared",
        hint="its owner can; an operator of the team can stop and remove it",
        rule="not-owner",
    )
