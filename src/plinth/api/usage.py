"""What was used, by team and workload."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request

from plinth.api.caller import CallerDep, ContextDep, needs
from plinth.control.status import Parts
from plinth.domain.access import Action, Resource

router = APIRouter(tags=["usage"])


@router.get("/usage", **needs(Action.READ, "usage"))
def usage(request: Request, caller: CallerDep) -> list[dict[str, Any]]:
    """List what the teams that the caller may see have used."""
    parts: Parts = request.app.state.parts
    return [
        asdict(row)
        for row in parts.metering.totals()
        if caller.may(Action.READ, Resource(kind="usage", team=row.team))
    ]


@router.get("/usage/gaps", **needs(Action.READ, "self"))
def gaps(context: ContextDep, _caller: CallerDep) -> list[dict[str, Any]]:
    """List the times whose requests may be missing, oldest first.

    Everybody who is charged may know of them: the gateway is one for all teams.
    """
    return [gap.model_dump(mode="json") for gap in context.ledger.gaps()]
