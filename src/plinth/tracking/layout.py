"""Bring MLflow's files of the first Plinth to where this one looks for them.

The first Plinth called a team's workspace as the team; now it is `team-NAME`, and MLflow's own
workspace `default` is nobody's (`domain.access.workspace_of`). Called before MLflow starts, and
only while it does not run. A kill at any point is gone on from: the folders are put aside, then
the database changes and says so in one transaction, then the folders get their place. No file is
ever removed: where two meet, the later one goes into a folder `before-upgrade` of its workspace.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from contextlib import closing
from pathlib import Path

from plinth.domain.access import workspace_of
from plinth.kit.files import locked, make_private
from plinth.kit.home import Home

# Kept in the database's `user_version`, which MLflow does not use.
LAYOUT = 2
_OWN = "default"
_SPARE = "before-upgrade"
_NAMED = "mlflow-artifacts:/workspaces/"
# Where MLflow 3.17 keeps an artifact's address, and which rows have one. Addresses without a
# workspace's name are read inside the workspace of the request: they stay right.
_ADDRESSES = (
    ("experiments", "artifact_location", ""),
    ("runs", "artifact_uri", ""),
    ("logged_models", "artifact_location", ""),
    ("model_versions", "source", ""),
    ("model_versions", "storage_location", ""),
    ("trace_tags", "value", "key = 'mlflow.artifactLocation' and "),
)


def database_of(home: Home) -> Path:
    """Return MLflow's database."""
    return home.tracking / "mlflow.db"


def is_old(home: Home) -> bool:
    """Tell whether `bring_forward` has something to do."""
    database = database_of(home)
    if not database.exists() or aside(home).exists():
        return True
    with closing(sqlite3.connect(database)) as connection:
        return _version(connection) < LAYOUT


def aside(home: Home) -> Path:
    """Return where the artifacts lie while they are moved; else there is no such folder."""
    return home.tracking / "artifacts.moving"


def bring_forward(home: Home, teams: Collection[str]) -> None:
    """Rename the workspaces; a new home is marked as having the newest layout.

    `teams`: all teams of the store. MLflow must not run. Doing it again changes nothing, and who
    does it at the same time waits.
    """
    with (
        locked(home.tracking / "layout.lock"),
        closing(sqlite3.connect(database_of(home), isolation_level=None)) as connection,
    ):
        connection.execute("begin immediate")
        if _version(connection) < LAYOUT:
            tables = _tables(connection)
            if "workspaces" in tables and not _has_new_names(connection, teams):
                _put_aside(home)
                _rename(connection, tables)
            connection.execute(f"pragma user_version = {LAYOUT}")
        connection.execute("commit")
        _put_in_place(home)


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("pragma user_version").fetchone()[0])


def _has_new_names(connection: sqlite3.Connection, teams: Collection[str]) -> bool:
    names = _names(connection)
    return bool(teams) and all(workspace_of(team) in names for team in teams)


def _names(connection: sqlite3.Connection) -> set[str]:
    return {str(name) for (name,) in connection.execute("select name from workspaces")}


def _put_aside(home: Home) -> None:
    artifacts, moving = home.tracking / "artifacts", aside(home)
    make_private(moving)
    for folder in _entries(artifacts / "workspaces"):
        _merge(folder, moving / folder.name, moving / folder.name / _SPARE)
    # What lies at the top was put there by hand, through the workspace `default`.
    for entry in _entries(artifacts):
        if entry.name != "workspaces":
            _merge(entry, moving / _OWN / entry.name, moving / _OWN / _SPARE / entry.name)


def _put_in_place(home: Home) -> None:
    moving = aside(home)
    if not moving.exists():
        return
    place = make_private(home.tracking / "artifacts" / "workspaces")
    for folder in _entries(moving):
        target = place / workspace_of(folder.name)
        _merge(folder, target, target / _SPARE)
    moving.rmdir()


def _merge(source: Path, target: Path, spare: Path) -> None:
    """Move `source` to `target`; what is there already stays, and the other goes to `spare`."""
    if not target.exists():
        make_private(target.parent)
        source.rename(target)
    elif _is_folder(source) and _is_folder(target):
        for entry in _entries(source):
            _merge(entry, target / entry.name, spare / entry.name)
        source.rmdir()
    else:
        make_private(spare.parent)
        source.rename(_free(spare))


def _free(path: Path) -> Path:
    number = 1
    while path.exists():
        number += 1
        path = path.with_name(f"{path.name}.{number}")
    return path


def _entries(path: Path) -> list[Path]:
    return sorted(path.iterdir()) if path.is_dir() else []


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _tables(connection: sqlite3.Connection) -> dict[str, set[str]]:
    names = connection.execute("select name from sqlite_master where type = 'table'").fetchall()
    return {
        name: {row[1] for row in connection.execute(f'pragma table_info("{name}")')}
        for (name,) in names
    }


def _rename(connection: sqlite3.Connection, tables: dict[str, set[str]]) -> None:
    """Rename every workspace; foreign keys are not enforced on this connection."""
    names = _names(connection)
    connection.execute("delete from workspaces where name <> ?", (_OWN,))
    connection.executemany(
        "insert into workspaces (name) values (?)",
        [(workspace_of(name),) for name in sorted(names | {_OWN})],
    )
    for table, columns in tables.items():
        if "workspace" in columns:
            # By a name that nobody has: a team may be called as another one's new workspace.
            connection.execute(f"update \"{table}\" set workspace = '~' || workspace")
            connection.execute(
                f'update "{table}" set workspace = ? || substr(workspace, 2)', (workspace_of(""),)
            )
    for table, column, which in _ADDRESSES:
        if column in tables.get(table, ()):
            connection.execute(
                f'update "{table}" set "{column}" = ? || substr("{column}", ?) '
                f'where {which}"{column}" like ?',
                (f"{_NAMED}{workspace_of('')}", len(_NAMED) + 1, f"{_NAMED}%"),
            )
