"""A fresh database with the newest schema on PostgreSQL, and a suite's tests to run on it."""

from __future__ import annotations

import inspect
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy import Connection

from plinth.kit.clock import Clock
from plinth.store.session import Database
from plinth.store.tables import metadata
from tests.journeys.plinth_node import Plinth, running_plinth
from tests.journeys.postgres_server import PostgresServer
from tests.store.rows import plan_of

_numbers = count(1)


class SteppedDatabase(Database):
    """A database whose leases follow a test's clock, which can stand still, not the server's."""

    def now(self, connection: Connection, clock: Clock) -> datetime:
        return clock.now()


class Databases:
    """Gives databases on one server: new ones, or one that is emptied each time (0.3 s less)."""

    def __init__(self, server: PostgresServer) -> None:
        self.server = server
        self.url = server.create("suite")
        with closing(Database(self.url)) as made:
            made.migrate()
        with server.connect("suite") as connection:
            self._emptying = _emptying(connection)

    @contextmanager
    def new(self) -> Iterator[str]:
        """Give the address of a database of its own, without a schema, for a block."""
        name = f"test_{next(_numbers)}"
        yield self.server.create(name)
        self.server.drop(name)

    def emptied(self) -> str:
        """Return the address of a database with the newest schema and no rows."""
        self.server.execute(self._emptying, "suite")
        return self.url


def _emptying(connection: psycopg.Connection[Any]) -> sql.Composable:
    """Return what brings every table back to what it held right after the migrations."""
    # The audit log's trigger refuses to lose rows.
    statements: list[sql.Composable] = [sql.SQL("set session_replication_role = replica")]
    statements += [
        sql.SQL("delete from {}").format(sql.Identifier(table.name))
        for table in metadata.sorted_tables
    ]
    # The migrations say in these what they did.
    (version,) = connection.execute("select version_num from alembic_version").fetchone() or ("",)
    statements.append(
        sql.SQL("update alembic_version set version_num = {}").format(sql.Literal(version))
    )
    for row in connection.execute("select id, revision, plinth, at from release"):
        values = sql.SQL(", ").join(map(sql.Literal, row))
        statements.append(
            sql.SQL("insert into release (id, revision, plinth, at) values ({})").format(values)
        )
    return sql.SQL("; ").join(statements)


@contextmanager
def plinth_on(
    databases: Databases, name: str, cache: Path, port: int, *settings: str
) -> Iterator[Plinth]:
    """Run a Plinth for a block whose store is the new database `name`."""
    home = Path(tempfile.mkdtemp(prefix="pl-"))
    lines = (f'database = "{databases.server.create(name)}"', *settings)
    (home / "settings.toml").write_text("\n".join(lines) + "\n")
    with running_plinth(cache, port, folder=home) as plinth:
        yield plinth


def suite(module: ModuleType, fixture: str) -> type:
    """Return a class of the module's tests that take `fixture`.

    The fixture is then the one of the module in which the class stands.
    """
    return type(
        f"Test{module.__name__}",
        (),
        {
            name: staticmethod(test)
            for name, test in vars(module).items()
            if _is_wanted(name, test, fixture)
        },
    )


def _is_wanted(name: str, test: Callable[..., Any], fixture: str) -> bool:
    if not name.startswith("test_") or fixture not in inspect.signature(test).parameters:
        return False
    # How SQLite finds rows says nothing of PostgreSQL.
    return plan_of.__name__ not in test.__code__.co_names
