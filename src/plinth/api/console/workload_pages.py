"""One workload's page: what was planned, what runs, what it prints, serves, costs and came from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from plinth.api import endpoints, runs
from plinth.api.console.metrics import curves
from plinth.api.console.overview import phase_of_endpoint
from plinth.api.console.spending import Spending
from plinth.api.console.timeline import traffic_of
from plinth.api.console.visitor import Visitor, VisitorDep
from plinth.domain.access import Action, Resource
from plinth.domain.run import FINAL

router = APIRouter()

_SEE_OTHER = 303
_FINAL = frozenset(phase.value for phase in FINAL)


@router.get("/runs/{run_id}")
def run(run_id: str, visitor: VisitorDep) -> HTMLResponse:
    """Show a run."""
    shown = runs.get(run_id, visitor.context, visitor.caller)
    row = {**shown, "run": shown["id"]}
    is_over = shown["phase"] in _FINAL
    return visitor.show(
        "run.html",
        run=shown,
        cost=Spending(visitor, [row]).of(row),
        curves=curves(visitor.context, shown["team"], shown["tracking_run"]),
        candidates=_candidates(shown["plan"]),
        may_stop=not is_over and _may(visitor, Action.STOP, shown) and not shown["model"],
        is_over=is_over,
    )


@router.get("/runs/{run_id}/logs")
def logs(
    run_id: str,
    visitor: VisitorDep,
    *,
    offset: Annotated[int, Query(ge=0)] = 0,
    replica: Annotated[int, Query(ge=0)] = 0,
) -> Response:
    """Return what the newest attempt of a run printed, from byte `offset`, as plain text."""
    return runs.logs(
        run_id, visitor.context, visitor.caller, offset=offset, replica=replica, attempt=None
    )


@router.post("/runs/{run_id}/stop")
def stop_run(run_id: str, visitor: VisitorDep) -> Response:
    """Ask a run to stop, and show it."""
    runs.stop(run_id, visitor.context, visitor.caller)
    return RedirectResponse(f"/runs/{run_id}", _SEE_OTHER)


@router.get("/endpoints/{name}")
def endpoint(name: str, visitor: VisitorDep) -> HTMLResponse:
    """Show an endpoint, or a flow."""
    shown = endpoints.get(name, visitor.context, visitor.caller, visitor.gateway)
    row = {**shown, "run": None}
    return visitor.show(
        "endpoint.html",
        endpoint=shown,
        phase=phase_of_endpoint(shown),
        cost=Spending(visitor, [row]).of(row),
        plans={name: _candidates(plan) for name, plan in shown["plans"].items()},
        traffic=traffic_of(visitor, shown["name"]),
        lineage=_lineage(visitor, shown),
        may_stop=shown["desired"] == "run" and _may(visitor, Action.STOP, shown),
    )


@router.post("/endpoints/{name}/stop")
def stop_endpoint(name: str, visitor: VisitorDep) -> Response:
    """Ask an endpoint to stop serving, and show it."""
    endpoints.stop(name, visitor.context, visitor.caller, visitor.gateway)
    return RedirectResponse(f"/endpoints/{name}", _SEE_OTHER)


def _may(visitor: Visitor, action: Action, shown: Mapping[str, Any]) -> bool:
    resource = Resource(kind=shown["kind"], team=shown["team"], name=shown["name"])
    return visitor.caller.may(action, resource)


def _candidates(plan: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the places that a plan looked at, the chosen one first."""
    chosen = [{**plan["chosen"], "is_chosen": True}] if plan["chosen"] else []
    return [*chosen, *({**each, "is_chosen": False} for each in plan["rejected"])]


def _lineage(visitor: Visitor, shown: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what each deployment that serves came from, as far as the visitor may know."""
    found = []
    for name, deployment in shown["deployments"].items():
        run_id = deployment["run"] or deployment["next"]
        if run_id is not None:
            came_from = runs.get(run_id, visitor.context, visitor.caller)
            found.append({"deployment": name, "run": came_from})
    return found
