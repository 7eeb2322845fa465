"""The audit log: who did what, when, from where; rows are only ever added.

Whoever changes something adds the entry in the transaction of the change (decision 14).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from pydantic import Field
from sqlalchemy import ColumnElement, Connection, insert, or_, select

from plinth.domain.access import Principal
from plinth.domain.base import TEAM_LENGTH, Declared
from plinth.store import tables

LOCAL = "local"
Outcome = Literal["done", "denied"]

_LONGEST_DETAIL = 500
_CUT = "…"


class Entry(Declared):
    """One thing that was done, or refused.

    `subject` is `kind/name`, like `run/r_x` or `endpoint/delay`; `team` owns it, None: the
    platform. `origin` is the caller's address, or `local`. `detail` holds what changed as JSON:
    never a secret, never a payload.
    """

    at: datetime
    principal: Principal
    key: str | None = None
    team: str | None = None
    action: str
    subject: str
    outcome: Outcome = "done"
    detail: Mapping[str, Any] = Field(default_factory=dict)
    origin: str = LOCAL
    request_id: str | None = None


class StoredEntry(Declared):
    """An entry as it stands in the log. `id` grows with every entry."""

    id: int
    at: datetime
    principal: str
    name: str
    key: str | None
    team: str | None
    action: str
    subject: str
    outcome: str
    detail: dict[str, Any]
    origin: str
    request_id: str | None


class Filter(Declared):
    """Which entries are wanted; None asks for no such thing.

    `teams`: of these teams only; None also those of the platform. `principal`: an id or a name.
    `before_id`: only older ones.
    """

    since: datetime | None = None
    until: datetime | None = None
    principal: str | None = None
    teams: tuple[str, ...] | None = None
    action: str | None = None
    subject: str | None = None
    outcome: Outcome | None = None
    before_id: int | None = None


def add_entry(connection: Connection, entry: Entry) -> None:
    """Write an entry, in the transaction of what it tells of.

    What a caller wrote is cut to the column's length, so that no name keeps an entry out.
    """
    connection.execute(
        insert(tables.audit).values(
            at=entry.at,
            principal=_cut(entry.principal.id, 12),
            name=_cut(entry.principal.name, 80),
            key=_cut(entry.key, 12),
            team=_cut(entry.team, TEAM_LENGTH),
            action=_cut(entry.action, 20),
            subject=_cut(entry.subject, 100),
            outcome=entry.outcome,
            detail={name: _short(value) for name, value in entry.detail.items()},
            origin=_cut(entry.origin, 60),
            request_id=_cut(entry.request_id, 40),
        )
    )


def list_entries(
    connection: Connection, wanted: Filter | None = None, *, limit: int
) -> list[StoredEntry]:
    """Return the newest `limit` entries that fit, the newest last."""
    table = tables.audit
    rows = connection.execute(
        select(table)
        .where(*_conditions(wanted or Filter()))
        .order_by(table.c.id.desc())
        .limit(limit)
    ).all()
    return [StoredEntry(**row._mapping) for row in reversed(rows)]


def _conditions(wanted: Filter) -> Sequence[ColumnElement[bool]]:
    table = tables.audit
    found: list[ColumnElement[bool]] = []
    if wanted.since is not None:
        found.append(table.c.at >= wanted.since)
    if wanted.until is not None:
        found.append(table.c.at < wanted.until)
    if wanted.principal is not None:
        found.append(or_(table.c.principal == wanted.principal, table.c.name == wanted.principal))
    if wanted.teams is not None:
        found.append(table.c.team.in_(wanted.teams))
    if wanted.action is not None:
        found.append(table.c.action == wanted.action)
    if wanted.subject is not None:
        found.append(table.c.subject == wanted.subject)
    if wanted.outcome is not None:
        found.append(table.c.outcome == wanted.outcome)
    if wanted.before_id is not None:
        found.append(table.c.id < wanted.before_id)
    return found


def _cut(text: str | None, longest: int) -> str | None:
    if text is None:
        return None
    # PostgreSQL keeps no zero byte in a text.
    text = text.replace("\x00", "?")
    return text if len(text) <= longest else text[: longest - 1] + _CUT


def _short(value: Any) -> Any:
    return _cut(value, _LONGEST_DETAIL) if isinstance(value, str) else value
