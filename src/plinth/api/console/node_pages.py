"""The node: its parts, every process on it, and whether all of it is up."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from plinth.api import gateway, node
from plinth.api.console.visitor import VisitorDep

router = APIRouter()


@router.get("/node")
def node_page(request: Request, visitor: VisitorDep) -> HTMLResponse:
    """Show the node and its units. For those who may see the node; to others there is no page."""
    shown = node.status(request, visitor.context, visitor.caller, memory=True)
    return visitor.show(
        "node.html",
        node=shown,
        gateway=gateway.status(request, visitor.context, visitor.caller),
    )
