"""Files of OpenAI's API: their rows. One that has expired is as good as deleted."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ColumnElement, Connection, and_, delete, func, insert, or_, select

from plinth.domain.base import Declared
from plinth.kit.errors import NotFound
from plinth.kit.excerpt import excerpt
from plinth.store import tables

_FILE = tables.openai_file


class StoredFile(Declared):
    """A file as its row says. `digest`: SHA-256 of its bytes."""

    id: str
    team: str
    purpose: str
    name: str
    size_bytes: int
    digest: str
    created_at: datetime
    created_by: str
    expires_at: datetime | None = None


def add_file(connection: Connection, file: StoredFile) -> bool:
    """Write a file's row; one that is there is left as it is. Return whether it is new."""
    known = select(_FILE.c.id).where(_FILE.c.id == file.id)
    if connection.execute(known).one_or_none() is not None:
        return False
    connection.execute(insert(_FILE).values(**file.model_dump()))
    return True


def find_file(connection: Connection, file_id: str, now: datetime) -> StoredFile | None:
    """Return the file, or None when there is none, or not any more."""
    row = connection.execute(
        select(_FILE).where(_FILE.c.id == file_id, _is_kept(now))
    ).one_or_none()
    return StoredFile(**row._mapping) if row else None


def no_file(file_id: str) -> NotFound:
    """Return the error for a file that is absent, or that the caller may not see."""
    return NotFound(
        f"there is no file `{excerpt(file_id)}`",
        hint="`GET /v1/files` lists them; files are kept for 30 days unless they say otherwise",
    )


def list_files(
    connection: Connection,
    team: str,
    now: datetime,
    *,
    limit: int,
    after: StoredFile | None = None,
    purpose: str | None = None,
    newest_first: bool = True,
) -> list[StoredFile]:
    """Return a team's files from the one behind `after` on."""
    time, identity = _FILE.c.created_at, _FILE.c.id
    query = select(_FILE).where(_FILE.c.team == team, _is_kept(now)).limit(limit)
    if purpose is not None:
        query = query.where(_FILE.c.purpose == purpose)
    if after is not None:
        at = after.created_at
        behind = time < at if newest_first else time > at
        of_its_time = identity < after.id if newest_first else identity > after.id
        query = query.where(or_(behind, and_(time == at, of_its_time)))
    order = (time.desc(), identity.desc()) if newest_first else (time, identity)
    return [StoredFile(**row._mapping) for row in connection.execute(query.order_by(*order))]


def stored_bytes(connection: Connection, team: str) -> int:
    """Return how many bytes a team's files have, also those that expired and are still there."""
    total = select(func.coalesce(func.sum(_FILE.c.size_bytes), 0)).where(_FILE.c.team == team)
    return int(connection.execute(total).scalar_one())


def list_expired(connection: Connection, now: datetime, limit: int) -> list[StoredFile]:
    """Return files that expired, those that did first."""
    query = select(_FILE).where(_FILE.c.expires_at <= now).order_by(_FILE.c.expires_at)
    return [StoredFile(**row._mapping) for row in connection.execute(query.limit(limit))]


def delete_file(connection: Connection, file_id: str) -> None:
    """Forget a file; nothing happens when it is gone."""
    connection.execute(delete(_FILE).where(_FILE.c.id == file_id))


def _is_kept(now: datetime) -> ColumnElement[bool]:
    return or_(_FILE.c.expires_at.is_(None), _FILE.c.expires_at > now)
