"""What was used and what it costs, by team and workload."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse

from plinth.api import bill
from plinth.api.console.visitor import VisitorDep

router = APIRouter()

Moment = Annotated[str, Query(max_length=40)]


@router.get("/costs")
def costs(
    request: Request, visitor: VisitorDep, *, since: Moment = "", until: Moment = ""
) -> HTMLResponse:
    """Show the bill of a time, this month if none is said, by team and workload."""
    made = bill.bill(
        request,
        visitor.context,
        visitor.caller,
        since=since or None,
        until=until or None,
        by="team,workload",
    )
    return visitor.show(
        "costs.html", bill=made, teams=_teams(made["lines"]), asked={"since": since, "until": until}
    )


def _teams(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return for each team and currency its sum, its share of all, and its lines."""
    groups: defaultdict[tuple[str, str | None], list[dict[str, Any]]] = defaultdict(list)
    for each in lines:
        groups[(each["team"], each["currency"])].append(each)
    sums = {key: sum(_exact(each) for each in group) for key, group in groups.items()}
    totals: defaultdict[str | None, Decimal] = defaultdict(Decimal)
    for (_, currency), amount in sums.items():
        totals[currency] += amount
    return [
        {
            "team": team,
            "currency": currency,
            "exact": None if currency is None else f"{sums[(team, currency)]:f}",
            "share": float(100 * sums[(team, currency)] / (totals[currency] or 1)),
            "lines": [
                {**each, "used": _used(each["parts"])}
                for each in sorted(group, key=_exact, reverse=True)
            ],
        }
        for (team, currency), group in sorted(groups.items(), key=lambda item: -sums[item[0]])
    ]


def _used(parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return how much of each unit was used: a line has a part for each price and time."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for part in parts:
        key = (part["unit"], part["why_unpriced"] or "")
        one = found.setdefault(
            key, {"quantity": Decimal(0), "unit": part["unit"], "estimated": False, "why": key[1]}
        )
        one["quantity"] += Decimal(part["quantity"])
        one["estimated"] = one["estimated"] or part["estimated"]
    return list(found.values())


def _exact(line: dict[str, Any]) -> Decimal:
    return Decimal(line["exact"] or 0)
