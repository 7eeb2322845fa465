"""What each workload has cost so far, for pages that show many of them at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from plinth.api.console.visitor import Visitor
from plinth.control.spending import Wanted, costs_of
from plinth.domain.access import Action, Resource
from plinth.domain.workload import SERVED_KINDS, granted_as


class Spending:
    """The costs of these rows, each from its creation until now.

    A row is what pages show: `kind`, `name`, `team`, `created_at`, and `run` where it is a run.
    """

    def __init__(self, visitor: Visitor, rows: Iterable[Mapping[str, Any]]) -> None:
        runs, workloads, served = {}, {}, {}
        for row in rows:
            begins = datetime.fromisoformat(row["created_at"])
            if not row["run"]:
                workloads[_workload(row)] = begins
            elif row["kind"] in SERVED_KINDS:
                served[row["run"]] = (_workload(row), begins)
            else:
                runs[row["run"]] = begins
        wanted = Wanted(runs, workloads, served)

        def sees(team: str) -> bool:
            return visitor.caller.may(Action.READ, Resource(kind="usage", team=team))

        self._costs = costs_of(visitor.context, visitor.parts.metering, wanted, sees)

    def of(self, row: Mapping[str, Any]) -> dict[str, str] | None:
        """Return what a row cost, in the currency of which it is the most; None: nobody knows."""
        # Who calls an endpoint is charged for it, so its usage is not all of its own team.
        found = self._costs.get(row["run"] or _workload(row))
        if found is None:
            return None
        return {"exact": f"{found.amount:f}", "currency": found.currency}


def _workload(row: Mapping[str, Any]) -> str:
    return f"{granted_as(row['kind'])}/{row['name']}"
