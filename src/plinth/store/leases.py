"""Leases: rows that are due are taken by one reconciler at a time, each under a token.

Docs: docs/explanation/leases.md. `now` is always the time of `Database.now`.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    Integer,
    Interval,
    Select,
    Table,
    Update,
    and_,
    bindparam,
    case,
    func,
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
class Holder:
    """One life of a control plane. `name` stays the same in its next one, `life` is new."""

    name: str
    life: str

    @classmethod
    def begin(cls, name: str) -> Holder:
        """Return a new life of the control plane `name` (at most 21 characters)."""
        return cls(name, new_id("", 6))

    def __str__(self) -> str:
        return f"{self.name}.{self.life}"


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to change one row until its lease ends: the row's key and the token.

    `valid_until`: when it ends at the latest, in `Clock.since_boot_s()` of the claimer's machine.
    What is told to others beyond the database is valid until then and no longer.
    """

    key: str
    token: str
    valid_until: float = math.inf


def any_due(
    connection: Connection, table: Table, now: datetime, skip: Collection[str] = ()
) -> bool:
    """Tell whether `claim_due` would find a row."""
    values: dict[str, Any] = {"now": now, "farthest": now + FARTHEST}
    if skip:
        values["skip"] = list(skip)
    return connection.execute(_any_due(table, skips=bool(skip)), values).first() is not None


def claim_due(
    connection: Connection,
    table: Table,
    *,
    holder: Holder,
    now: datetime,
    lease_s: float,
    limit: int,
    skip: Collection[str] = (),
) -> list[Claim]:
    """Take up to `limit` rows that are due, or whose holder let its lease end; none in `skip`.

    A claimed row is due when its lease ends; a hint that comes in between changes that, which is
    how `apply_leased` sees it. Rows that another is claiming at this moment are passed over.
    """
    values: dict[str, Any] = {"now": now, "farthest": now + FARTHEST, "most": limit}
    if skip:
        values["skip"] = list(skip)
    keys = connection.execute(_all_due(table, skips=bool(skip)), values).scalars().all()
    claims = [Claim(str(key), new_id(f"{holder}.")) for key in keys]
    until = now + timedelta(seconds=lease_s)
    for claim in claims:
        taken = {"of_key": claim.key, "new_token": claim.token, "new_until": until}
        connection.execute(_take(table), taken)
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


def due_now(connection: Connection, table: Table, now: datetime) -> ColumnElement[Any]:
    """Return the `due_at` that makes a row due now, whoever holds it: what a hint writes.

    Who holds the row keeps the lease, and the row is due again after it. `now`: this machine's.
    """
    at = by_now(connection, now)
    # Only an unhinted row is due at the very moment when its lease ends.
    just_before = by_now(connection, now - timedelta(microseconds=1))
    if connection.dialect.name == "postgresql":
        just_before = at - literal(timedelta(microseconds=1), Interval)
    return case((table.c.lease_until == at, just_before), else_=at)


def by_now(connection: Connection, now: datetime) -> ColumnElement[Any]:
    """Return `now`, this machine's, but no later than the database's own time where it has one.

    Else a row of a machine whose clock is ahead would be due late for the others.
    """
    mine = literal(now, Utc)
    if connection.dialect.name != "postgresql":
        return mine
    return func.least(mine, func.statement_timestamp(), type_=Utc)


def release_all(connection: Connection, table: Table, now: datetime, holder: Holder) -> None:
    """Free the leases of every life of this control plane, as a new one starts; no other's."""
    connection.execute(
        update(table)
        .where(table.c.lease_token.startswith(f"{holder.name}.", autoescape=True))
        .values(lease_token=None, lease_until=None, due_at=now)
    )


def release_unheld(
    connection: Connection, table: Table, now: datetime, holder: Holder, held: Collection[str]
) -> None:
    """Free the leases of this life that it knows nothing of: all but those of the keys in `held`.

    Whoever asks the database to take rows, and hears nothing of it, may have taken them.
    """
    connection.execute(
        update(table)
        .where(
            table.c.lease_token.startswith(f"{holder}.", autoescape=True),
            _identity(table).not_in(held),
        )
        .values(lease_token=None, lease_until=None, due_at=now)
    )


def rouse_all(connection: Connection, table: Table, now: datetime) -> None:
    """Make every row due that waits for a time ahead: the clock it was reckoned by was set back."""
    connection.execute(
        update(table).where(table.c.lease_token.is_(None), table.c.due_at > now).values(due_at=now)
    )


@cache
def _any_due(table: Table, *, skips: bool) -> Select[Any]:
    # Kept: it is asked of each table five times a second, and making it takes longer than asking.
    return select(_identity(table)).where(_is_due(table, skips=skips)).limit(1)


@cache
def _all_due(table: Table, *, skips: bool) -> Select[Any]:
    rows = select(_identity(table)).where(_is_due(table, skips=skips)).order_by(table.c.due_at)
    return rows.limit(bindparam("most", type_=Integer())).with_for_update(skip_locked=True)


@cache
def _take(table: Table) -> Update:
    until = bindparam("new_until", type_=Utc())
    return (
        update(table)
        .where(_identity(table) == bindparam("of_key"))
        .values(lease_token=bindparam("new_token"), lease_until=until, due_at=until)
    )


def _is_due(table: Table, *, skips: bool) -> ColumnElement[bool]:
    """Return what may be claimed, by the parameters `now`, `farthest` and, if asked, `skip`."""
    now, farthest = bindparam("now", type_=Utc()), bindparam("farthest", type_=Utc())
    skip: BindParameter[Any] | None = bindparam("skip", expanding=True) if skips else None
    due, until = table.c.due_at, table.c.lease_until
    is_due = and_(
        # Lets SQLite use the index, which has only the rows that anybody waits for.
        due.is_not(None),
        or_(due <= now, due > farthest),
        or_(until.is_(None), until < now, until > farthest),
    )
    return is_due if skip is None else and_(is_due, _identity(table).not_in(skip))


def _identity(table: Table) -> ColumnElement[Any]:
    (identity,) = table.primary_key
    return identity
