"""What runs: every kind of workload in one table, newest first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse

from plinth.api import endpoints, runs, workspaces
from plinth.api.console.spending import Spending
from plinth.api.console.visitor import Visitor, VisitorDep

router = APIRouter()

_MOST_RUNS = 300
_ENDED = frozenset({"succeeded", "failed", "stopped"})
# Their runs are shown as what they belong to.
_WITH_OWN_ROW = frozenset({"endpoint", "flow", "workspace"})


@router.get("/")
def overview(
    visitor: VisitorDep,
    *,
    kind: Annotated[str, Query(max_length=20)] = "",
    team: Annotated[str, Query(max_length=60)] = "",
    name: Annotated[str, Query(max_length=60)] = "",
    show: Annotated[str, Query(max_length=10)] = "active",
) -> HTMLResponse:
    """Show what runs; `show=all` adds what has ended."""
    rows = sorted(_rows(visitor), key=lambda row: str(row["created_at"]), reverse=True)
    shown = [
        row
        for row in rows
        if kind in ("", row["kind"])
        and team in ("", row["team"])
        and name.strip().lower() in row["name"]
        and (show == "all" or row["phase"] not in _ENDED)
    ]
    spending = Spending(visitor, shown)
    return visitor.show(
        "overview.html",
        rows=[{**row, "cost": spending.of(row)} for row in shown],
        hidden=len(rows) - len(shown),
        kinds=sorted({row["kind"] for row in rows}),
        teams=sorted({row["team"] for row in rows}),
        asked={"kind": kind, "team": team, "name": name, "show": show},
        counts=_counts(rows),
    )


def _rows(visitor: Visitor) -> Iterable[dict[str, Any]]:
    for endpoint in endpoints.list_all(visitor.context, visitor.caller, visitor.gateway):
        yield {
            **_shared(endpoint),
            "link": f"/endpoints/{endpoint['name']}",
            "phase": phase_of_endpoint(endpoint),
            "run": None,
        }
    for workspace in workspaces.list_all(visitor.context, visitor.caller):
        link = f"/workspaces/{workspace['name']}"
        by = {"created_by": workspace["owner"]}
        phase = workspace["phase"]
        yield {**_shared({**workspace, **by}), "link": link, "phase": phase, "run": None}
    found = runs.list_all(visitor.context, visitor.caller, limit=_MOST_RUNS)
    for run in found:
        if run["kind"] not in _WITH_OWN_ROW:
            link = f"/runs/{run['id']}"
            yield {**_shared(run), "link": link, "phase": run["phase"], "run": run["id"]}


def phase_of_endpoint(endpoint: Mapping[str, Any]) -> str:
    """Return how an endpoint stands, in the words that runs have."""
    if endpoint["ready"]:
        return "running"
    return "stopped" if endpoint["desired"] != "run" else "starting"


def _shared(shown: Mapping[str, Any]) -> dict[str, Any]:
    names = ("kind", "name", "team", "message", "created_at", "created_by")
    return {name: shown[name] for name in names}


def _counts(rows: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Return how many of each kind run now."""
    counts: dict[str, int] = {}
    for row in rows:
        if row["phase"] not in _ENDED:
            counts[row["kind"]] = counts.get(row["kind"], 0) + 1
    return dict(sorted(counts.items()))
