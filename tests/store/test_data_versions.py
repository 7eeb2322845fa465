"""Versions of data are numbered for each team and name, and found by number and bytes."""

from __future__ import annotations

import pytest
from sqlalchemy.exc import IntegrityError

from plinth.domain.model import Column, DataVersion
from plinth.store.data_versions import (
    add_data_version,
    find_by_digest,
    find_data_version,
    list_data_versions,
    next_version,
)
from plinth.store.identities import add_team
from plinth.store.session import Database
from tests.store.rows import NOW


def version_of(number: int, team: str = "ops", digest: str = "d1") -> DataVersion:
    return DataVersion(
        team=team,
        name="flights",
        version=number,
        digest=digest,
        uri="file:///x",
        file_name="x.csv",
        size_bytes=2**40,
        rows=3,
        columns=(Column(name="a", type="BIGINT"),),
        created_by="admin",
        created_at=NOW,
    )


def test_versions_are_numbered_and_found(database: Database) -> None:
    first, second = version_of(1), version_of(2, digest="d2")
    other = version_of(1, team="research")
    with database.write() as connection:
        for team in ("ops", "research"):
            add_team(connection, team, NOW)
        assert next_version(connection, "ops", "flights") == 1
        for version in (first, second, other):
            add_data_version(connection, version)
        assert next_version(connection, "ops", "flights") == 3
        assert find_data_version(connection, "ops", "flights", None) == second
        assert find_data_version(connection, "ops", "flights", 1) == first
        assert find_data_version(connection, "ops", "flights", 3) is None
        assert find_by_digest(connection, "ops", "flights", "d2") == second
        assert find_by_digest(connection, "ops", "flights", "d3") is None
        assert list_data_versions(connection) == [first, second, other]
        assert list_data_versions(connection, "other") == []


def test_the_same_bytes_cannot_be_two_versions(database: Database) -> None:
    with database.write() as connection:
        add_team(connection, "ops", NOW)
        add_data_version(connection, version_of(1))
    with pytest.raises(IntegrityError), database.write() as connection:
        add_data_version(connection, version_of(2))
