"""Which versions a home's databases have, and whether this Plinth may work with them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from plinth import __version__
from plinth.kit.errors import Conflict
from plinth.kit.home import Home
from plinth.kit.settings import load_settings
from plinth.metering.ledger import LEDGER_VERSION
from plinth.store.schema import knows, newer, newest_revision, revision_of, written_by
from plinth.tracking.server import MLFLOW_SCHEMA
from plinth.upkeep import databases
from plinth.upkeep.contents import tracking_database
from plinth.upkeep.stores import open_store, sqlite_revision, sqlite_writer


@dataclass(frozen=True, slots=True)
class Part:
    """One database of a home. `found`: its version, None where there is none yet."""

    name: str
    found: str | None
    wanted: str

    @property
    def is_older(self) -> bool:
        """Tell whether it must be brought forward."""
        return self.found is not None and self.found != self.wanted


@dataclass(frozen=True, slots=True)
class Standing:
    """How the databases of a home stand to this Plinth. `writer`: who made the store's schema."""

    store: Part
    ledger: Part
    tracking: Part
    writer: str | None

    @property
    def parts(self) -> tuple[Part, ...]:
        """All of them."""
        return self.store, self.ledger, self.tracking

    @property
    def older(self) -> tuple[Part, ...]:
        """Those that must be brought forward."""
        return tuple(part for part in self.parts if part.is_older)


def standing(home: Home, *, ask_store: bool = True) -> Standing:
    """Look at the home without changing it. Raises Conflict when a newer Plinth wrote it.

    `ask_store`: also ask a PostgreSQL store, which may raise Temporary when it is away.
    """
    revision, writer = _store(home, ask_store=ask_store)
    if not knows(revision):
        raise newer(str(revision), writer, back=_way_back(home))
    return Standing(
        store=Part("store", revision, newest_revision()),
        ledger=_ledger(home),
        tracking=_tracking(home),
        writer=writer,
    )


def refuse_newer(home: Home) -> None:
    """Return if this Plinth can work with the home. Raises Conflict when a newer one wrote it."""
    standing(home)


def check_startable(home: Home) -> None:
    """Return if `plinth up` may start this home.

    The store and the ledger are brought forward as the control plane starts; MLflow's database
    only by `plinth upgrade`. Raises Conflict for that, and for a home that a newer Plinth wrote.
    """
    # An unreachable PostgreSQL is for the control plane to tell, again and again.
    part = standing(home, ask_store=False).tracking
    if part.is_older:
        raise Conflict(
            f"MLflow's database has schema `{part.found}`; this Plinth's MLflow needs "
            f"`{part.wanted}`",
            hint="`plinth upgrade` makes a backup and brings it forward",
            code="upgrade_needed",
        )


def backups_of(home: Home) -> Path:
    """Return where `plinth upgrade` keeps its backups, unless it is told another place."""
    return home.root / "backups"


def _way_back(home: Home) -> str:
    """Say how to go on with this Plinth: from the newest backup that it can restore."""
    folder = backups_of(home)
    found = [path for path in folder.glob("schema-*-before-*.tar") if knows(_schema_in(path))]
    if not found:
        return (
            "restore a backup from before into another home; there is none that fits in "
            f"`{folder}`: docs/howto/backup-and-upgrade.md"
        )
    newest = max(found, key=lambda path: path.stat().st_mtime)
    return (
        f"`plinth restore {newest} --home DIR` makes another home, as it was before "
        f"{_time_of(newest)}; what came later stays here"
    )


def _schema_in(path: Path) -> str | None:
    """Return the schema that the name of a backup says; None: it was made before any store."""
    schema = path.name.split("-")[1]
    return None if schema == "none" else schema


def _time_of(path: Path) -> str:
    return f"{datetime.fromtimestamp(path.stat().st_mtime, UTC):%Y-%m-%d %H:%M} UTC"


def _store(home: Home, *, ask_store: bool) -> tuple[str | None, str | None]:
    settings = load_settings(home.root)
    if settings.database:
        if not ask_store:
            return None, None
        store = open_store(home, settings)
        try:
            with store.read() as connection:
                return revision_of(connection), written_by(connection)
        finally:
            store.close()
    if not home.database.exists():
        return None, None
    return sqlite_revision(home.database), sqlite_writer(home.database)


def _ledger(home: Home) -> Part:
    found = None
    if home.ledger.exists():
        ((version,),) = databases.ask(home.ledger, "pragma user_version")
        found = int(str(version))
    if found is not None and found > LEDGER_VERSION:
        raise Conflict(
            f"the ledger of this home has version {found}, and which release wrote that is not "
            f"known; this is Plinth {__version__}, which knows versions up to {LEDGER_VERSION}",
            hint=f"go on with the program that wrote it, or {_way_back(home)}",
            code="newer_home",
        )
    # One that was made and not set up yet is made whole when it is opened.
    return Part("ledger", str(found) if found else None, str(LEDGER_VERSION))


def _tracking(home: Home) -> Part:
    path = tracking_database(home)
    rows = databases.ask(path, "select version_num from alembic_version") if path.exists() else []
    return Part("MLflow", str(rows[0][0]) if rows else None, MLFLOW_SCHEMA)
