"""Endpoints: a stable name, the run that serves it, and the run that is to serve next."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from plinth.domain.base import Declared
from plinth.store import tables
from plinth.store.events import delete_events
from plinth.store.leases import by_now, due_now


class StoredEndpoint(Declared):
    """An endpoint's intent and which runs stand behind it.

    `desired`: `run`, `stop` (keep the name, run nothing) or `delete`.
    """

    name: str
    team: str
    desired: str = "run"
    serving: str | None = None
    next: str | None = None
    reason: str = "Accepted"
    message: str = "accepted"
    created_at: datetime
    created_by: str
    updated_at: datetime


def add_endpoint(connection: Connection, endpoint: StoredEndpoint) -> None:
    """Add an endpoint; it is due at once."""
    connection.execute(
        insert(tables.endpoint).values(
            **endpoint.model_dump(), due_at=by_now(connection, endpoint.created_at)
        )
    )


def find_endpoint(connection: Connection, name: str) -> StoredEndpoint | None:
    """Return the endpoint, or None."""
    row = connection.execute(
        select(tables.endpoint).where(tables.endpoint.c.name == name)
    ).one_or_none()
    return _endpoint(row) if row else None


def list_endpoints(connection: Connection) -> list[StoredEndpoint]:
    """Return all endpoints by name."""
    rows = connection.execute(select(tables.endpoint).order_by(tables.endpoint.c.name))
    return [_endpoint(row) for row in rows]


def want(
    connection: Connection, name: str, *, desired: str, next_run: str | None, now: datetime
) -> None:
    """Change the intent; `next_run` replaces a run that was to serve next."""
    connection.execute(
        update(tables.endpoint)
        .where(tables.endpoint.c.name == name)
        .values(
            desired=desired,
            next=next_run,
            updated_at=now,
            due_at=due_now(connection, tables.endpoint, now),
        )
    )


def delete_endpoint(connection: Connection, name: str) -> None:
    """Delete the row and its events; its runs were deleted before."""
    connection.execute(delete(tables.endpoint).where(tables.endpoint.c.name == name))
    delete_events(connection, f"endpoint/{name}")


def _endpoint(row: Row[Any]) -> StoredEndpoint:
    return StoredEndpoint(**{name: row._mapping[name] for name in StoredEndpoint.model_fields})
