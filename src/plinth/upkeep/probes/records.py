"""Probes of what is stored: the databases, their versions, and the files that rows point to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from plinth.kit.clock import to_text
from plinth.kit.errors import PlinthError
from plinth.metering.ledger import LEDGER_VERSION
from plinth.store.schema import PARTS, knows, missing_parts, newest_revision, revision_of
from plinth.tracking.server import MLFLOW_SCHEMA
from plinth.upkeep import databases
from plinth.upkeep.contents import tracking_database
from plinth.upkeep.finding import Finding, Scene, failed, ok, skipped, warning
from plinth.upkeep.references import needed_files
from plinth.upkeep.stores import open_store, sqlite_revision

_NOT_YET = "there is none yet; `plinth up` makes it"
_RESTORE = "restore the last backup into a new home: `plinth restore FILE --home DIR`"
_NEWER = (
    "install the newer Plinth again, or restore the backup that its `plinth upgrade` made: "
    "docs/howto/backup-and-upgrade.md"
)
_SHOWN_PARTS = 5
_UPGRADE = "`plinth upgrade` makes a backup and brings it forward"


def probe_store(scene: Scene) -> Finding:
    """Read the whole store, or ask PostgreSQL, and compare its schema with ours."""
    name = "store"
    if scene.settings.database:
        return _postgresql(name, scene)
    path = scene.home.database

    def schema() -> Finding:
        missing = missing_parts("sqlite", databases.ask(path, PARTS["sqlite"]))
        return _schema(name, sqlite_revision(path), "SQLite", missing)

    return _file(name, path, schema)


def probe_ledger(scene: Scene) -> Finding:
    """Read the whole ledger; gaps in it are told too."""
    name, path = "ledger", scene.home.ledger
    return _file(name, path, lambda: _ledger(name, path))


def probe_tracking_database(scene: Scene) -> Finding:
    """Read the whole database of MLflow."""
    name, path = "MLflow's database", tracking_database(scene.home)

    def version() -> Finding:
        rows = databases.ask(path, "select version_num from alembic_version")
        found = str(rows[0][0]) if rows else None
        if found not in (None, MLFLOW_SCHEMA):
            fact = f"it has schema `{found}`; this Plinth's MLflow needs `{MLFLOW_SCHEMA}`"
            return failed(name, fact, _UPGRADE)
        return ok(name, "every page can be read")

    return _file(name, path, version)


def probe_files(scene: Scene) -> Finding:
    """Look for each file that a row of the store points to."""
    name, path = "stored files", scene.home.database
    if scene.settings.database or not path.exists():
        return skipped(name, "there is no store in the home")
    try:
        needed = needed_files(scene.home, path)
    except PlinthError as err:
        return skipped(name, f"the store cannot be read: {err.message}")
    missing = [each for each in needed if not (scene.home.root / each).is_file()]
    if missing:
        fact = f"{len(missing)} of {len(needed)} are missing, among them `{missing[0]}`"
        return failed(name, fact, "copy them back from a backup (it is a tar file)")
    kinds = "data versions, code snapshots and diffs, and master keys"
    return ok(name, f"{len(needed)} {kinds} are there")


def _file(name: str, path: Path, version: Callable[[], Finding]) -> Finding:
    if not path.exists():
        return skipped(name, _NOT_YET)
    try:
        damage = databases.check_sqlite(path)
        if damage is not None:
            return failed(name, f"`{path}` is damaged: {damage}", _RESTORE)
        return version()
    except PlinthError as err:
        return failed(name, err.message, err.hint or _RESTORE)


def _schema(name: str, found: str | None, where: str, missing: Sequence[str]) -> Finding:
    newest = newest_revision()
    if not knows(found):
        fact = f"schema `{found}` is of a newer Plinth; this one knows up to `{newest}`"
        return failed(name, fact, _NEWER)
    if found != newest:
        fact = f"{where}, schema `{found}`; this Plinth works with `{newest}`"
        return warning(name, fact, f"{_UPGRADE}; `plinth up` alone does it without a backup")
    if missing:
        more = f", and {len(missing) - _SHOWN_PARTS} more" if len(missing) > _SHOWN_PARTS else ""
        fact = f"of its schema `{found}` are missing: {', '.join(missing[:_SHOWN_PARTS])}{more}"
        return failed(name, fact, _RESTORE)
    return ok(name, f"{where}, every page can be read, schema `{found}`")


def _postgresql(name: str, scene: Scene) -> Finding:
    try:
        store = open_store(scene.home, scene.settings)
        try:
            with store.read() as connection:
                found = connection.execute(text(PARTS["postgresql"]))
                missing = missing_parts("postgresql", [tuple(row) for row in found])
                revision = revision_of(connection)
                return _schema(name, revision, "PostgreSQL answers", missing)
        finally:
            store.close()
    except PlinthError as err:
        return failed(name, err.message, err.hint or "start PostgreSQL, or mend `database`")
    except SQLAlchemyError as err:
        # The address holds a password: only the first words of the driver are shown.
        words = str(getattr(err, "orig", None) or type(err).__name__).splitlines()[0]
        return failed(name, f"PostgreSQL refuses: {words}", "mend `database` in settings.toml")


def _ledger(name: str, path: Path) -> Finding:
    ((version,),) = databases.ask(path, "pragma user_version")
    if int(str(version)) > LEDGER_VERSION:
        fact = f"version {version} is of a newer Plinth; this one knows up to {LEDGER_VERSION}"
        return failed(name, fact, _NEWER)
    fact = f"every page can be read, {_count(path, 'usage'):,} records"
    gaps = _count(path, "gaps")
    if gaps == 0:
        return ok(name, fact)
    fact += f"; in {gaps} intervals usage may be missing"
    # What lies longer back is history: `plinth status` and `plinth bill` tell it.
    yesterday = to_text(datetime.now(UTC) - timedelta(days=1))
    if not databases.ask(path, f"select 1 from gaps where ended_at > '{yesterday}' limit 1"):
        return ok(name, fact)
    return warning(name, fact, "`plinth usage --gaps` says when and why; `plinth logs envoy`")


def _count(path: Path, table: str) -> int:
    rows = databases.ask(path, f"select count(*) from {table}")
    return int(str(rows[0][0])) if rows else 0


PROBES = (probe_store, probe_ledger, probe_tracking_database, probe_files)
