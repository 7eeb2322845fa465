"""What only a real PostgreSQL server shows: writers at once, lost connections, a server's death."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from psycopg import sql
from sqlalchemy import Connection, select, text

from plinth.kit.clock import FakeClock
from plinth.kit.errors import Conflict, Invalid, Temporary
from plinth.store import tables
from plinth.store.data_versions import next_version
from plinth.store.duties import take_duty
from plinth.store.identities import add_team, list_teams
from plinth.store.leases import Claim, Holder, any_due, apply_leased, claim_due
from plinth.store.runs import list_attempts
from plinth.store.schema import migrate_to, newest_revision, revision_of
from plinth.store.session import Database
from plinth.store.tables import metadata
from tests.journeys.postgres_server import PASSWORD
from tests.journeys.postgres_stand import Databases
from tests.store.rows import NOW, later, run_in
from tests.store.test_migrations import add_endpoints, check_endpoints

_T = TypeVar("_T")
PATIENCE_S = 30.0
ONE, OTHER = Holder.begin("control@1"), Holder.begin("control-2@1")
# What an attempt needs beside it, as the first version would have written it.
FIRST = """
insert into team values ('ops', '2026-01-01 00:00:00Z');
insert into principal values ('p_a', 'run', 'r', 'ops', '2026-01-01 00:00:00Z');
insert into key values ('k_a', 'p_a', 'x', '2026-01-01 00:00:00Z', '2026-01-02 00:00:00Z', null);
insert into run (id, team, kind, name, workload, data, plan, principal, created_by, created_at,
    desired, phase, reason, message, closed)
    values ('r_a', 'ops', 'job', 'train', '{}', '{}', '{}', 'p_a', 'admin',
    '2026-01-01 00:00:00Z', 'run', 'running', 'Running', '', false);
insert into attempt (run, replica, number, phase, key, handle, created_at, started_at, metered)
    values ('r_a', 0, 1, 'running', 'k_a', '{"unit": "r_a.0.1"}', '2026-01-01 00:00:00Z',
    '2026-01-01 00:00:01Z', false);
