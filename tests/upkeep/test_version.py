"""Which versions a home's databases have, and who is refused."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from plinth import __version__
from plinth.kit.errors import Conflict, Permanent
from plinth.kit.home import Home
from plinth.kit.settings import Settings
from plinth.metering.ledger import LEDGER_VERSION
from plinth.node import up
from plinth.store.schema import newest_revision
from plinth.tracking.server import MLFLOW_SCHEMA
from plinth.upkeep.restore import restore
from plinth.upkeep.stores import open_store
from plinth.upkeep.upgrade import upgrade
from plinth.upkeep.version import backups_of, check_startable, refuse_newer, standing
from tests.store.test_migrations import at_revision
from tests.store.test_schema import future
from tests.upkeep.stand import full_home, new_place


def set_ledger_version(home: Home, version: int) -> None:
    with closing(sqlite3.connect(home.ledger)) as connection:
        connection.execute(f"pragma user_version = {version}")


def test_a_home_of_this_version_has_nothing_older() -> None:
    with full_home() as plane:
        found = standing(plane.home)
        check_startable(plane.home)
    assert [part.found for part in found.parts] == [
        newest_revision(),
        str(LEDGER_VERSION),
        MLFLOW_SCHEMA,
    ]
    assert (found.older, found.writer) == ((), __version__)


def test_a_home_that_was_never_started_has_nothing_older(tmp_path: Path) -> None:
    found = standing(Home(tmp_path))
    assert [part.found for part in found.parts] == [None, None, None]
    assert found.older == ()
    check_startable(Home(tmp_path))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("revision", ["0001", "0002", "0003"])
def test_an_earlier_store_is_older_and_may_be_started(revision: str) -> None:
    home = Home(new_place())
    home.prepare()
    at_revision(home.database, revision).close()
    (part,) = standing(home).older
    assert (part.name, part.found, part.wanted) == ("store", revision, newest_revision())
    check_startable(home)


def test_a_newer_store_is_refused_with_both_versions_and_the_way_out() -> None:
    with full_home() as plane:
        future(plane.database)
        for refuse in (standing, refuse_newer, check_startable):
            with pytest.raises(Conflict) as refused:
                refuse(plane.home)
            assert refused.value.code == "newer_home"
            assert "Plinth 9.9.0" in refused.value.message
            assert f"Plinth {__version__}" in refused.value.message
            assert "restore a backup from before" in str(refused.value.hint)


def test_the_newest_backup_that_this_plinth_can_restore_is_named() -> None:
    with full_home() as plane:
        folder = backups_of(plane.home)
        folder.mkdir()
        names = ("none-before-0.1.0-x", "0003-before-9.9.0-y", "9998-before-10.0.0-z")
        for age, name in enumerate(names):
            path = folder / f"schema-{name}.tar"
            path.touch()
            os.utime(path, (1_800_000_000 + age, 1_800_000_000 + age))
        future(plane.database)
        with pytest.raises(Conflict) as refused:
            standing(plane.home)
    named = folder / "schema-0003-before-9.9.0-y.tar"
    assert f"`plinth restore {named} --home DIR`" in str(refused.value.hint)
    assert "as it was before 2027-01-15 08:00 UTC" in str(refused.value.hint)


def test_the_backup_that_is_named_restores() -> None:
    home = Home(new_place())
    home.prepare()
    home.node_file.write_text('{"port": 20001}')
    at_revision(home.database, "0003").close()
    file = upgrade(home)["backup"]
    store = open_store(home, Settings())
    future(store)
    store.close()
    with pytest.raises(Conflict, match=r"9\.9\.0") as refused:
        up(home, None)
    assert f"`plinth restore {file} --home DIR`" in str(refused.value.hint)
    again = Home(new_place())
    restore(again, Path(file))
    check_startable(again)


def test_a_newer_ledger_is_refused() -> None:
    with full_home() as plane:
        set_ledger_version(plane.home, LEDGER_VERSION + 1)
        with pytest.raises(Conflict) as refused:
            refuse_newer(plane.home)
    assert refused.value.code == "newer_home"
    assert f"version {LEDGER_VERSION + 1}" in refused.value.message
    assert "restore a backup from before" in str(refused.value.hint)


def test_an_earlier_ledger_is_older() -> None:
    with full_home() as plane:
        set_ledger_version(plane.home, 1)
        (part,) = standing(plane.home).older
    assert (part.name, part.found, part.wanted) == ("ledger", "1", str(LEDGER_VERSION))


def test_a_database_of_another_mlflow_is_brought_forward_before_the_start() -> None:
    with full_home() as plane:
        with closing(sqlite3.connect(plane.home.tracking / "mlflow.db")) as connection:
            connection.execute("update alembic_version set version_num = 'earlier'")
            connection.commit()
        with pytest.raises(Conflict) as refused:
            check_startable(plane.home)
    assert refused.value.code == "upgrade_needed"
    assert "`plinth upgrade`" in str(refused.value.hint)


def test_a_damaged_store_is_told_in_one_sentence() -> None:
    home = Home(new_place())
    home.prepare()
    home.database.write_bytes(b"hello" * 1000)
    with pytest.raises(Permanent, match="is damaged") as told:
        check_startable(home)
    assert "restore the last backup" in str(told.value.hint)


def test_a_postgresql_that_is_away_is_not_asked_at_the_start() -> None:
    with full_home() as plane:
        settings = 'database = "postgresql://u:p@127.0.0.1:1/x"\n'
        (plane.home.root / "settings.toml").write_text(settings)
        check_startable(plane.home)


def test_plinth_up_starts_nothing_in_a_home_of_a_newer_plinth() -> None:
    with full_home() as plane:
        future(plane.database)
        with pytest.raises(Conflict, match=r"9\.9\.0"):
            up(plane.home, None)
        assert not (plane.home.root / "agent.log").exists()


def test_the_control_plane_refuses_it_too_without_a_trace_of_alembic() -> None:
    with full_home() as plane:
        future(plane.database)
        with pytest.raises(Conflict, match=r"9\.9\.0"):
            plane.database.migrate()
