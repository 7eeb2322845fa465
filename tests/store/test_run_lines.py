"""Runs are listed and counted without reading their plans."""

from __future__ import annotations

from plinth.domain.access import Reach, Resource
from plinth.domain.run import Phase
from plinth.store.run_lines import LineQuery, count_lines, list_lines
from plinth.store.runs import delete_run, names_of
from plinth.store.session import Database
from tests.store.rows import ENDPOINT, JOB, later, run_in


def test_lines_are_of_what_ends_by_activity_kind_team_and_name(database: Database) -> None:
    with database.write() as connection:
        run_in(connection, "r_a", phase=Phase.FAILED)
        run_in(connection, "r_b", workload={**JOB, "name": "other"}, created_at=later(1))
        run_in(connection, "r_c", team="ops", created_at=later(2))
        run_in(connection, "r_e", workload=ENDPOINT)
        run_in(connection, "r_d", phase=Phase.FAILED)
        delete_run(connection, "r_d", later(3))

        def ids(**asked: object) -> list[str]:
            query = LineQuery.model_validate(asked)
            return [line.id for line in list_lines(connection, query, 10)]

        assert ids() == ["r_c", "r_b", "r_a"]
        assert ids(active=True) == ["r_c", "r_b"]
        assert ids(active=False) == ["r_a"]
        assert ids(team="ops") == ["r_c"]
        assert ids(kind="job", name="THE") == ["r_b"]
        assert ids(name="%") == ids(kind="endpoint") == []
        single = Resource(kind="job", team="ops", name="train")
        assert ids(reach=Reach(teams=(), resources=(single,))) == ["r_c"]
        assert [line.id for line in list_lines(connection, LineQuery(), 1)] == ["r_c"]
        counted = count_lines(connection, LineQuery())
        assert [(each.team, each.is_active, each.number) for each in counted] == [
            ("ops", True, 1),
            ("research", False, 1),
            ("research", True, 1),
        ]
        assert names_of(connection, {"r_b", "r_d", "envoy"}) == {"r_b": "other"}
