"""What runs: every kind of workload in one table, newest first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse

from plinth.api import endpoints, workspaces
from plinth.api.console.spending import Spending
from plinth.api.console.visitor import Visitor, VisitorDep
from plinth.domain.access import Action, Resource
from plinth.domain.run import FINAL
from plinth.store.run_lines import LineCount, LineQuery, RunLine, count_lines, list_lines

router = APIRouter()

# Of what has ended; what runs is shown whatever its age.
_MOST_ENDED = 200
_MOST_ACTIVE = 1000
_ALL = "all"
# PostgreSQL takes no text with a NUL in it, and nothing has such a name.
_TEXT = r"^[^\x00]*$"
# Reasons for which an endpoint does not answer until somebody acts.
_FAILED = frozenset({"DeploymentFailed", "NotServing"})


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the person chose to see."""

    kind: str
    team: str
    name: str
    show: str

    def has(self, row: Mapping[str, Any]) -> bool:
        """Tell whether a row that is no run is among it."""
        return (
            self.kind in ("", row["kind"])
            and self.team in ("", row["team"])
            and self.name.strip().lower() in row["name"]
            and (self.show == _ALL or not row["is_over"])
        )


@router.get("/")
def overview(
    visitor: VisitorDep,
    *,
    kind: Annotated[str, Query(max_length=20, pattern=_TEXT)] = "",
    team: Annotated[str, Query(max_length=60, pattern=_TEXT)] = "",
    name: Annotated[str, Query(max_length=60, pattern=_TEXT)] = "",
    show: Annotated[str, Query(max_length=10)] = "active",
) -> HTMLResponse:
    """Show what runs; `show=all` adds what has ended."""
    asked = _Asked(kind, team, name, show)
    named = list(_named(visitor))
    runs, counted, chosen = _runs(visitor, asked)
    shown = [*(row for row in named if asked.has(row)), *runs]
    shown.sort(key=lambda row: str(row["created_at"]), reverse=True)
    of_runs = sum(each.number for each in counted)
    spending = Spending(visitor, shown)
    return visitor.show(
        "overview.html",
        rows=[{**row, "cost": spending.of(row)} for row in shown],
        hidden=len(named) + of_runs - len(shown),
        older=chosen - len(runs),
        kinds=sorted({row["kind"] for row in named} | {each.kind for each in counted}),
        teams=sorted({row["team"] for row in named} | {each.team for each in counted}),
        asked={"kind": kind, "team": team, "name": name, "show": show},
        counts=_counts(named, counted),
    )


def _named(visitor: Visitor) -> Iterable[dict[str, Any]]:
    """Give what has a name and stays: endpoints, flows and workspaces; not their runs."""
    for endpoint in endpoints.list_all(visitor.context, visitor.caller, visitor.gateway):
        found = [one["workers"] for one in endpoint["deployments"].values()]
        said = "; ".join(each["words"] for each in found if each)
        phase = phase_of_endpoint(endpoint)
        yield {
            **_shared({**endpoint, "message": said or endpoint["message"]}),
            "link": f"/endpoints/{endpoint['name']}",
            "phase": phase,
            # One that failed is to serve, and somebody has to look.
            "is_over": phase == "stopped",
            "run": None,
        }
    for workspace in workspaces.list_all(visitor.context, visitor.caller):
        yield {
            **_shared({**workspace, "created_by": workspace["owner"]}),
            "link": f"/workspaces/{workspace['name']}",
            "phase": workspace["phase"],
            "is_over": workspace["phase"] in FINAL,
            "run": None,
        }


def _runs(visitor: Visitor, asked: _Asked) -> tuple[list[dict[str, Any]], list[LineCount], int]:
    """Return the runs to show, how many there are of all, and how many match what was asked."""
    reach = visitor.caller.reach
    is_all = asked.show == _ALL
    query = LineQuery(kind=asked.kind, team=asked.team, name=asked.name.strip(), reach=reach)
    active, ended = (query.model_copy(update={"active": each}) for each in (True, False))
    with visitor.context.database.read() as connection:
        counted = count_lines(connection, LineQuery(reach=reach))
        matching = count_lines(connection, query if is_all else active)
        found = list_lines(connection, active, _MOST_ACTIVE)
        if is_all:
            found += list_lines(connection, ended, _MOST_ENDED)
    return (
        [_row(each) for each in found if visitor.caller.may(Action.READ, _resource(each))],
        counted,
        sum(each.number for each in matching),
    )


def _row(line: RunLine) -> dict[str, Any]:
    shown = line.model_dump(mode="json")
    return {**_shared(shown), "link": f"/runs/{line.id}", "phase": shown["phase"], "run": line.id}


def _resource(line: RunLine) -> Resource:
    return Resource(kind=line.kind, team=line.team, name=line.name)


def phase_of_endpoint(endpoint: Mapping[str, Any]) -> str:
    """Return how an endpoint stands, in the words that runs have."""
    if endpoint["ready"]:
        return "running"
    if endpoint["desired"] != "run":
        return "stopped" if endpoint["reason"] == "Stopped" else "stopping"
    return "failed" if endpoint["reason"] in _FAILED else "starting"


def _shared(shown: Mapping[str, Any]) -> dict[str, Any]:
    names = ("kind", "name", "team", "message", "created_at", "created_by")
    return {name: shown[name] for name in names}


def _counts(named: Iterable[Mapping[str, Any]], runs: Iterable[LineCount]) -> dict[str, int]:
    """Return how many of each kind run now."""
    counts = Counter(row["kind"] for row in named if not row["is_over"])
    for each in runs:
        if each.is_active:
            counts[each.kind] += each.number
    return dict(sorted(counts.items()))
