"""Add versions to datasets. The bytes are stored first; the row makes them a version."""

from __future__ import annotations

from sqlalchemy import Connection

from plinth.control.context import Context
from plinth.control.preparation import data_key
from plinth.domain.access import Actor
from plinth.domain.base import Declared
from plinth.domain.model import DataVersion
from plinth.kit.errors import NotFound
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
        raise NotFound(f"there is no team `{data.team}`", hint="`plinth teams` lists them")
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
