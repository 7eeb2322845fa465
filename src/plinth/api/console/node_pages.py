"""The node: its parts, every process on it, and whether all of it is up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from plinth.api import gateway, node
from plinth.api.console.visitor import VisitorDep

router = APIRouter()

Unit = dict[str, Any]

_LIVING = ("running", "starting")
# Of those that have ended; their folders stay for as long as their runs.
_MOST_ENDED = 20


@router.get("/node")
def node_page(request: Request, visitor: VisitorDep) -> HTMLResponse:
    """Show the node and its units. For those who may see the node; to others there is no page."""
    shown = node.status(request, visitor.context, visitor.caller, memory=True)
    units, older = chosen(shown["units"])
    return visitor.show(
        "node.html",
        node=shown,
        level=(shown["node"] or {}).get("isolation_level"),
        units=units,
        older=older,
        gateway=gateway.status(request, visitor.context, visitor.caller),
    )


def chosen(units: Sequence[Unit]) -> tuple[list[Unit], int]:
    """Return the units to show, those that live first, and how many that ended are left out."""
    living = [each for each in units if each["phase"] in _LIVING]
    ended = [each for each in units if each["phase"] not in _LIVING]
    ended.sort(key=_ended_at, reverse=True)
    return living + ended[:_MOST_ENDED], len(ended[_MOST_ENDED:])


def _ended_at(unit: Unit) -> str:
    return str(unit["ended_at"] or "")
