"""Which version of the schema a store has, and the refusal of one that a newer Plinth wrote.

`Database.migrate` calls it before and after the migrations; backup, restore and upgrade ask it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, insert, inspect, select

from plinth import __version__
from plinth.kit.errors import Conflict
from plinth.store import tables

_MIGRATIONS = Path(__file__).parent / "migrations"


def newest_revision() -> str:
    """Return the schema that this Plinth works with."""
    head = ScriptDirectory(str(_MIGRATIONS)).get_current_head()
    assert head is not None  # there is a first migration
    return head


def knows(revision: str | None) -> bool:
    """Tell whether this Plinth can bring a store of that schema forward; None: an empty one."""
    known = {each.revision for each in ScriptDirectory(str(_MIGRATIONS)).walk_revisions()}
    return revision is None or revision in known


def revision_of(connection: Connection) -> str | None:
    """Return the schema that the store has; None for an empty one."""
    return MigrationContext.configure(connection).get_current_revision()


def written_by(connection: Connection) -> str | None:
    """Return the Plinth that last changed the schema; None where none has said so."""
    if not inspect(connection).has_table(tables.release.name):
        return None
    table = tables.release
    query = select(table.c.plinth).order_by(table.c.id.desc()).limit(1)
    found = connection.execute(query).scalar()
    return None if found is None else str(found)


def check_known(connection: Connection) -> None:
    """Return if this Plinth can work with the store, or bring it forward. Raises Conflict."""
    revision = revision_of(connection)
    if not knows(revision):
        raise newer(str(revision), written_by(connection))


def newer(revision: str, plinth: str | None) -> Conflict:
    """Return the refusal of a schema that is not ours; `plinth`: the version that wrote it."""
    writer = f"Plinth {plinth}" if plinth else "a newer Plinth"
    return Conflict(
        f"this home was written by {writer} (schema `{revision}`); this is Plinth {__version__}, "
        f"which knows schemas up to `{newest_revision()}`",
        hint=f"install {writer} again, or restore the backup that its `plinth upgrade` made: "
        "docs/howto/backup-and-upgrade.md",
        code="newer_home",
    )


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
