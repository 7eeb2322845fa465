"""What happened to a run or an endpoint: each change of phase or reason, once."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, delete, insert, select

from plinth.domain.base import Declared
from plinth.store import tables

MESSAGE_LENGTH = 2000


class Event(Declared):
    """One change: when, to which phase, and why."""

    at: datetime
    phase: str
    reason: str
    message: str


def clipped(text: str) -> str:
    """Return the text as a column for messages takes it: PostgreSQL holds both rules."""
    return text[:MESSAGE_LENGTH].replace("\0", "?")


def add_event(connection: Connection, subject: str, event: Event) -> None:
    """Write down a change of `subject` (`run/ID` or `endpoint/NAME`)."""
    connection.execute(
        insert(tables.event).values(
            subject=subject,
            at=event.at,
            phase=event.phase,
            reason=event.reason,
            message=clipped(event.message),
        )
    )


def list_events(connection: Connection, subject: str) -> list[Event]:
    """Return a subject's events, oldest first."""
    table = tables.event
    rows = connection.execute(
        select(table.c.at, table.c.phase, table.c.reason, table.c.message)
        .where(table.c.subject == subject)
        .order_by(table.c.id)
    )
    return [Event(**row._mapping) for row in rows]


def delete_events(connection: Connection, subject: str) -> None:
    """Forget a subject's events, when the subject goes."""
    connection.execute(delete(tables.event).where(tables.event.c.subject == subject))
