"""One workload's page: what was planned, what runs, what it serves, costs and came from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from plinth.api import batches, endpoints, runs
from plinth.api.console.metrics import curves
from plinth.api.console.origins import origin_of_run, origins_of_endpoint
from plinth.api.console.overview import phase_of_endpoint
from plinth.api.console.spending import Spending
from plinth.api.console.timeline import traffic_of
from plinth.api.console.visitor import Visitor, VisitorDep
from plinth.domain.access import Action, Resource
from plinth.domain.run import FINAL
from plinth.domain.web_page import MLFLOW, page_origin
from plinth.domain.workload import ENDING_KINDS, SERVED_KINDS, granted_as
from plinth.kit.errors import NotFound
from plinth.kit.excerpt import excerpt

router = APIRouter()

_SEE_OTHER = 303
_LONGEST = 300
_FINAL = frozenset(phase.value for phase in FINAL)


@router.get("/runs/{run_id}")
def run(run_id: str, visitor: VisitorDep) -> HTMLResponse:
    """Show a run."""
    shown = runs.get(run_id, visitor.context, visitor.caller)
    row = {**shown, "run": shown["id"]}
    is_over = shown["phase"] in _FINAL
    # What serves, or is somebody's session, is stopped on its own page.
    is_alone = shown["kind"] in ENDING_KINDS
    batch = _batch(visitor, shown)
    return visitor.show(
        "run.html",
        run=shown,
        batch=batch,
        origin=origin_of_run(visitor, shown, output=batch["output"] if batch else None),
        belongs_to=_belongs_to(shown),
        cost=Spending(visitor, [row]).of(row),
        metrics=curves(visitor.context, shown["team"], shown["tracking_run"]),
        candidates=_candidates(shown["plan"]),
        may_stop=is_alone and not is_over and _may(visitor, Action.STOP, shown),
        sees_output=visitor.caller.may(Action.READ, _as_it_is(shown)),
        is_over=is_over,
    )


@router.post("/runs/{run_id}/stop")
def stop_run(run_id: str, visitor: VisitorDep) -> Response:
    """Ask a run to stop, and show it."""
    runs.stop(run_id, visitor.context, visitor.caller)
    return RedirectResponse(f"/runs/{run_id}", _SEE_OTHER)


@router.get("/runs/{run_id}/mlflow")
def tracked(run_id: str, visitor: VisitorDep) -> Response:
    """Lead to the run in MLflow's pages."""
    shown = runs.get(run_id, visitor.context, visitor.caller)
    experiment = visitor.context.tracking.experiment_id(shown["team"], shown["name"])
    if experiment is None or shown["tracking_run"] is None:
        raise NotFound(f"run `{shown['id']}` is not in MLflow", hint="`plinth get` shows the rest")
    place = f"/#/experiments/{experiment}/runs/{shown['tracking_run']}"
    return RedirectResponse(page_origin(MLFLOW, visitor.context.port) + place, _SEE_OTHER)


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
        sees_all_traffic=visitor.caller.reach is None,
        origins=origins_of_endpoint(visitor, shown),
        may_stop=shown["desired"] == "run" and _may(visitor, Action.STOP, shown),
    )


@router.post("/endpoints/{name}/stop")
def stop_endpoint(name: str, visitor: VisitorDep) -> Response:
    """Ask an endpoint to stop serving, and show it."""
    endpoints.stop(name, visitor.context, visitor.caller, visitor.gateway)
    return RedirectResponse(f"/endpoints/{name}", _SEE_OTHER)


def _may(visitor: Visitor, action: Action, shown: Mapping[str, Any]) -> bool:
    kind = granted_as(shown["kind"])
    resource = Resource(kind=kind, team=shown["team"], name=shown["name"])
    return visitor.caller.may(action, resource)


def _as_it_is(shown: Mapping[str, Any]) -> Resource:
    """Return what is asked for the output, see `runs.require_output`."""
    return Resource(kind=shown["kind"], team=shown["team"], name=shown["name"])


def _belongs_to(shown: Mapping[str, Any]) -> dict[str, str] | None:
    """Return the page of what a run is only a part of."""
    if shown["kind"] in SERVED_KINDS:
        return {"kind": "endpoint", "link": f"/endpoints/{shown['name']}"}
    if shown["kind"] == "workspace":
        return {"kind": "workspace", "link": f"/workspaces/{shown['name']}"}
    return None


def _batch(visitor: Visitor, shown: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return how far a batch is, how its model runs, and what became of its output."""
    if shown["kind"] != "batch":
        return None
    found = batches.get(shown["id"], visitor.context, visitor.caller)["batch"]
    progress = found["progress"]
    share = min(100.0, 100 * progress["rows_done"] / progress["rows"]) if progress["rows"] else None
    form = _part(found["manifest"], "form")
    return {
        **found,
        "share": share,
        "form": _said(form.get("form")) or progress["form"],
        "why": _said(form.get("why")),
        "tolerance": _said(_part(form, "compared").get("tolerance")),
    }


def _part(told: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = told.get(name)
    return part if isinstance(part, dict) else {}


def _said(value: object) -> str | None:
    """Return what a run wrote of itself, where anything may stand, as text that can be shown."""
    return None if value is None else excerpt(value, _LONGEST)


def _candidates(plan: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the places that a plan looked at, the chosen one first."""
    chosen = [{**plan["chosen"], "is_chosen": True}] if plan["chosen"] else []
    return [*chosen, *({**each, "is_chosen": False} for each in plan["rejected"])]
