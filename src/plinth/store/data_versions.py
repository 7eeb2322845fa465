"""Versions of datasets."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, func, insert, select

from plinth.domain.model import DataVersion
from plinth.kit.errors import NotFound
from plinth.kit.excerpt import excerpt
from plinth.store import tables


def add_data_version(connection: Connection, version: DataVersion) -> None:
    """Add a version; its number must be free (see `next_version`)."""
    connection.execute(insert(tables.data_version).values(**version.model_dump()))


def next_version(connection: Connection, team: str, name: str) -> int:
    """Return the number that the next version of a dataset gets, from 1."""
    table = tables.data_version
    newest = connection.execute(
        select(func.max(table.c.version)).where(table.c.team == team, table.c.name == name)
    ).scalar()
    return int(newest or 0) + 1


def find_by_digest(connection: Connection, team: str, name: str, digest: str) -> DataVersion | None:
    """Return the version with exactly these bytes, or None."""
    table = tables.data_version
    row = connection.execute(
        select(table).where(table.c.team == team, table.c.name == name, table.c.digest == digest)
    ).one_or_none()
    return DataVersion(**row._mapping) if row else None


def find_data_version(
    connection: Connection, team: str, name: str, version: int | None
) -> DataVersion | None:
    """Return a version (the newest when `version` is None), or None."""
    table = tables.data_version
    query = (
        select(table)
        .where(table.c.team == team, table.c.name == name)
        .order_by(table.c.version.desc())
        .limit(1)
    )
    if version is not None:
        query = query.where(table.c.version == version)
    row = connection.execute(query).one_or_none()
    return DataVersion(**row._mapping) if row else None


def no_data_version(
    team: str, name: str, version: int | None, *, elsewhere: Sequence[str] = ()
) -> NotFound:
    """Return the error for a data version that is absent, or that the caller may not see.

    `elsewhere`: the other teams that have one, and whose data the caller may read.
    """
    options = " or ".join(f"`--team {other}`" for other in elsewhere)
    return NotFound(
        f"team `{excerpt(team)}` has no data version `{excerpt(name)}@{version or 'latest'}`",
        hint=f"{options} has one" if options else "`plinth data` lists all",
    )


def list_data_versions(connection: Connection, name: str | None = None) -> list[DataVersion]:
    """Return all versions, or those of the datasets called `name`, oldest first."""
    table = tables.data_version
    query = select(table).order_by(table.c.team, table.c.name, table.c.version)
    if name is not None:
        query = query.where(table.c.name == name)
    return [DataVersion(**row._mapping) for row in connection.execute(query)]
