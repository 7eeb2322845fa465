"""Batches of OpenAI's API: what was asked, and where they stand."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from pydantic import Field
from sqlalchemy import Connection, and_, func, insert, or_, select, update

from plinth.domain.base import Declared
from plinth.kit.errors import NotFound
from plinth.kit.excerpt import excerpt
from plinth.store import tables
from plinth.store.leases import by_now, due_now

Status = Literal[
    "validating",
    "failed",
    "in_progress",
    "finalizing",
    "completed",
    "expired",
    "cancelling",
    "cancelled",
]
ENDED: tuple[Status, ...] = ("failed", "completed", "expired", "cancelled")
_BATCH = tables.openai_batch


class StoredBatch(Declared):
    """A batch as its row says.

    `times`: seconds since 1970 by the status that it came into then. `errors`: why its lines were
    refused, in OpenAI's shape. `run`: which run sends the lines; None before that.
    """

    id: str
    team: str
    endpoint: str
    model: str | None = None
    input_file: str
    window: str
    metadata: dict[str, str] | None = None
    output_expires_s: int | None = None
    status: Status = "validating"
    errors: list[dict[str, Any]] = Field(default_factory=list)
    run: str | None = None
    output_file: str | None = None
    error_file: str | None = None
    times: dict[str, int] = Field(default_factory=dict)
    total: int = 0
    completed: int = 0
    failed: int = 0
    usage: dict[str, Any] | None = None
    created_at: datetime
    created_by: str
    expires_at: datetime

    @property
    def has_ended(self) -> bool:
        """Tell whether nothing will change any more."""
        return self.status in ENDED


def add_batch(connection: Connection, batch: StoredBatch) -> None:
    """Write a batch; it is due at once."""
    due_at = by_now(connection, batch.created_at)
    connection.execute(insert(_BATCH).values(**batch.model_dump(), due_at=due_at))


def find_batch(connection: Connection, batch_id: str) -> StoredBatch | None:
    """Return the batch, or None."""
    row = connection.execute(select(_BATCH).where(_BATCH.c.id == batch_id)).one_or_none()
    return _batch_of(row._mapping) if row else None


def find_batch_of_run(connection: Connection, run_id: str) -> StoredBatch | None:
    """Return the batch whose lines a run sends, or None."""
    row = connection.execute(select(_BATCH).where(_BATCH.c.run == run_id)).one_or_none()
    return _batch_of(row._mapping) if row else None


def no_batch(batch_id: str) -> NotFound:
    """Return the error for a batch that is absent, or that the caller may not see."""
    return NotFound(f"there is no batch `{excerpt(batch_id)}`", hint="`GET /v1/batches` lists them")


def list_batches(
    connection: Connection, team: str, *, limit: int, after: StoredBatch | None = None
) -> list[StoredBatch]:
    """Return a team's batches, newest first, from the one behind `after` on."""
    time, identity = _BATCH.c.created_at, _BATCH.c.id
    query = select(_BATCH).where(_BATCH.c.team == team)
    if after is not None:
        at = after.created_at
        query = query.where(or_(time < at, and_(time == at, identity < after.id)))
    query = query.order_by(time.desc(), identity.desc()).limit(limit)
    return [_batch_of(row._mapping) for row in connection.execute(query)]


def count_active(connection: Connection, team: str) -> int:
    """Return how many batches of a team have not ended."""
    query = select(func.count()).where(_BATCH.c.team == team, _BATCH.c.status.not_in(ENDED))
    return int(connection.execute(query).scalar_one())


def reads_file(connection: Connection, file_id: str) -> str | None:
    """Return the id of a batch that has not ended and reads a file, or None."""
    query = select(_BATCH.c.id).where(_BATCH.c.input_file == file_id, _BATCH.c.status.not_in(ENDED))
    found = connection.execute(query.limit(1)).scalar()
    return None if found is None else str(found)


def want_cancel(connection: Connection, batch: StoredBatch, now: datetime) -> None:
    """Change the intent to cancelling; the reconciler does the rest."""
    times = {**batch.times, "cancelling": int(now.timestamp())}
    connection.execute(
        update(_BATCH)
        .where(_BATCH.c.id == batch.id)
        .values(status="cancelling", times=times, due_at=due_now(connection, _BATCH, now))
    )


def _batch_of(row: Mapping[Any, Any]) -> StoredBatch:
    return StoredBatch(**{name: row[name] for name in StoredBatch.model_fields})
