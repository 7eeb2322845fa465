"""A home of an earlier version is brought to this one with all it holds."""

from __future__ import annotations

import shutil
import tempfile
from datetime import UTC, datetime
from functools import cache
from io import StringIO
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from sqlalchemy import inspect

from plinth.store import session
from plinth.store.endpoints import list_endpoints
from plinth.store.runs import Attempt, add_attempt, find_run, list_attempts
from plinth.store.session import Database, engine_of

MIGRATIONS = Path(session.__file__).parent / "migrations"

# What an attempt needs beside it, as the first version wrote it.
FIRST = """
insert into team values ('ops', '2026-01-01 00:00:00.000000');
insert into principal values ('p_a', 'run', 'r', 'ops', '2026-01-01 00:00:00.000000');
insert into key values ('k_a', 'p_a', 'x', '2026-01-01 00:00:00.000000',
    '2026-01-02 00:00:00.000000', null);
insert into run (id, team, kind, name, workload, data, plan, principal, created_by, created_at,
    desired, phase, reason, message, closed)
    values ('r_a', 'ops', 'job', 'train', '{}', '{}', '{}', 'p_a', 'admin',
    '2026-01-01 00:00:00.000000', 'run', 'running', 'Running', '', 0);
insert into attempt (run, replica, number, phase, key, handle, created_at, started_at, metered)
    values ('r_a', 0, 1, 'running', 'k_a', '{"unit": "r_a.0.1"}', '2026-01-01 00:00:00.000000',
    '2026-01-01 00:00:01.000000', 0);
"""

# Endpoints of the schema before deployments had names: one that serves and is to serve another
# run, one that was stopped, and a name that nothing stands behind.
ENDPOINTS = """
insert into team values ('ops', '2026-01-01 00:00:00.000000');
insert into principal values ('p_a', 'run', 'r', 'ops', '2026-01-01 00:00:00.000000', null);
insert into run (id, team, kind, name, workload, data, plan, principal, created_by, created_at,
    desired, phase, reason, message, closed)
    values ('r_{0}', 'ops', 'endpoint', '{1}',
    '{{"kind": "endpoint", "name": "{1}", "team": "ops", "model": "models:/m/{2}"}}',
    '{{}}', '{{"workload": "{1}", "chosen": null, "rejected": [], "inputs_digest": "d"}}', 'p_a',
    'admin', '2026-01-0{2} 00:00:00.000000', 'run', 'running', 'Ready', '', false);
insert into endpoint (name, team, desired, serving, next, reason, message, created_at, created_by,
    updated_at, due_at) values ('{0}', 'ops', '{1}', {2}, {3}, 'Serving', 'serves',
    '2026-01-01 00:00:00.000000', 'admin', '2026-01-02 00:00:00.000000',
    '2026-01-03 00:00:00.000000');
"""


def at_revision(path: Path, revision: str) -> Database:
    """Bring a database to a revision; there need be none yet."""
    if not path.exists():
        shutil.copyfile(_template(revision), path)
        return Database(path)
    return _brought(path, revision)


@cache
def _template(revision: str) -> Path:
    # Migrating costs more than most tests that begin with it.
    path = Path(tempfile.mkdtemp(prefix="pl-")) / "template.db"
    _brought(path, revision).close()
    return path


def _brought(path: Path, revision: str) -> Database:
    database = Database(path)
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with database.write() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    return database


def test_attempts_of_the_first_version_are_kept(tmp_path: Path) -> None:
    database = at_revision(tmp_path / "plinth.db", "0001")
    with database.write() as connection:
        for statement in filter(str.strip, FIRST.split(";")):
            connection.exec_driver_sql(statement)
    database.migrate()
    with database.read() as connection:
        (attempt,) = list_attempts(connection, ["r_a"])
    assert isinstance(attempt, Attempt)
    assert attempt.key == "k_a"
    assert (attempt.handle, attempt.seen_at, attempt.metered) == ({"unit": "r_a.0.1"}, None, False)
    database.close()


def test_polls_get_their_indexes_and_a_server_needs_no_key(tmp_path: Path) -> None:
    database = at_revision(tmp_path / "plinth.db", "0001")
    with database.write() as connection:
        for statement in filter(str.strip, FIRST.split(";")):
            connection.exec_driver_sql(statement)
    database.migrate()
    found = inspect(engine_of(database))
    names = {index["name"] for table in ("run", "attempt") for index in found.get_indexes(table)}
    assert names == {
        "ix_run_deleted_at",
        "ix_run_due_at",
        "ix_run_phase",
        "ix_run_team_kind_name_phase",
        "ix_attempt_unmetered",
    }
    with database.write() as connection:
        (attempt,) = list_attempts(connection, ["r_a"])
        add_attempt(connection, attempt.model_copy(update={"number": 2, "key": None}))
        assert [each.key for each in list_attempts(connection, ["r_a"])] == ["k_a", None]
    database.close()


def add_endpoints(database: Database) -> None:
    """Write the rows of `ENDPOINTS` into a store of the schema before they had names."""
    team, principal, run, endpoint = filter(str.strip, ENDPOINTS.split(";"))
    with database.write() as connection:
        for statement in (
            team,
            principal,
            run.format("a", "live", 1),
            run.format("b", "live", 2),
            run.format("c", "idle", 3),
            run.format("d", "idle", 4),
            endpoint.format("live", "run", "'r_a'", "'r_b'"),
            endpoint.format("idle", "stop", "null", "null"),
            endpoint.format("ghost", "stop", "null", "null"),
        ):
            connection.exec_driver_sql(statement)


def check_endpoints(database: Database) -> None:
    """Check that what `add_endpoints` wrote is what this version makes of it."""
    with database.read() as connection:
        idle, live = list_endpoints(connection)
        runs = [find_run(connection, run) for run in ("r_a", "r_b", "r_c", "r_d")]
    assert (live.serving, live.next) == ({"main": "r_a"}, {"main": "r_b"})
    assert (live.workload.model, live.before) == ("models:/m/2", None)
    assert (idle.desired, idle.serving, idle.next) == ("stop", {}, {})
    assert idle.workload.model == "models:/m/4"
    assert {run.deployment for run in runs} == {"main"}
    assert live.updated_at == datetime(2026, 1, 2, tzinfo=UTC)


def test_endpoints_of_an_earlier_version_have_one_deployment_with_a_name(tmp_path: Path) -> None:
    database = at_revision(tmp_path / "plinth.db", "0005")
    add_endpoints(database)
    database.migrate()
    check_endpoints(database)
    database.close()


def test_every_migration_is_also_said_in_the_words_of_postgresql() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    output = StringIO()
    options = {"as_sql": True, "output_buffer": output}
    context = MigrationContext.configure(dialect_name="postgresql", opts=options)
    revisions = list(ScriptDirectory.from_config(config).walk_revisions())
    with Operations.context(context):
        for revision in reversed(revisions):
            revision.module.upgrade()
    statements = output.getvalue()
    assert "ALTER TABLE attempt ALTER COLUMN key DROP NOT NULL" in statements
    assert "(due_at) WHERE due_at IS NOT NULL" in statements
    assert "WHERE metered IS false AND started_at IS NOT NULL" in statements
