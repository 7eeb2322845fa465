"""Probes of what is stored."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from plinth.kit.home import Home
from plinth.kit.settings import Settings
from plinth.metering.ledger import LEDGER_VERSION
from plinth.upkeep.probes import records
from plinth.upkeep.probes.records import (
    probe_files,
    probe_ledger,
    probe_store,
    probe_tracking_database,
)
from tests.store.test_migrations import at_revision
from tests.upkeep.scene import full_scene, new_scene, scene_of
from tests.upkeep.stand import new_place


def execute(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def test_a_whole_home_is_well() -> None:
    with full_scene() as scene:
        findings = [probe(scene) for probe in records.PROBES]
    assert [each.status for each in findings] == ["ok"] * 4, findings
    assert "1 records" in findings[1].fact
    assert "3 data versions, code snapshots and diffs" in findings[3].fact


def test_there_is_nothing_to_read_before_the_first_start() -> None:
    scene = new_scene()
    assert {probe(scene).status for probe in records.PROBES} == {"skipped"}


def test_a_damaged_file_fails_with_the_way_out() -> None:
    with full_scene() as scene:
        path = scene.home.tracking / "mlflow.db"
        path.write_bytes(b"hello" * 1000)
        finding = probe_tracking_database(scene)
        (scene.home.database.parent / "other").mkdir()
    assert finding.status == "failed"
    assert "plinth restore" in str(finding.todo)


def test_an_earlier_schema_is_a_warning_and_a_newer_one_a_failure() -> None:
    home = Home(new_place())
    home.prepare()
    at_revision(home.database, "0002").close()
    finding = probe_store(scene_of(home))
    assert finding.status == "warning"
    assert "plinth upgrade" in str(finding.todo)
    execute(home.database, "update alembic_version set version_num = '9999'")
    finding = probe_store(scene_of(home))
    assert finding.status == "failed"
    assert "install the newer Plinth" in str(finding.todo)


def test_a_newer_ledger_fails_and_gaps_of_today_are_a_warning() -> None:
    with full_scene() as scene:
        for position, (ended_at, status) in enumerate((("2026", "ok"), ("9999", "warning"))):
            values = f"'gateway:x', '{position}', 'killed', '2026', '{ended_at}'"
            execute(scene.home.ledger, f"insert into gaps values ({values})")
            finding = probe_ledger(scene)
            assert finding.status == status
            assert f"in {position + 1} intervals" in finding.fact
        execute(scene.home.ledger, f"pragma user_version = {LEDGER_VERSION + 1}")
        assert probe_ledger(scene).status == "failed"


def test_a_database_of_another_mlflow_fails() -> None:
    with full_scene() as scene:
        path = scene.home.tracking / "mlflow.db"
        execute(path, "update alembic_version set version_num = 'other'")
        finding = probe_tracking_database(scene)
    assert finding.status == "failed"
    assert "plinth upgrade" in str(finding.todo)


def test_a_file_that_a_row_names_and_that_is_gone_fails() -> None:
    with full_scene() as scene:
        (lost,) = scene.home.storage.glob("data/*/*/*/f.csv")
        lost.unlink()
        finding = probe_files(scene)
    assert finding.status == "failed"
    assert "1 of 3 are missing" in finding.fact
    assert "f.csv" in finding.fact


def test_a_store_that_cannot_be_read_is_one_failure_not_two() -> None:
    home = Home(new_place())
    home.prepare()
    home.database.write_bytes(b"hello" * 1000)
    assert probe_store(scene_of(home)).status == "failed"
    assert probe_files(scene_of(home)).status == "skipped"


def test_a_table_or_trigger_that_is_gone_fails_with_its_name_and_the_way_out() -> None:
    with full_scene() as scene:
        execute(scene.home.database, "drop trigger audit_no_delete")
        finding = probe_store(scene)
        assert finding.status == "failed"
        assert finding.fact.endswith("are missing: trigger `audit_no_delete`")
        execute(scene.home.database, "drop table audit")
        finding = probe_store(scene)
    assert finding.status == "failed"
    named = "table `audit`, trigger `audit_no_update`, trigger `audit_no_delete`, "
    named += "trigger `audit_no_replace`"
    assert finding.fact.endswith(f"are missing: {named}")
    assert "plinth restore FILE" in str(finding.todo)


def test_a_postgresql_that_is_away_fails_without_its_password() -> None:
    settings = Settings(database="postgresql://u:s3cret@127.0.0.1:1/x")
    finding = probe_store(scene_of(Home(new_place()), settings=settings))
    assert finding.status == "failed"
    assert "s3cret" not in finding.fact + str(finding.todo)


def test_a_database_that_is_no_address_fails() -> None:
    finding = probe_store(scene_of(Home(new_place()), settings=Settings(database="mysql://x/y")))
    assert finding.status == "failed"
    assert "postgresql" in finding.fact
