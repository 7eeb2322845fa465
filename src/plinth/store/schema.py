"""Which version of the schema a store has, and the refusal of one that a newer Plinth wrote.

`Database.migrate` calls it before and after the migrations; backup, restore and upgrade ask it.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, insert, inspect, select

from plinth import __version__
from plinth.kit.errors import Conflict
from plinth.store import tables

# What refuses to change the audit log, by kind of database (migration 0004).
_TRIGGERS = {
    "sqlite": ("audit_no_update", "audit_no_delete", "audit_no_replace"),
    "postgresql": ("audit_append_only",),
}
_SQLITE_PARTS = "select type, name from sqlite_master where type in ('table', 'trigger')"
_POSTGRESQL_PARTS = (
    "select 'table', tablename from pg_tables where schemaname = current_schema() "
    "union all select 'trigger', tgname from pg_trigger where not tgisinternal and tgrelid in "
    "(select c.oid from pg_class c join pg_namespace n on n.oid = c.relnamespace "
    "where n.nspname = current_schema())"
)
PARTS = {"sqlite": _SQLITE_PARTS, "postgresql": _POSTGRESQL_PARTS}

_MIGRATIONS = Path(__file__).parent / "migrations"
_BACK = (
    "restore a backup from before into another home (`plinth upgrade` makes one in `backups`): "
    "docs/howto/backup-and-upgrade.md"
)


def newest_revision() -> str:
    """Return the schema that this Plinth works with."""
    head = _scripts().get_current_head()
    assert head is not None  # there is a first migration
    return head


def knows(revision: str | None) -> bool:
    """Tell whether this Plinth can bring a store of that schema forward; None: an empty one."""
    return revision is None or revision in {each.revision for each in _scripts().walk_revisions()}


@cache
def _scripts() -> ScriptDirectory:
    # Each one reads and executes every migration anew: tens of milliseconds.
    return ScriptDirectory(str(_MIGRATIONS))


def revision_of(connection: Connection) -> str | None:
    """Return the schema that the store has; None for an empty one."""
    return MigrationContext.configure(connection).get_current_revision()


def written_by(connection: Connection) -> str | None:
    """Return the Plinth that brought the schema to where it is; None where none has said so."""
    revision = revision_of(connection)
    if revision is None or not inspect(connection).has_table(tables.release.name):
        return None
    table = tables.release
    query = select(table.c.plinth).where(table.c.revision == revision)
    found = connection.execute(query.order_by(table.c.id.desc()).limit(1)).scalar()
    return None if found is None else str(found)


def missing_parts(dialect: str, found: Iterable[tuple[object, ...]]) -> list[str]:
    """Return which tables and triggers of the newest schema are not there, as ``table `audit` ``.

    `dialect`: `sqlite` or `postgresql`. `found`: the answer to `PARTS[dialect]`, kinds and names.
    """
    needed = [("table", name) for name in ("alembic_version", *sorted(tables.metadata.tables))]
    needed += [("trigger", name) for name in _TRIGGERS[dialect]]
    there = {(str(kind), str(name)) for kind, name in found}
    return [f"{kind} `{name}`" for kind, name in needed if (kind, name) not in there]


def check_known(connection: Connection) -> None:
    """Return if this Plinth can work with the store, or bring it forward. Raises Conflict."""
    revision = revision_of(connection)
    if not knows(revision):
        raise newer(str(revision), written_by(connection))


def newer(
    revision: str, plinth: str | None, *, what: str = "this home", back: str = _BACK
) -> Conflict:
    """Return the refusal of a schema that is not ours.

    `plinth`: the version that wrote it, where that is known. `back`: how to go on with this one.
    """
    own = f"this is Plinth {__version__}, which knows schemas up to `{newest_revision()}`"
    install = "go on with the program that wrote it"
    if plinth is None:
        fact = f"{what} has schema `{revision}`, and which release wrote that is not known"
    elif plinth == __version__:
        fact = (
            f"{what} has schema `{revision}`, written by another build of Plinth {plinth} that "
            "calls itself so too"
        )
    else:
        install = f"install Plinth {plinth}"
        fact = f"{what} was written by Plinth {plinth} (schema `{revision}`)"
    return Conflict(f"{fact}; {own}", hint=f"{install}, or {back}", code="newer_home")


def migrate_to(connection: Connection, revision: str) -> None:
    """Bring the schema forward to `revision` (`head`: the newest) inside the open transaction.

    Says in the table of releases which Plinth did it. Does nothing when the schema is there.
    """
    before = revision_of(connection)
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)
    after = revision_of(connection)
    if after != before and inspect(connection).has_table(tables.release.name):
        connection.execute(
            insert(tables.release).values(
                revision=after, plinth=__version__, at=datetime.now(UTC).replace(microsecond=0)
            )
        )