"""


@pytest.fixture
def database(databases: Databases) -> Iterator[Database]:
    opened = Database(databases.emptied())
    yield opened
    opened.close()


def names(database: Database) -> list[str]:
    with database.read() as connection:
        return [team.name for team in list_teams(connection)]


def at_once(*calls: Callable[[], _T]) -> list[_T]:
    """Call all of them at the same moment, as nearly as it can be done; return their answers."""
    together = threading.Barrier(len(calls))

    def call(function: Callable[[], _T]) -> _T:
        together.wait(PATIENCE_S)
        return function()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(call, calls))


# -- the schema ------------------------------------------------------------------------------------


def test_the_migrations_make_exactly_the_tables(databases: Databases) -> None:
    with databases.new() as url, closing(Database(url)) as database:
        database.migrate()
        with database.read() as connection:
            context = MigrationContext.configure(connection, opts={"compare_type": True})
            assert compare_metadata(context, metadata) == []


def test_two_control_planes_may_bring_the_schema_up_to_date_at_once(databases: Databases) -> None:
    with databases.new() as url:
        stores = [Database(url) for _ in range(3)]
        at_once(*(store.migrate for store in stores))
        with stores[0].read() as connection:
            assert revision_of(connection) == newest_revision()
            assert len(connection.execute(select(tables.release)).all()) == 1
        for store in stores:
            store.close()


def test_rows_of_the_first_version_are_brought_forward(databases: Databases) -> None:
    with databases.new() as url, closing(Database(url)) as database:
        with database.write() as connection:
            migrate_to(connection, "0001")
            for statement in filter(str.strip, FIRST.split(";")):
                connection.execute(text(statement.replace(":", r"\:")))
        database.migrate()
        with database.read() as connection:
            (attempt,) = list_attempts(connection, ["r_a"])
        assert (attempt.key, attempt.handle) == ("k_a", {"unit": "r_a.0.1"})
        assert attempt.started_at == datetime(2026, 1, 1, 0, 0, 1, tzinfo=UTC)


def test_endpoints_of_an_earlier_version_are_brought_forward(databases: Databases) -> None:
    with databases.new() as url, closing(Database(url)) as database:
        with database.write() as connection:
            migrate_to(connection, "0005")
        add_endpoints(database)
        database.migrate()
        check_endpoints(database)


def test_the_audit_log_refuses_to_lose_a_row(database: Database) -> None:
    for change in ("delete from audit", "update audit set name = 'x'", "truncate audit"):
        with pytest.raises(Exception, match="append-only"), database.write() as connection:
            connection.exec_driver_sql(change)


# -- several at once -------------------------------------------------------------------------------


def test_what_a_writer_has_read_stays_true_until_it_commits(database: Database) -> None:
    def number() -> int:
        with database.write() as connection:
            found = next_version(connection, "ops", "flights")
            values = {"team": "ops", "name": "flights", "version": found, "digest": f"d{found}"}
            values |= {"uri": "file:///x", "file_name": "x", "size_bytes": 2**40, "rows": 2**33}
            values |= {"columns": [], "created_by": "admin", "created_at": NOW}
            connection.execute(tables.data_version.insert().values(**values))
            return found

    with database.write() as connection:
        add_team(connection, "ops", NOW)
    assert sorted(at_once(*[number] * 8)) == list(range(1, 9))


def test_of_several_who_add_the_same_one_adds_it_and_the_others_are_told(
    database: Database,
) -> None:
    def add() -> str:
        try:
            with database.write() as connection:
                return add_team(connection, "ops", NOW).name
        except Conflict as err:
            return err.code

    assert sorted(at_once(*[add] * 6)) == ["ops", *["team_exists"] * 5]


def test_claims_go_beside_a_writer_and_beside_each_other(database: Database) -> None:
    with database.write() as connection:
        for number in range(40):
            run_in(connection, f"r_{number}", created_at=later(number))
    inside, ended = threading.Event(), threading.Event()

    def write_for_long() -> None:
        with database.write() as connection:
            connection.execute(
                tables.run.update().where(tables.run.c.id == "r_0").values(due_at=NOW)
            )
            inside.set()
            assert ended.wait(PATIENCE_S)

    def claim(holder: Holder) -> list[str]:
        with database.write(alone=False) as connection:
            taken = claim_due(
                connection, tables.run, holder=holder, now=later(100), lease_s=60, limit=15
            )
            return [each.key for each in taken]

    writer = threading.Thread(target=write_for_long)
    writer.start()
    assert inside.wait(PATIENCE_S)
    first, second = at_once(lambda: claim(ONE), lambda: claim(OTHER))
    ended.set()
    writer.join()
    assert len({*first, *second}) == len(first) + len(second) == 30
    # What the writer has changed and not committed is passed over, and found the next time.
    assert "r_0" not in (*first, *second)
    assert "r_0" in claim(ONE)


def test_of_several_who_take_a_duty_at_once_one_gets_it(database: Database) -> None:
    def take(holder: Holder) -> bool:
        with database.write(alone=False) as connection:
            return take_duty(connection, "meter", holder, now=NOW, lease_s=60)

    holders = [Holder.begin(f"control-{number}@1") for number in range(6)]
    taken = at_once(*(lambda holder=each: take(holder) for each in holders))
    assert sorted(taken) == [False] * 5 + [True]


def test_a_writer_that_stands_still_is_ended_and_the_next_goes_on(databases: Databases) -> None:
    url = databases.emptied()
    with closing(Database(url, longest_pause_s=1)) as paused, closing(Database(url)) as other:

        def stand_still() -> None:
            with paused.write() as connection:
                add_team(connection, "mine", NOW)
                with other.write() as beside:
                    add_team(beside, "ops", NOW)
                add_team(connection, "more", NOW)

        with pytest.raises(Temporary) as caught:
            stand_still()
        assert caught.value.code == "unavailable"
        assert names(paused) == ["ops"]


def test_a_reader_sees_one_snapshot_and_can_change_nothing(database: Database) -> None:
    with database.read() as reader:
        assert list_teams(reader) == []
        with database.write() as writer:
            add_team(writer, "ops", NOW)
        assert list_teams(reader) == []
    with pytest.raises(Exception, match="read-only"), database.read() as reader:
        add_team(reader, "more", NOW)


# -- time ------------------------------------------------------------------------------------------


def test_leases_count_by_the_clock_of_the_database(database: Database) -> None:
    clock = FakeClock(NOW)
    assert database.is_shared
    with database.read() as connection:
        first = database.now(connection, clock)
        second = database.now(connection, clock)
    assert NOW < first < second
    assert abs(datetime.now(UTC) - second) < timedelta(seconds=PATIENCE_S)


def test_a_lease_ends_by_that_clock_whatever_this_machines_says(database: Database) -> None:
    def claim(connection: Connection, holder: Holder, lease_s: float) -> Claim | None:
        now = database.now(connection, FakeClock(NOW))
        taken = claim_due(connection, tables.run, holder=holder, now=now, lease_s=lease_s, limit=1)
        return taken[0] if taken else None

    with database.write() as connection:
        run_in(connection, "r_long")
        assert claim(connection, ONE, lease_s=300) is not None
        assert claim(connection, OTHER, lease_s=300) is None
        run_in(connection, "r_short")
        mine = claim(connection, ONE, lease_s=0.001)
        connection.execute(text("select pg_sleep(0.01)"))
        assert any_due(connection, tables.run, database.now(connection, FakeClock(NOW)))
        others = claim(connection, OTHER, lease_s=300)
        assert mine is not None
        assert others is not None
        assert mine.key == others.key == "r_short"
        assert not apply_leased(connection, tables.run, mine, {"reason": "Late"}, None)
        assert apply_leased(connection, tables.run, others, {"reason": "Mine"}, None)


# -- trouble ---------------------------------------------------------------------------------------


def test_a_connection_that_broke_is_replaced(database: Database, databases: Databases) -> None:
    assert names(database) == []

    def break_off() -> None:
        # It waits until each of them has ended.
        kill = "select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = {}"
        databases.server.execute(sql.SQL(kill).format(sql.Literal("suite")))

    break_off()
    assert names(database) == []

    def broken_half_way() -> None:
        with database.write() as connection:
            add_team(connection, "ops", NOW)
            break_off()
            add_team(connection, "more", NOW)

    with pytest.raises(Temporary) as caught:
        broken_half_way()
    assert caught.value.code == "unavailable"
    assert names(database) == []


def test_a_server_that_was_killed_comes_back_with_all_that_was_committed(
    database: Database, databases: Databases
) -> None:
    with database.write() as connection:
        add_team(connection, "ops", NOW)
    databases.server.kill()
    with pytest.raises(Temporary) as caught:
        names(database)
    assert caught.value.code == "unavailable"
    assert PASSWORD not in caught.value.message
    databases.server.start()
    assert names(database) == ["ops"]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ((PASSWORD, "another-word"), "password authentication failed"),
        (("/suite", "/nowhere"), 'database "nowhere" does not exist'),
    ],
)
def test_a_wrong_address_says_what_the_server_says(
    databases: Databases, wrong: tuple[str, str], said: str
) -> None:
    database = Database(databases.url.replace(*wrong))
    with pytest.raises(Temporary, match=said) as caught:
        database.check()
    assert caught.value.hint is not None
    assert not {PASSWORD, "another-word"} & set(str(caught.value).split("`"))
    database.close()


def test_a_value_that_no_column_takes_is_the_callers_mistake(database: Database) -> None:
    for name in ("nul\0", "x" * 25):
        with (
            pytest.raises(Invalid, match="does not fit the database"),
            database.write() as connection,
        ):
            add_team(connection, name, NOW)
    assert names(database) == []
