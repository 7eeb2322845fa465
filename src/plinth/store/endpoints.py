"""Endpoints: a stable name, the file, and which runs serve its deployments or are to."""

from __future__ import annotations

import json
from datetime import datetime
from functools import lru_cache
from typing import Any

from pydantic import Field
from sqlalchemy import Connection, Row, String, cast, delete, insert, select, update

from plinth.domain.base import STORED, Declared
from plinth.domain.workload import SERVED, Served
from plinth.kit.ids import digest_of
from plinth.store import tables
from plinth.store.events import delete_events
from plinth.store.leases import by_now, due_now

_VERSION_LENGTH = 12
_FILES = ("workload", "before")


class StoredEndpoint(Declared):
    """An endpoint's intent and which runs stand behind it.

    `desired`: `run`, `stop` (keep the name, run nothing) or `delete`. `serving`, `next`: runs by
    the name of their deployment; what is external is in neither. `before`: the file whose traffic
    holds while nothing that the new one sends requests to is ready.
    """

    name: str
    team: str
    workload: Served
    before: Served | None = None
    desired: str = "run"
    serving: dict[str, str] = Field(default_factory=dict)
    next: dict[str, str] = Field(default_factory=dict)
    reason: str = "Accepted"
    message: str = "accepted"
    created_at: datetime
    created_by: str
    updated_at: datetime

    @property
    def version(self) -> str:
        """Names the file's content: equal files have equal versions."""
        return digest_of(self.workload.model_dump_json().encode())[:_VERSION_LENGTH]


def add_endpoint(connection: Connection, endpoint: StoredEndpoint) -> None:
    """Add an endpoint; it is due at once."""
    values = endpoint.model_dump(exclude={"workload", "before"})
    connection.execute(
        insert(tables.endpoint).values(
            **values,
            workload=file_json(endpoint.workload),
            before=None if endpoint.before is None else file_json(endpoint.before),
            due_at=by_now(connection, endpoint.created_at),
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
    table = tables.endpoint
    others = [column for column in table.c if column.name not in _FILES]
    texts = [cast(table.c[name], String).label(name) for name in _FILES]
    found = []
    for row in connection.execute(select(*others, *texts).order_by(table.c.name)):
        fields = dict(row._mapping)
        files = {name: _file_of(fields[name]) for name in _FILES}
        found.append(_stored(fields | files))
    return found


def want(connection: Connection, name: str, *, desired: str, now: datetime, **columns: Any) -> None:
    """Change the intent; `columns`: what is new of `workload`, `before`, `serving` and `next`."""
    connection.execute(
        update(tables.endpoint)
        .where(tables.endpoint.c.name == name)
        .values(
            desired=desired,
            updated_at=now,
            due_at=due_now(connection, tables.endpoint, now),
            **columns,
        )
    )


def delete_endpoint(connection: Connection, name: str) -> None:
    """Delete the row and its events; its runs were deleted before."""
    connection.execute(delete(tables.endpoint).where(tables.endpoint.c.name == name))
    delete_events(connection, f"endpoint/{name}")


def file_json(workload: Served) -> dict[str, Any]:
    """Return a file as its column keeps it.

    A size that was stated is a limit, a default is none: what was left out stays left out.
    """
    return workload.model_dump(mode="json", exclude_unset=True)


@lru_cache(maxsize=4096)
def _file_of(text: str | None) -> Served | None:
    """Read a file's column; the gateway's reconciler reads the same ones every second."""
    value = None if text is None else json.loads(text)
    return None if value is None else SERVED.validate_python(value, context=STORED)


def _endpoint(row: Row[Any]) -> StoredEndpoint:
    fields = dict(row._mapping)
    files = {
        name: None if fields[name] is None else SERVED.validate_python(fields[name], context=STORED)
        for name in _FILES
    }
    return _stored(fields | files)


def _stored(fields: dict[str, Any]) -> StoredEndpoint:
    return StoredEndpoint(**{name: fields[name] for name in StoredEndpoint.model_fields})
