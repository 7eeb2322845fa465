"""The node itself: its units, what they print, and whether all of it is up."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from plinth import __version__
from plinth.api.caller import CallerDep, ContextDep, needs
from plinth.control.status import no_unit, node_status, unit_log
from plinth.domain.access import Action, Resource
from plinth.kit.errors import NotFound

router = APIRouter(tags=["node"])

_MOST_LOG_BYTES = 1_000_000


@router.get("/version", **needs(Action.READ, "self"))
def version(_caller: CallerDep) -> dict[str, Any]:
    """Return the version of the control plane."""
    return {"version": __version__}


@router.get("/status", **needs(Action.READ, "node"))
def status(
    request: Request, context: ContextDep, caller: CallerDep, *, memory: bool = False
) -> dict[str, Any]:
    """Show the node: its parts, every unit, and what is being prepared.

    `memory`: measure what each unit uses, which takes some milliseconds each.
    """
    caller.require(Action.READ, Resource(kind="node"), absent=NotFound("you may not see the node"))
    return node_status(context, request.app.state.parts, with_memory=memory)


@router.get("/units/{unit_id}/logs", **needs(Action.OPERATE, "node"))
def unit_logs(
    unit_id: str,
    context: ContextDep,
    caller: CallerDep,
    *,
    offset: Annotated[int, Query(ge=0)] = 0,
) -> Response:
    """Return what a unit of the system printed, from byte `offset`."""
    caller.require(Action.OPERATE, Resource(kind="node"), absent=no_unit(unit_id))
    content, following = unit_log(context, unit_id, offset, _MOST_LOG_BYTES)
    headers = {"x-plinth-next-offset": str(following)}
    return Response(content, media_type="text/plain; charset=utf-8", headers=headers)
