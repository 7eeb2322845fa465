"""Secrets as they are sealed: nothing in this room can open one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, delete, insert, select, update

from plinth.domain.base import Declared
from plinth.kit.errors import NotFound
from plinth.kit.excerpt import excerpt
from plinth.store import tables

PURPOSE_LENGTH = 80


class WrappedRow(Declared):
    """The data key of one secret, and which master key wraps it."""

    team: str
    name: str
    version: int
    master_key: str
    wrapped_key: bytes


class StoredSecret(WrappedRow):
    """The newest version of a secret, sealed. `set_by`: a principal's id."""

    nonce: bytes
    ciphertext: bytes
    set_at: datetime
    set_by: str


class ListedSecret(Declared):
    """What may be told of a secret. `uses`: for what this version was taken."""

    team: str
    name: str
    version: int
    set_at: datetime
    set_by: str
    set_by_name: str | None
    uses: tuple[str, ...]


def put_secret(connection: Connection, secret: StoredSecret) -> None:
    """Write a version in the place of the one before; its number is `next_version`."""
    table = tables.secret
    values = {**secret.model_dump(), "deleted_at": None}
    result = connection.execute(
        update(table)
        .where(*_is(secret.team, secret.name), table.c.version < secret.version)
        .values(**values)
    )
    if result.rowcount == 0:
        connection.execute(insert(table).values(**values))


def next_version(connection: Connection, team: str, name: str) -> int:
    """Return the number that the next version gets, from 1; deleted ones count."""
    query = select(tables.secret.c.version).where(*_is(team, name))
    return int(connection.execute(query).scalar() or 0) + 1


def version_of(connection: Connection, team: str, name: str) -> int | None:
    """Return the number of the newest version, or None when there is no such secret."""
    table = tables.secret
    query = select(table.c.version).where(*_is(team, name), table.c.deleted_at.is_(None))
    found = connection.execute(query).scalar()
    return None if found is None else int(found)


def find_secret(connection: Connection, team: str, name: str) -> StoredSecret | None:
    """Return the newest version, sealed, or None."""
    table = tables.secret
    columns = [table.c[field] for field in StoredSecret.model_fields]
    row = connection.execute(
        select(*columns).where(*_is(team, name), table.c.deleted_at.is_(None))
    ).one_or_none()
    return StoredSecret(**row._mapping) if row else None


def no_secret(team: str, name: str) -> NotFound:
    """Return the error for a secret that is absent, or of which the caller may not know."""
    return NotFound(
        f"team `{excerpt(team)}` has no secret `{excerpt(name)}`",
        hint=f"`plinth secrets set {excerpt(name)} --team {excerpt(team)}` keeps one; "
        "`plinth secrets` lists them",
    )


def list_secrets(connection: Connection) -> list[ListedSecret]:
    """Return what may be told of every secret, by team and name."""
    table, principal = tables.secret, tables.principal
    uses = _uses(connection)
    rows = connection.execute(
        select(
            table.c.team,
            table.c.name,
            table.c.version,
            table.c.set_at,
            table.c.set_by,
            principal.c.name.label("set_by_name"),
        )
        .outerjoin(principal, principal.c.id == table.c.set_by)
        .where(table.c.deleted_at.is_(None))
        .order_by(table.c.team, table.c.name)
    )
    return [
        ListedSecret(**row._mapping, uses=uses.get((row.team, row.name, row.version), ()))
        for row in rows
    ]


def uses_of(connection: Connection, team: str, name: str, version: int) -> tuple[str, ...]:
    """Return for what a version was taken, in order."""
    return _uses(connection, team, name).get((team, name, version), ())


def delete_secret(connection: Connection, team: str, name: str, now: datetime) -> None:
    """Remove the content of a secret and its uses; the number of its last version stays."""
    table, use = tables.secret, tables.secret_use
    connection.execute(delete(use).where(use.c.team == team, use.c.name == name))
    gone = dict.fromkeys(("master_key", "wrapped_key", "nonce", "ciphertext"))
    connection.execute(update(table).where(*_is(team, name)).values(**gone, deleted_at=now))


def has_use(connection: Connection, team: str, name: str, purpose: str, version: int) -> bool:
    """Tell whether it is noted that this version was taken for this purpose."""
    use = tables.secret_use
    query = select(use.c.version).where(*_is_use(team, name, purpose), use.c.version == version)
    return connection.execute(query).first() is not None


def add_use(connection: Connection, secret: WrappedRow, purpose: str, now: datetime) -> None:
    """Note that this version was taken for a purpose of at most 80 characters."""
    use = tables.secret_use
    values = {"version": secret.version, "at": now}
    where = _is_use(secret.team, secret.name, purpose)
    if connection.execute(update(use).where(*where).values(**values)).rowcount == 0:
        identity = {"team": secret.team, "name": secret.name, "purpose": purpose}
        connection.execute(insert(use).values(**identity, **values))


def list_wrapped(connection: Connection) -> list[WrappedRow]:
    """Return the wrapped data key of every secret."""
    table = tables.secret
    columns = [table.c[field] for field in WrappedRow.model_fields]
    rows = connection.execute(
        select(*columns).where(table.c.deleted_at.is_(None)).order_by(table.c.team, table.c.name)
    )
    return [WrappedRow(**row._mapping) for row in rows]


def change_wrapping(connection: Connection, before: WrappedRow, after: WrappedRow) -> bool:
    """Put another wrapping of the same data key in the place of one; False when it has changed."""
    table = tables.secret
    result = connection.execute(
        update(table)
        .where(
            *_is(before.team, before.name),
            table.c.version == before.version,
            table.c.master_key == before.master_key,
        )
        .values(master_key=after.master_key, wrapped_key=after.wrapped_key)
    )
    return result.rowcount == 1


def retire_master_keys(connection: Connection, ids: Iterable[str], now: datetime) -> None:
    """Let nothing be wrapped by these master keys any more."""
    table = tables.retired_master_key
    for each in ids:
        if not is_retired(connection, each):
            connection.execute(insert(table).values(id=each, at=now))


def is_retired(connection: Connection, master_key: str) -> bool:
    """Tell whether nothing may be wrapped by this master key any more."""
    table = tables.retired_master_key
    query = select(table.c.id).where(table.c.id == master_key)
    return connection.execute(query).first() is not None


def _is(team: str, name: str) -> Sequence[ColumnElement[bool]]:
    return tables.secret.c.team == team, tables.secret.c.name == name


def _is_use(team: str, name: str, purpose: str) -> Sequence[ColumnElement[bool]]:
    use = tables.secret_use
    return use.c.team == team, use.c.name == name, use.c.purpose == purpose


def _uses(
    connection: Connection, team: str | None = None, name: str | None = None
) -> dict[tuple[str, str, int], tuple[str, ...]]:
    use = tables.secret_use
    query = select(use).order_by(use.c.purpose)
    if team is not None:
        query = query.where(use.c.team == team, use.c.name == name)
    found: dict[tuple[str, str, int], tuple[str, ...]] = {}
    for row in connection.execute(query):
        place = (row.team, row.name, row.version)
        found[place] = (*found.get(place, ()), row.purpose)
    return found
