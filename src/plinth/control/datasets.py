"""Add versions to datasets. The bytes are stored first; the row makes them a version."""

from __future__ import annotations

from sqlalchemy import Connection

from plinth.control.context import Context
from plinth.control.data_folder import data_key
from plinth.domain.access import Actor
from plinth.domain.base import Declared
from plinth.domain.model import Column, DataVersion
from plinth.kit.errors import NotFound
from plinth.kit.excerpt import excerpt
from plinth.storage.tabular import Table
from plinth.store.data_versions import add_data_version, find_by_digest, next_version
from plinth.store.identities import find_team


class NewData(Declared):
    """A file that was received and stored: whose, under which name, and what is in it."""

    team: str
    name: str
    file_name: str
    digest: str
    size_bytes: int


class Retyped(Declared):
    """A column whose type changed."""

    name: str
    before: str
    after: str


class DataChange(Declared):
    """What differs between two data versions; numbers are `after` minus `before`.

    `reordered`: the columns that both have stand in another order.
    """

    before: DataVersion
    after: DataVersion
    same_bytes: bool
    rows: int
    size_bytes: int
    added: tuple[Column, ...]
    removed: tuple[Column, ...]
    retyped: tuple[Retyped, ...]
    reordered: bool


def change_between(before: DataVersion, after: DataVersion) -> DataChange:
    """Compare two data versions by what is known of them; no file is read."""
    old = {column.name: column for column in before.columns}
    new = {column.name: column for column in after.columns}
    return DataChange(
        before=before,
        after=after,
        same_bytes=before.digest == after.digest,
        rows=after.rows - before.rows,
        size_bytes=after.size_bytes - before.size_bytes,
        added=tuple(column for column in after.columns if column.name not in old),
        removed=tuple(column for column in before.columns if column.name not in new),
        retyped=tuple(
            Retyped(name=name, before=column.type, after=new[name].type)
            for name, column in old.items()
            if name in new and new[name].type != column.type
        ),
        reordered=[name for name in old if name in new] != [name for name in new if name in old],
    )


def stored_at(data: NewData) -> str:
    """Return the key under which the file lies in the storage."""
    return f"{data_key(data.team, data.name, data.digest)}/{data.file_name}"


def add_version(
    connection: Connection, context: Context, actor: Actor, data: NewData, table: Table
) -> tuple[DataVersion, bool]:
    """Return the version with these bytes, and whether it is new.

    The same bytes are the same version, whoever adds them again.
    """
    if find_team(connection, data.team) is None:
        raise NotFound(f"there is no team `{excerpt(data.team)}`", hint="`plinth teams` lists them")
    known = find_by_digest(connection, data.team, data.name, data.digest)
    if known is not None:
        return known, False
    version = DataVersion(
        team=data.team,
        name=data.name,
        version=next_version(connection, data.team, data.name),
        digest=data.digest,
        uri=context.storage.uri(stored_at(data)),
        file_name=data.file_name,
        size_bytes=data.size_bytes,
        rows=table.rows,
        columns=table.columns,
        created_by=actor.principal.id,
        created_at=context.clock.now(),
    )
    add_data_version(connection, version)
    return version, True
