"""Duties: what one control plane at a time does for all, such as telling the gateway its routes.

`now` is always the time of `Database.now`. `control/duties.py` says what a holder must mind.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, or_, select
from sqlalchemy.dialects import postgresql, sqlite

from plinth.domain.base import Declared
from plinth.store import tables
from plinth.store.leases import FARTHEST, Holder


class StoredDuty(Declared):
    """Who does a duty, and until when if it is not taken again. `holder`: a Holder as text."""

    name: str
    holder: str
    until: datetime


def take_duty(
    connection: Connection, name: str, holder: Holder, *, now: datetime, lease_s: float
) -> bool:
    """Take a duty that is free or one's own, for `lease_s`; False while it is another's.

    One statement, so that of several who take it at once one gets it.
    """
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    table = tables.duty
    values = {"holder": str(holder), "until": now + timedelta(seconds=lease_s)}
    is_free = or_(
        table.c.holder == str(holder),
        table.c.until < now,
        # Written before the clock was set back.
        table.c.until > now + FARTHEST,
    )
    taken = connection.execute(
        insert(table)
        .values(name=name, **values)
        .on_conflict_do_update(index_elements=[table.c.name], set_=values, where=is_free)
        .execution_options(preserve_rowcount=True)
    )
    return taken.rowcount == 1


def release_duties(connection: Connection, holder: Holder) -> None:
    """Free the duties of every life of this control plane; no other's."""
    table = tables.duty
    connection.execute(
        delete(table).where(table.c.holder.startswith(f"{holder.name}.", autoescape=True))
    )


def list_duties(connection: Connection) -> list[StoredDuty]:
    """Return all duties by name, also those whose holder let them go."""
    rows = connection.execute(select(tables.duty).order_by(tables.duty.c.name))
    return [StoredDuty(**row._mapping) for row in rows]
