"""What was used and what it costs, by team and workload."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from decimal import Decimal
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse

from plinth.api import bill
from plinth.api.console.rendering import counted, number
from plinth.api.console.visitor import VisitorDep
from plinth.control.bill import make_bill, parse_query
from plinth.domain.access import Action, Resource

router = APIRouter()

# Of each team, beside one line for the others: as many as a person reads.
_MOST = 25
_ALL = "all"

Moment = Annotated[str, Query(max_length=40)]


@router.get("/costs")
def costs(
    visitor: VisitorDep, *, since: Moment = "", until: Moment = "", show: Moment = ""
) -> HTMLResponse:
    """Show the bill of a time, this month if none is said, by team and workload.

    `show=all`: every workload by itself.
    """
    now, caller = visitor.context.clock.now(), visitor.caller
    query = parse_query(
        since=since or None, until=until or None, by="team,workload", team=None, now=now
    )
    if show != _ALL:
        query = replace(query, most=_MOST)
    made = make_bill(
        visitor.context,
        visitor.parts.metering,
        query,
        lambda name: caller.may(Action.READ, Resource(kind="usage", team=name)),
    )
    shown = bill.describe(made)
    return visitor.show(
        "costs.html",
        bill=shown,
        teams=_teams(shown["lines"]),
        others=made.others,
        asked={"since": since, "until": until},
        everything=urlencode({"since": since, "until": until, "show": _ALL}),
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
                # What is many workloads' stands behind those that have a line each.
                for each in sorted(group, key=lambda line: (not line["workload"], -_exact(line)))
            ],
        }
        for (team, currency), group in sorted(groups.items(), key=lambda item: -sums[item[0]])
    ]


def _used(parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return how much of each unit was used: a line has a part for each price and time."""
    found: defaultdict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for part in parts:
        found[(part["fine_unit"], part["why_unpriced"] or "")].append(part)
    return [
        {
            **_quantity(group),
            "estimated": any(part["estimated"] for part in group),
            "why": why,
        }
        for (_, why), group in found.items()
    ]


def _quantity(parts: list[dict[str, Any]]) -> dict[str, str]:
    """Return how much that is: requests and tokens one by one, as `plinth usage` counts them.

    Of hours, what is less than one is shown in seconds.
    """
    first = parts[0]
    unit, is_time = first["fine_unit"], first["fine_unit"].endswith("second")
    used = sum((Decimal(part["fine_quantity"]) for part in parts), Decimal(0))
    shown = counted(number(used), unit)
    if is_time and used >= first["fine_units"]:
        shown = counted(number(used / first["fine_units"]), first["unit"])
    return {"shown": shown, "exact": counted(f"{used:,f}", unit)}


def _exact(line: dict[str, Any]) -> Decimal:
    return Decimal(line["exact"] or 0)
