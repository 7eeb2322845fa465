"""The same bytes are the same version, whoever adds them."""

from __future__ import annotations

import pytest

from plinth.control.datasets import NewData, add_version, stored_at
from plinth.domain.model import Column
from plinth.kit.errors import NotFound
from plinth.storage.tabular import Table
from tests.control.plane import TEAM, Plane

TABLE = Table(2, (Column(name="a", type="BIGINT"),))


def new(digest: str = "d1", team: str = TEAM) -> NewData:
    return NewData(team=team, name="flights", file_name="x.csv", digest=digest, size_bytes=9)


def test_versions_are_added_once_for_each_content(plane: Plane) -> None:
    with plane.write() as connection:
        added = [
            add_version(connection, plane.context, plane.actor(), new(digest), TABLE)
            for digest in ("d1", "d2", "d1")
        ]
    assert [(version.version, is_new) for version, is_new in added] == [
        (1, True),
        (2, True),
        (1, False),
    ]
    assert added[0][0].uri.endswith(stored_at(new()))


def test_a_team_that_is_absent_has_no_data(plane: Plane) -> None:
    with pytest.raises(NotFound), plane.write() as connection:
        add_version(connection, plane.context, plane.actor(), new(team="nobody"), TABLE)
