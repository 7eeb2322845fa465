"""Runs as lists show them: without their plans, however many there are.

Called by whoever shows many runs at once. A run is read as a whole in `runs.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, func, select

from plinth.domain.access import Reach
from plinth.domain.base import Declared
from plinth.domain.run import ACTIVE, Phase
from plinth.domain.workload import ENDING_KINDS
from plinth.store import tables
from plinth.store.runs import is_within


class RunLine(Declared):
    """One run of a kind that ends: a job, a batch and their like."""

    id: str
    kind: str
    name: str
    team: str
    phase: Phase
    message: str
    created_at: datetime
    created_by: str


class LineQuery(Declared):
    """Which runs: of a kind, a team, with a text in their name, of what somebody reaches.

    Empty: any. `active`: those that have not ended, or those that have; None: both.
    """

    kind: str = ""
    team: str = ""
    name: str = ""
    reach: Reach | None = None
    active: bool | None = None


class LineCount(Declared):
    """How many runs there are of one kind and team that have not ended, or have."""

    kind: str
    team: str
    is_active: bool
    number: int


def list_lines(connection: Connection, query: LineQuery, limit: int) -> list[RunLine]:
    """Return the newest `limit` of these runs, newest first."""
    table = tables.run
    columns = [table.c[name] for name in RunLine.model_fields]
    asked = select(*columns).where(*_conditions(query))
    rows = connection.execute(asked.order_by(table.c.created_at.desc(), table.c.id).limit(limit))
    return [RunLine(**row._mapping) for row in rows]


def count_lines(connection: Connection, query: LineQuery) -> list[LineCount]:
    """Return how many of these runs there are, by kind and team."""
    table = tables.run
    columns = (table.c.kind, table.c.team, table.c.phase)
    rows = connection.execute(
        select(*columns, func.count().label("number")).where(*_conditions(query)).group_by(*columns)
    )
    counted: dict[tuple[str, str, bool], int] = {}
    for row in rows:
        key = (row.kind, row.team, row.phase in ACTIVE)
        counted[key] = counted.get(key, 0) + row.number
    return [
        LineCount(kind=kind, team=team, is_active=is_active, number=number)
        for (kind, team, is_active), number in sorted(counted.items())
    ]


def _conditions(query: LineQuery) -> Iterable[ColumnElement[bool]]:
    table = tables.run
    yield table.c.deleted_at.is_(None)
    yield table.c.kind == query.kind if query.kind else table.c.kind.in_(ENDING_KINDS)
    if query.kind:
        yield table.c.kind.in_(ENDING_KINDS)
    if query.team:
        yield table.c.team == query.team
    if query.name:
        yield func.lower(table.c.name).contains(query.name.lower(), autoescape=True)
    if query.reach is not None:
        yield is_within(query.reach)
    if query.active is not None:
        phases = table.c.phase.in_(ACTIVE)
        yield phases if query.active else ~phases
