"""Leases: rows that are due are taken by one reconciler at a time, each under a token."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Table,
    and_,
    case,
    literal,
    or_,
    select,
    update,
)

from plinth.kit.ids import new_id
from plinth.store.tables import Utc

# No lease and no wait is this long: a time further ahead was written before the clock was set back.
FARTHEST = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to change one row until its lease ends: the row's key and the token."""

    key: str
    token: str


def any_due(
    connection: Connection, table: Table, now: datetime, skip: Collection[str] = ()
) -> bool:
    """Tell whether `claim_due` would find a row."""
    rows = select(_identity(table)).where(_is_due(table, now, skip)).limit(1)
    return connection.execute(rows).first() is not None


def claim_due(
    connection: Connection,
    table: Table,
    *,
    now: datetime,
    lease_s: float,
    limit: int,
    skip: Collection[str] = (),
) -> list[Claim]:
    """Take up to `limit` rows that are due, or whose holder let its lease end; none in `skip`.

    A claimed row is due when its lease ends; a hint that comes in between changes that, which is
    how `apply_leased` sees it.
    """
    identity = _identity(table)
    rows = select(identity).where(_is_due(table, now, skip)).order_by(table.c.due_at).limit(limit)
    claims = [Claim(str(key), new_id("l_")) for key in connection.execute(rows).scalars()]
    until = now + timedelta(seconds=lease_s)
    for claim in claims:
        connection.execute(
            update(table)
            .where(identity == claim.key)
            .values(lease_token=claim.token, lease_until=until, due_at=until)
        )
    return claims


def apply_leased(
    connection: Connection,
    table: Table,
    claim: Claim,
    changes: Mapping[str, Any],
    due_at: datetime | None,
) -> bool:
    """Write `changes` and give the lease back; False when the lease is another's by now.

    `due_at`: when to look again, None for not until a hint. A hint that came meanwhile wins.
    """
    was_hinted = table.c.due_at != table.c.lease_until
    result = connection.execute(
        update(table)
        .where(_identity(table) == claim.key, table.c.lease_token == claim.token)
        .values(
            **changes,
            due_at=case((was_hinted, table.c.due_at), else_=literal(due_at, Utc)),
            lease_token=None,
            lease_until=None,
        )
    )
    return result.rowcount == 1


def due_now(table: Table, now: datetime) -> ColumnElement[Any]:
    """Return the `due_at` that makes a row due now, whoever holds it: what a hint writes.

    Who holds the row keeps the lease, and the row is due again after it.
    """
    # Only an unhinted row is due at the very moment when its lease ends.
    just_before = literal(now - timedelta(microseconds=1), Utc)
    return case((table.c.lease_until == now, just_before), else_=literal(now, Utc))


def release_all(connection: Connection, table: Table, now: datetime) -> None:
    """Free every lease; only for the one control plane of a node, as it starts."""
    connection.execute(
        update(table)
        .where(table.c.lease_token.is_not(None))
        .values(lease_token=None, lease_until=None, due_at=now)
    )


def _is_due(table: Table, now: datetime, skip: Collection[str]) -> ColumnElement[bool]:
    farthest = now + FARTHEST
    due, until = table.c.due_at, table.c.lease_until
    is_due = and_(
        # Lets SQLite use the index, which has only the rows that anybody waits for.
        due.is_not(None),
        or_(due <= now, due > farthest),
        or_(until.is_(None), until < now, until > farthest),
    )
    return and_(is_due, _identity(table).not_in(skip)) if skip else is_due


def _identity(table: Table) -> ColumnElement[Any]:
    (identity,) = table.primary_key
    return identity
