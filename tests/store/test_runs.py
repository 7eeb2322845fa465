"""Runs and attempts come back as they were written, and go the legal ways only."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError
from sqlalchemy import delete, update

from plinth.domain.access import Reach, Resource
from plinth.domain.run import Observation, Phase
from plinth.domain.workload import WORKLOAD
from plinth.kit.errors import NotFound
from plinth.store import tables
from plinth.store.events import list_events
from plinth.store.leases import any_due
from plinth.store.runs import (
    Attempt,
    add_attempt,
    any_deleted,
    change_of,
    delete_run,
    find_attempt_at,
    find_kept_run,
    find_run,
    list_attempts,
    list_endpoint_runs,
    list_newest_attempts,
    list_runs,
    list_unmetered,
    note_change,
    note_metered,
    note_observed,
    purge_runs,
    want_stop,
)
from plinth.store.session import Database
from tests.store.rows import ENDPOINT, JOB, NOW, attempt_of, later, plan_of, run_in


def test_a_run_comes_back_as_it_was_written(database: Database) -> None:
    with database.write() as connection:
        run = run_in(connection, "r_a")
        assert find_run(connection, "r_a") == run
        assert [event.reason for event in list_events(connection, "run/r_a")] == ["Accepted"]
        with pytest.raises(NotFound, match="no run `r_b`"):
            find_run(connection, "r_b")


@pytest.mark.parametrize("resources", [{}, {"memory": 10**9}, {"cpu": 2, "accelerator": "A100:2"}])
def test_what_was_stated_and_what_was_left_out_are_told_apart(
    database: Database, resources: dict[str, object]
) -> None:
    with database.write() as connection:
        run = run_in(connection, "r_a", workload={**JOB, "resources": resources})
        found = find_run(connection, "r_a").workload
    assert found == run.workload
    assert found.resources.model_fields_set == set(resources)


def test_runs_are_listed_newest_first_by_kind_team_and_activity(database: Database) -> None:
    with database.write() as connection:
        run_in(connection, "r_old", phase=Phase.FAILED)
        run_in(connection, "r_new", team="ops", created_at=later(1))
        run_in(connection, "r_end", workload=ENDPOINT, created_at=later(2))

        def ids(**options: object) -> list[str]:
            return [run.id for run in list_runs(connection, **options)]  # type: ignore[arg-type]

        assert ids() == ["r_end", "r_new", "r_old"]
        assert ids(kind="job") == ["r_new", "r_old"]
        assert ids(active=True) == ["r_end", "r_new"]
        assert ids(reach=Reach(teams=("ops",))) == ["r_new"]
        assert ids(reach=Reach(teams=())) == []
        single = Resource(kind="endpoint", team="research", name="delay")
        assert ids(reach=Reach(teams=(), resources=(single,))) == ["r_end"]
        assert ids(name="delay") == ["r_end"]
        assert ids(limit=1) == ["r_end"]


def test_the_runs_of_an_endpoint_are_its_teams(database: Database) -> None:
    with database.write() as connection:
        run_in(connection, "r_a", workload=ENDPOINT)
        run_in(connection, "r_b", workload=ENDPOINT, created_at=later(1))
        run_in(connection, "r_c", team="ops", workload=ENDPOINT, created_at=later(2))
        runs = list_endpoint_runs(connection, "research", "delay")
        assert [run.id for run in runs] == ["r_b", "r_a"]
        newest = list_endpoint_runs(connection, "research", "delay", limit=1)
        assert [run.id for run in newest] == ["r_b"]


def test_the_active_runs_of_an_endpoint_are_all_listed(database: Database) -> None:
    with database.write() as connection:
        for number in range(25):
            run_in(connection, f"r_{number}", workload=ENDPOINT, phase=Phase.FAILED)
        run_in(connection, "r_a", workload=ENDPOINT, phase=Phase.RUNNING)
        runs = list_endpoint_runs(connection, "research", "delay", active=True)
        assert [run.id for run in runs] == ["r_a"]
        assert len(list_endpoint_runs(connection, "research", "delay")) == 20


def test_polls_do_not_read_what_ended(database: Database) -> None:
    plans = plan_of(database, lambda c: list_runs(c, kind="endpoint", active=True))
    assert plans[0] == "SEARCH run USING INDEX ix_run_phase (phase=?)"
    plans = plan_of(database, lambda c: list_endpoint_runs(c, "research", "delay", active=True))
    index = "ix_run_team_kind_name_phase (team=? AND kind=? AND name=? AND phase=?)"
    assert plans[0] == f"SEARCH run USING INDEX {index}"
    assert plan_of(database, list_unmetered) == ["SCAN attempt USING INDEX ix_attempt_unmetered"]
    plans = plan_of(database, lambda c: list_newest_attempts(c, "r_a", replicas=1, newest=2))
    index = "sqlite_autoindex_attempt_1 (run=? AND replica=?)"
    assert plans == [f"SEARCH attempt USING INDEX {index}"]
    plans = plan_of(database, lambda c: any_deleted(c, later(2)))
    assert plans == ["SEARCH run USING INDEX ix_run_deleted_at (deleted_at<?)"]


def test_the_newest_attempts_of_each_replica_are_listed(database: Database) -> None:
    with database.write() as connection:
        run = run_in(connection, "r_a", workload={**ENDPOINT, "replicas": 2})
        for number in range(1, 5):
            first = attempt_of(connection, run, number)
            add_attempt(connection, first.model_copy(update={"replica": 1, "key": None}))
        found = list_newest_attempts(connection, "r_a", replicas=2, newest=2)
    seen = [(attempt.replica, attempt.number) for attempt in found]
    assert seen == [(0, 3), (0, 4), (1, 3), (1, 4)]


def test_only_what_has_not_ended_is_asked_to_stop(database: Database) -> None:
    with database.write() as connection:
        run_in(connection, "r_a")
        run_in(connection, "r_b", phase=Phase.SUCCEEDED)
        for name in ("r_a", "r_b"):
            want_stop(connection, name, later(3))
        assert find_run(connection, "r_a").desired == "stop"
        assert find_run(connection, "r_b").desired == "run"


def test_an_illegal_change_is_our_own_mistake(database: Database) -> None:
    with database.write() as connection:
        run = run_in(connection, "r_a", phase=Phase.SUCCEEDED)
    with pytest.raises(AssertionError, match="may not go from succeeded to running"):
        change_of(run, Phase.RUNNING, "Running", "x")
    changes = change_of(run, Phase.SUCCEEDED, "Completed", "x" * 5000)
    assert len(changes["message"]) == 2000


def test_a_change_is_an_event_only_when_phase_or_reason_is_new(database: Database) -> None:
    with database.write() as connection:
        run = run_in(connection, "r_a")
        for reason, message in (("Accepted", "other words"), ("Starting", "y"), ("Starting", "z")):
            changes = change_of(run, Phase.PENDING, reason, message)
            note_change(connection, run, changes, NOW)
            run = run.model_copy(update={"reason": reason})
        reasons = [event.reason for event in list_events(connection, "run/r_a")]
        assert reasons == ["Accepted", "Starting"]


def test_what_was_observed_last_of_an_ended_attempt_stays(database: Database) -> None:
    with database.write() as connection:
        attempt = attempt_of(connection, run_in(connection, "r_a"))
        ended = Observation(
            phase=Phase.FAILED, started_at=NOW, ended_at=later(9), exit_code=3, isolation=2
        )
        note_observed(connection, attempt, ended, later(10))
        note_observed(
            connection, attempt, Observation(phase=Phase.RUNNING, started_at=NOW), later(11)
        )
        (seen,) = list_attempts(connection, ["r_a"])
        assert (seen.phase, seen.exit_code, seen.ended_at) == (Phase.FAILED, 3, later(9))
        assert seen.seen_at == later(10)


def test_an_attempt_is_unmetered_from_its_start_until_it_is_noted(database: Database) -> None:
    with database.write() as connection:
        attempt = attempt_of(connection, run_in(connection, "r_a"))
        assert list_unmetered(connection) == []
        note_observed(
            connection, attempt, Observation(phase=Phase.RUNNING, started_at=NOW), later(11)
        )
        assert [each.number for each in list_unmetered(connection)] == [1]
        note_metered(connection, attempt)
        assert list_unmetered(connection) == []


def test_a_deleted_run_is_found_by_nobody_but_who_asks_for_what_is_kept(database: Database) -> None:
    with database.write() as connection:
        run = run_in(connection, "r_a", workload=ENDPOINT, phase=Phase.STOPPED)
        attempt = attempt_of(connection, run)
        delete_run(connection, "r_a", later(1))
        delete_run(connection, "r_a", later(2))
        assert list_runs(connection) == []
        assert list_endpoint_runs(connection, "research", "delay") == []
        assert list_endpoint_runs(connection, "research", "delay", active=True) == []
        assert list_events(connection, "run/r_a") == []
        with pytest.raises(NotFound, match="no run `r_a`"):
            find_run(connection, "r_a")
        kept = find_kept_run(connection, "r_a")
        assert kept == run.model_copy(update={"deleted_at": later(1)})
        assert list_attempts(connection, ["r_a"]) == [attempt]
        assert not any_due(connection, tables.run, later(1000), [])


def test_what_was_deleted_long_ago_is_removed_the_oldest_first(database: Database) -> None:
    with database.write() as connection:
        for number, name in enumerate(("r_c", "r_b", "r_a")):
            attempt_of(connection, run_in(connection, name, phase=Phase.FAILED))
            delete_run(connection, name, later(number))
        run_in(connection, "r_there", phase=Phase.FAILED)
        assert not any_deleted(connection, later(0))
        assert any_deleted(connection, later(2))
        assert purge_runs(connection, later(2), limit=1) == 1
        assert find_kept_run(connection, "r_c") is None
        assert purge_runs(connection, later(2), limit=10) == 1
        assert purge_runs(connection, later(2), limit=10) == 0
        assert find_kept_run(connection, "r_a") is not None
        assert find_run(connection, "r_there").id == "r_there"
        assert list_attempts(connection, ["r_b", "r_c"]) == []


def test_the_attempt_of_a_time_is_the_newest_that_had_started_then(database: Database) -> None:
    def started(attempt: Attempt, seconds: float) -> None:
        seen = Observation(phase=Phase.RUNNING, started_at=later(seconds))
        note_observed(connection, attempt, seen, later(seconds))

    with database.write() as connection:
        run = run_in(connection, "r_a", workload=ENDPOINT)
        for number in (1, 2, 4):
            started(attempt_of(connection, run, number), 10 * number)
        # The third never started, and nobody has looked at the fifth yet.
        never = attempt_of(connection, run, 3)
        note_observed(connection, never, Observation(phase=Phase.STOPPED), later(31))
        fifth = attempt_of(connection, run, 5).model_copy(
            update={"number": 6, "created_at": later(60)}
        )
        add_attempt(connection, fifth)
        connection.execute(delete(tables.attempt).where(tables.attempt.c.number == 5))
        found = [
            find_attempt_at(connection, "r_a", 0, later(seconds))
            for seconds in (5, 10, 19, 20, 35, 45, 61)
        ]
        assert find_attempt_at(connection, "r_a", 1, later(99)) is None
    assert [each and each.number for each in found] == [None, 1, 1, 2, 2, 4, 6]


def test_a_long_reason_of_an_end_fits_its_column(database: Database) -> None:
    with database.write() as connection:
        attempt = attempt_of(connection, run_in(connection, "r_a"))
        seen = Observation(phase=Phase.FAILED, reason="`" + "x" * 4000 + "\0` was not found")
        note_observed(connection, attempt, seen, later(1))
        (found,) = list_attempts(connection, ["r_a"])
    assert found.reason is not None
    assert len(found.reason) == 2000


@pytest.mark.parametrize(
    "workload",
    [
        {
            "kind": "flow",
            "name": "f",
            "team": "research",
            "app": "a:b",
            "workers": "0..2",
            "idle": 0.5,
            "resources": {"memory": 1000},
        },
        {
            "kind": "workspace",
            "name": "w",
            "team": "research",
            "max_time": 1,
            "resources": {"memory": 1000},
        },
        {
            "kind": "job",
            "name": "j",
            "team": "research",
            "command": ["true"],
            "environment": {"packages": ["flask; os.system(1)"]},
        },
    ],
)
def test_what_an_earlier_plinth_accepted_stays_readable(
    database: Database, workload: dict[str, Any]
) -> None:
    with pytest.raises(ValidationError):
        WORKLOAD.validate_python(workload)
    with database.write() as connection:
        run_in(connection, "r_old")
        row = update(tables.run).where(tables.run.c.id == "r_old")
        connection.execute(row.values(workload=workload))
        found = find_run(connection, "r_old")
        assert found is not None
        assert found.workload.kind == workload["kind"]
