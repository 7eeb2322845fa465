"""A home of an earlier version goes forward, with a backup before; nothing goes backward."""

from __future__ import annotations

import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest

from plinth import __version__
from plinth.environments.environments import BuiltEnvironment, Environments
from plinth.kit.errors import Conflict, NotFound, Permanent
from plinth.kit.files import locked
from plinth.kit.home import Home
from plinth.metering.ledger import LEDGER_VERSION
from plinth.store.schema import newest_revision
from plinth.upkeep import upgrade as upgrading
from plinth.upkeep.restore import restore
from plinth.upkeep.stores import sqlite_revision
from plinth.upkeep.upgrade import upgrade
from plinth.upkeep.version import standing
from tests.store.test_migrations import FIRST, at_revision
from tests.store.test_schema import future
from tests.upkeep.stand import full_home, members, new_place
from tests.upkeep.test_version import set_ledger_version


def earlier_home(revision: str) -> Home:
    """Make a home as an earlier Plinth left it, with a run in it."""
    home = Home(new_place())
    home.prepare()
    home.node_file.write_text('{"port": 20001, "address": "http://127.0.0.1:20001"}')
    at_revision(home.database, "0001").close()
    with closing(sqlite3.connect(home.database)) as connection:
        connection.executescript(FIRST)
    at_revision(home.database, revision).close()
    return home


@pytest.mark.parametrize("revision", ["0001", "0002", "0003"])
def test_each_earlier_schema_goes_forward_with_a_backup(revision: str) -> None:
    home = earlier_home(revision)
    done = upgrade(home)
    change = {"part": "store", "from": revision, "to": newest_revision()}
    assert done["changed"] == [change]
    assert done["plinth"] == __version__
    assert sqlite_revision(home.database) == newest_revision()
    file = Path(done["backup"])
    assert file.parent == home.root / "backups"
    assert file.name.startswith(f"schema-{revision}-before-{__version__}-")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "db/plinth.db" in members(file)
    # The way back: the backup becomes a home of its own.
    assert restore(Home(new_place()), file)["from"]["schema"] == revision


def test_a_new_home_says_so_and_makes_no_backup() -> None:
    with full_home() as plane:
        done = upgrade(plane.home)
        assert (done["changed"], done["backup"]) == ([], None)
        assert not (plane.home.root / "backups").exists()
    with pytest.raises(NotFound, match="nothing to upgrade"):
        upgrade(Home(new_place()))


def test_twice_is_once() -> None:
    home = earlier_home("0001")
    upgrade(home, backup=False)
    assert upgrade(home)["changed"] == []
    assert not (home.root / "backups").exists()


def test_the_backup_goes_where_it_is_told(tmp_path: Path) -> None:
    home = earlier_home("0003")
    done = upgrade(home, file=tmp_path / "before.tar")
    assert done["backup"] == str(tmp_path / "before.tar")
    assert members(tmp_path / "before.tar")


def test_a_backup_that_fails_leaves_the_home_as_it_was(tmp_path: Path) -> None:
    home = earlier_home("0003")
    (tmp_path / "before.tar").write_text("precious")
    with pytest.raises(Conflict):
        upgrade(home, file=tmp_path / "before.tar")
    assert sqlite_revision(home.database) == "0003"


def test_an_earlier_ledger_goes_forward() -> None:
    with full_home() as plane:
        with closing(sqlite3.connect(plane.home.ledger)) as connection:
            for table in ("usage", "gaps", "cursors", "unreadable", "counters"):
                connection.execute(f"drop table {table}")
            connection.executescript(
                "create table usage (source text not null, position text not null, meter text not "
                "null, quantity real not null, team text not null, workload text not null, "
                "principal text, run text, request_id text, started_at text not null, ended_at "
                "text not null, primary key (source, position)) without rowid;"
                "create table cursors (source text primary key, position text not null) "
                "without rowid;"
            )
        set_ledger_version(plane.home, 1)
        done = upgrade(plane.home, backup=False)
        assert done["changed"] == [{"part": "ledger", "from": "1", "to": str(LEDGER_VERSION)}]
        assert standing(plane.home).older == ()


def test_it_is_refused_while_plinth_runs() -> None:
    home = earlier_home("0003")
    with locked(home.root / "agent.lock"), pytest.raises(Conflict) as refused:
        upgrade(home)
    assert refused.value.code == "home_in_use"
    assert "plinth down" in str(refused.value.hint)
    assert sqlite_revision(home.database) == "0003"


def test_it_is_refused_while_a_unit_outlives_its_agent() -> None:
    home = earlier_home("0003")
    (home.units / "control").mkdir()
    with locked(home.units / "control" / "lock"), pytest.raises(Conflict, match="control"):
        upgrade(home)


def test_nothing_goes_backward() -> None:
    with full_home() as plane:
        future(plane.database)
        with pytest.raises(Conflict, match=r"9\.9\.0") as refused:
            upgrade(plane.home)
    assert refused.value.code == "newer_home"


def mlflow_home(monkeypatch: pytest.MonkeyPatch, program: str) -> Home:
    """Make a home whose MLflow is older; `program` is what its interpreter does."""
    home = earlier_home("0003")
    python = home.root / "python"
    python.write_text(f"#!/bin/sh\n{program}\n")
    python.chmod(0o700)
    built = BuiltEnvironment("0" * 64, home.root, python)
    monkeypatch.setattr(Environments, "build", lambda *_: built)
    with closing(sqlite3.connect(home.tracking / "mlflow.db")) as connection:
        connection.executescript(
            "create table alembic_version (version_num text);"
            "insert into alembic_version values ('earlier')"
        )
    return home


def test_mlflow_brings_its_own_database_forward(monkeypatch: pytest.MonkeyPatch) -> None:
    home = mlflow_home(monkeypatch, 'echo "$@" > "$HOME/asked"; env > "$HOME/variables"')
    monkeypatch.setenv("PLINTH_KEY", "s3cret")
    done = upgrade(home, backup=False)
    assert [change["part"] for change in done["changed"]] == ["store", "MLflow"]
    asked = (home.tracking / "asked").read_text().strip()
    assert asked == f"-P -m mlflow db upgrade sqlite:///{home.tracking / 'mlflow.db'}"
    assert "s3cret" not in (home.tracking / "variables").read_text()


def test_what_mlflow_says_when_it_fails_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    home = mlflow_home(monkeypatch, "echo Cannot locate revision; exit 1")
    with pytest.raises(Permanent, match="Cannot locate revision") as told:
        upgrade(home)
    assert told.value.code == "upgrade_failed"
    assert "restore the backup" in str(told.value.hint)
    assert list((home.root / "backups").iterdir())


def test_each_step_is_reported() -> None:
    home = earlier_home("0003")
    said: list[str] = []
    upgrade(home, report=lambda step, _done, _total: said.append(step))
    assert said[0] == "copying the store database"
    assert said[-1] == "bringing the store database forward"


def test_every_part_has_its_step() -> None:
    with full_home() as plane:
        names = {part.name for part in standing(plane.home).parts}
    assert names == set(upgrading._STEPS)
