"""The same bytes are the same version, whoever adds them."""

from __future__ import annotations

import pytest

from plinth.control.datasets import NewData, add_version, change_between, stored_at
from plinth.domain.model import Column
from plinth.kit.errors import NotFound
from plinth.storage.tabular import Table
from tests.control.plane import TEAM, Plane
from tests.store.test_lineage import data_of

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


def test_a_change_is_told_by_rows_size_and_columns() -> None:
    columns = [Column(name=name, type="BIGINT") for name in "abcd"]
    before = data_of(1, columns=columns, rows=10, size_bytes=100)
    after = data_of(
        2,
        columns=[
            columns[2],
            columns[0],
            Column(name="d", type="VARCHAR"),
            Column(name="new", type="DATE"),
        ],
        rows=7,
        size_bytes=130,
    )
    change = change_between(before, after)
    assert (change.rows, change.size_bytes, change.same_bytes) == (-3, 30, False)
    assert [column.name for column in change.added] == ["new"]
    assert [column.name for column in change.removed] == ["b"]
    assert [(each.name, each.before, each.after) for each in change.retyped] == [
        ("d", "BIGINT", "VARCHAR")
    ]
    assert change.reordered
    same = change_between(before, before)
    assert (same.same_bytes, same.added, same.removed, same.retyped) == (True, (), (), ())
    assert not same.reordered
