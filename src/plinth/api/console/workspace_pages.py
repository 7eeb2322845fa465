"""A workspace's page: who works in it, when it stops by itself, and the way into it."""

from __future__ import annotations

from fastapi import APIRouter, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from plinth.api import workspaces
from plinth.api.console.spending import Spending
from plinth.api.console.visitor import VisitorDep
from plinth.domain.access import Action, Resource
from plinth.domain.run import FINAL

router = APIRouter()

_SEE_OTHER = 303


@router.get("/workspaces/{name}")
def workspace(name: str, visitor: VisitorDep) -> HTMLResponse:
    """Show a workspace."""
    shown = workspaces.get(name, visitor.context, visitor.caller)
    row = {**shown, "run": None}
    resource = Resource(kind="workspace", team=shown["team"], name=shown["name"])
    is_own = shown["shared"] or shown["owner"] == visitor.caller.actor.principal.id
    is_open, is_ended = shown["desired"] == "run", shown["phase"] in FINAL
    may_end = is_own or visitor.caller.may(Action.DELETE, resource)
    return visitor.show(
        "workspace.html",
        workspace=shown,
        cost=Spending(visitor, [row]).of(row),
        may_enter=is_own and shown["phase"] == "running",
        may_stop=is_open and may_end and visitor.caller.may(Action.STOP, resource),
        may_start=not is_open
        and is_ended
        and is_own
        and visitor.caller.may(Action.WRITE, resource),
    )


@router.post("/workspaces/{name}/stop")
def stop(name: str, visitor: VisitorDep) -> Response:
    """Ask a workspace to stop, and show it; refused while a cell runs."""
    workspaces.stop(name, workspaces.Stopping(), visitor.context, visitor.caller)
    return RedirectResponse(f"/workspaces/{name}", _SEE_OTHER)


@router.post("/workspaces/{name}/start")
def start(name: str, visitor: VisitorDep) -> Response:
    """Open a workspace again, and show it."""
    workspaces.start(name, visitor.context, visitor.caller)
    return RedirectResponse(f"/workspaces/{name}", _SEE_OTHER)
