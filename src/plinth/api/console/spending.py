"""What each workload has cost so far, for pages that show many of them at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from plinth.api.console.visitor import Visitor
from plinth.control.bill import BillQuery, make_bill
from plinth.domain.access import Action, Resource
from plinth.metering.bill import Group

_SLACK = timedelta(hours=1)
_ZERO = Decimal(0)


class Spending:
    """The costs of these rows, from the beginning of the oldest one until now.

    A row is what pages show: `kind`, `name`, `team`, `created_at`, and `run` where it is a run.
    """

    def __init__(self, visitor: Visitor, rows: Iterable[Mapping[str, Any]]) -> None:
        begins = [datetime.fromisoformat(row["created_at"]) for row in rows]
        self._runs: dict[str | None, dict[str, Decimal]] = defaultdict(dict)
        self._workloads: dict[str | None, dict[str, Decimal]] = defaultdict(dict)
        if begins:
            self._add(visitor, min(begins) - _SLACK)

    def of(self, row: Mapping[str, Any]) -> dict[str, str] | None:
        """Return what a row cost, in the currency of which it is the most; None: nobody knows."""
        # Who calls an endpoint is charged for it, so its usage is not all of its own team.
        # A flow is an endpoint to who measures.
        kind = "endpoint" if row["kind"] == "flow" else row["kind"]
        workload = f"{kind}/{row['name']}"
        found = self._runs.get(row["run"]) if row["run"] else self._workloads.get(workload)
        if not found:
            return None
        currency = max(found, key=lambda each: found[each])
        return {"exact": f"{found[currency]:f}", "currency": currency}

    def _add(self, visitor: Visitor, since: datetime) -> None:
        def sees(team: str) -> bool:
            return visitor.caller.may(Action.READ, Resource(kind="usage", team=team))

        by = (Group.WORKLOAD, Group.RUN)
        now = visitor.context.clock.now()
        query = BillQuery(since, now, by, is_until_now=True)
        for line in make_bill(visitor.context, visitor.parts.metering, query, sees).lines:
            if line.cost is None:
                continue
            workload, run = line.key
            amount, currency = line.cost.amount, line.cost.currency
            for sums in (self._runs[run], self._workloads[workload]):
                sums[currency] = sums.get(currency, _ZERO) + amount
