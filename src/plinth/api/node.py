"""The node itself: its units, what they print, and whether all of it is up."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from plinth import __version__
from plinth.api.caller import CallerDep, ContextDep, needs
from plinth.control.status import no_unit, node_status, unit_log
from plinth.domain.access import Action, Resource
from plinth.gateway.identity import HEALTH_PATH
from plinth.kit.errors import NotFound

router = APIRouter(tags=["node"])
pages = APIRouter(include_in_schema=False)

_MOST_LOG_BYTES = 1_000_000


@pages.get(HEALTH_PATH)
async def health() -> dict[str, Any]:
    """Say that this control plane answers; only the gateway asks it, once a second.

    On the event loop, and of nothing else: a database that is away is away for all of them.
    """
    return {"status": "ok"}


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
