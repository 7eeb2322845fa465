"""Rows that other rows need."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, event

from plinth.domain.access import Principal, PrincipalKind
from plinth.domain.plan import Plan
from plinth.domain.run import Phase
from plinth.domain.workload import WORKLOAD
from plinth.store.identities import add_key, add_principal, add_team, find_team
from plinth.store.runs import Attempt, StoredRun, add_attempt, add_run
from plinth.store.session import Database, engine_of

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
JOB = {"kind": "job", "name": "train", "command": ["python"]}
ENDPOINT = {"kind": "endpoint", "name": "delay", "model": "models:/m/1"}


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def plan_of(database: Database, query: Callable[[Connection], object]) -> list[str]:
    """Return how SQLite would find the rows of each statement that `query` executes."""
    statements: list[tuple[str, Any]] = []

    def note(_c: Any, _cursor: Any, statement: str, parameters: Any, *_rest: Any) -> None:
        statements.append((statement, parameters))

    engine = engine_of(database)
    event.listen(engine, "before_cursor_execute", note)
    with database.read() as connection:
        query(connection)
    event.remove(engine, "before_cursor_execute", note)
    with database.read() as connection:
        return [
            row.detail
            for statement, parameters in statements
            if statement.startswith("SELECT")
            for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
        ]


def principal_in(connection: Connection, team: str) -> Principal:
    if find_team(connection, team) is None:
        add_team(connection, team, NOW)
    return add_principal(connection, kind=PrincipalKind.RUN, name="run", team=team, now=NOW)


def run_in(connection: Connection, run_id: str, team: str = "research", **fields: Any) -> StoredRun:
    """Add a run with its principal."""
    workload = fields.pop("workload", JOB)
    run = StoredRun(
        id=run_id,
        team=team,
        workload=WORKLOAD.validate_python({**workload, "team": team}),
        code_digest=None,
        model=fields.pop("model", None),
        data=fields.pop("data", {}),
        plan=Plan(workload="train", chosen=None, rejected=(), inputs_digest="d"),
        principal=principal_in(connection, team).id,
        created_by="admin",
        created_at=fields.pop("created_at", NOW),
        **({"deployment": "main"} if workload["kind"] == "endpoint" else {}) | fields,
    )
    add_run(connection, run)
    return run


def attempt_of(connection: Connection, run: StoredRun, number: int = 1) -> Attempt:
    """Add an attempt with its key."""
    principal = principal_in(connection, run.team)
    key = add_key(connection, principal=principal, label="x", expires_at=later(60), now=NOW)
    attempt = Attempt(
        run=run.id,
        replica=0,
        number=number,
        phase=Phase.STARTING,
        key=key.id,
        handle={"unit": f"{run.id}.0.{number}"},
        created_at=NOW,
    )
    add_attempt(connection, attempt)
    return attempt
