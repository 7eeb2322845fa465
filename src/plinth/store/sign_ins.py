"""One-time links that sign a browser in: the digests of their codes, each used once or never."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, insert, select, update

from plinth.domain.base import Declared
from plinth.store import tables

# As long as any browser's key may hold: until then a revoked key ends the browser's too.
_KEPT = timedelta(days=2)


class SignIn(Declared):
    """A link that was handed out for a page.

    `key` asked for it; `made` is the browser's key, once used.
    """

    digest: str
    principal: str
    key: str
    page: str
    made: str | None = None
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None = None


def add_sign_in(connection: Connection, sign_in: SignIn) -> None:
    """Remember a link, and forget those that ended long ago."""
    table = tables.sign_in
    connection.execute(delete(table).where(table.c.expires_at < sign_in.created_at - _KEPT))
    connection.execute(insert(table).values(**sign_in.model_dump()))


def find_sign_in(connection: Connection, digest: str) -> SignIn | None:
    """Return the link whose code has this digest, or None."""
    row = connection.execute(
        select(tables.sign_in).where(tables.sign_in.c.digest == digest)
    ).one_or_none()
    return SignIn(**row._mapping) if row else None


def use_sign_in(connection: Connection, digest: str, page: str, now: datetime) -> bool:
    """Use a link up. False when it was used, has expired, or is none: of many at once one wins.

    On another page than its own it is none.
    """
    table = tables.sign_in
    changed = connection.execute(
        update(table)
        .where(
            table.c.digest == digest,
            table.c.page == page,
            table.c.used_at.is_(None),
            table.c.expires_at > now,
        )
        .values(used_at=now)
    )
    return changed.rowcount == 1


def note_made(connection: Connection, digest: str, key_id: str) -> None:
    """Remember which key a browser got for a link."""
    table = tables.sign_in
    connection.execute(update(table).where(table.c.digest == digest).values(made=key_id))
