"""What was deleted goes when no response can ask for it any more."""

from __future__ import annotations

import pytest

from plinth.control.retention import Retention
from plinth.domain.run import Phase
from plinth.store.runs import delete_run, find_kept_run
from tests.control.plane import Plane
from tests.store.rows import attempt_of, run_in


def kept(plane: Plane) -> set[str]:
    with plane.database.read() as connection:
        rows = connection.exec_driver_sql("select id from run")
        return {str(row[0]) for row in rows}


def test_a_deleted_run_is_kept_for_as_long_as_a_response_can_be_traced(plane: Plane) -> None:
    retention = Retention(plane.context)
    with plane.write() as connection:
        attempt_of(connection, run_in(connection, "r_a", phase=Phase.FAILED))
        run_in(connection, "r_b", phase=Phase.FAILED)
        delete_run(connection, "r_a", plane.clock.now())
    plane.clock.advance(plane.context.settings.trace_days * 86400)
    retention.purge()
    assert kept(plane) == {"r_a", "r_b"}
    plane.clock.advance(1)
    retention.purge()
    assert kept(plane) == {"r_b"}
    with plane.database.read() as connection:
        assert find_kept_run(connection, "r_a") is None


def test_more_than_one_transaction_holds_are_removed_at_once(
    plane: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("plinth.control.retention._AT_ONCE", 2)
    with plane.write() as connection:
        for number in range(5):
            run_in(connection, f"r_{number}", phase=Phase.FAILED)
            delete_run(connection, f"r_{number}", plane.clock.now())
    plane.clock.advance(31 * 86400)
    Retention(plane.context).purge()
    assert kept(plane) == set()
