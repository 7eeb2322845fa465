"""Secrets open in the home that a backup becomes, also when keys were rotated meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from plinth.access.master_key import MasterKeyring, key_files
from plinth.access.vault import new_data_key
from plinth.control.context import Context
from plinth.control.rotation import rotate_master_key
from plinth.control.secrets import put_secret, read_secret
from plinth.kit.errors import Permanent
from plinth.kit.home import Home
from plinth.store.session import Database
from plinth.upkeep import backup
from plinth.upkeep.backup import back_up
from plinth.upkeep.probes.parts import probe_master_keys
from plinth.upkeep.probes.records import probe_files
from plinth.upkeep.references import needed_files
from plinth.upkeep.restore import restore
from tests.control.plane import TEAM, Plane
from tests.upkeep.scene import full_scene, new_scene
from tests.upkeep.stand import full_home, members, new_place

VALUE = b"hunter2-in-the-clear"


def put(plane: Plane, name: str = "openai") -> None:
    data_key = new_data_key(plane.context.master_key)
    with plane.write() as connection:
        put_secret(
            connection,
            plane.context,
            plane.actor(),
            (TEAM, name),
            value=VALUE,
            data_key=data_key,
        )


def rotate(plane: Plane) -> None:
    rotate_master_key(plane.context, lambda _connection, _rotation: None)


@contextmanager
def context_of(plane: Plane, home: Home) -> Iterator[Context]:
    """Give the context of another home."""
    database = Database(home.database)
    keys = MasterKeyring(home.secrets, plane.clock)
    yield replace(plane.context, home=home, database=database, master_key=keys)
    database.close()


def restored(file: Path) -> Home:
    home = Home(new_place())
    restore(home, file)
    return home


def test_a_restored_home_opens_its_secrets_and_keeps_them_private(tmp_path: Path) -> None:
    with full_home() as plane:
        put(plane)
        made = back_up(plane.home, tmp_path / "b.tar")
        (key,) = key_files(plane.home.secrets)
        assert made["missing"] == []
        found = members(tmp_path / "b.tar")
        assert found[f"secrets/master/{key.name}"] == key.read_bytes()
        assert not [name for name, content in found.items() if VALUE in content]
        home = restored(tmp_path / "b.tar")
        (file,) = key_files(home.secrets)
        assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
        with context_of(plane, home) as context:
            assert read_secret(context, TEAM, "openai", purpose="t") == VALUE
            assert rotate_master_key(context, lambda _c, _r: None).rewrapped == 1
            assert read_secret(context, TEAM, "openai", purpose="t") == VALUE


def test_a_rotation_during_a_backup_takes_no_key_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It begins when the rows were copied, and has ended before anything else is written."""
    with full_home() as plane:
        put(plane)
        (old,) = plane.context.master_key.ids()
        rotation = threading.Thread(target=rotate, args=(plane,))
        snapshot, write = backup.snapshot_store, backup._Snapshot.write

        def then_rotate(*arguments: Any) -> Any:
            found = snapshot(*arguments)
            rotation.start()
            rotation.join(0.1)
            assert plane.context.master_key.ids() == [old], "it waits for the backup"
            return found

        def after_it(*arguments: Any) -> Any:
            rotation.join()
            assert old not in plane.context.master_key.ids()
            return write(*arguments)

        monkeypatch.setattr(backup, "snapshot_store", then_rotate)
        monkeypatch.setattr(backup._Snapshot, "write", after_it)
        assert back_up(plane.home, tmp_path / "b.tar")["missing"] == []
        with context_of(plane, restored(tmp_path / "b.tar")) as context:
            assert context.master_key.ids() == [old]
            assert read_secret(context, TEAM, "openai", purpose="t") == VALUE
        assert read_secret(plane.context, TEAM, "openai", purpose="t") == VALUE


def test_a_rotation_that_was_killed_is_backed_up_with_both_keys(tmp_path: Path) -> None:
    with full_home() as plane:
        put(plane)
        with plane.context.master_key.held():
            plane.context.master_key.renew()
        put(plane, "azure")
        assert back_up(plane.home, tmp_path / "b.tar")["missing"] == []
        with context_of(plane, restored(tmp_path / "b.tar")) as context:
            assert len(context.master_key.ids()) == 2
            for name in ("openai", "azure"):
                assert read_secret(context, TEAM, name, purpose="t") == VALUE


def test_a_lost_master_key_is_missed_by_backup_and_doctor(tmp_path: Path) -> None:
    with full_scene() as scene:
        with Database(scene.home.database).write() as connection:
            connection.exec_driver_sql(
                "insert into secret (team, name, version, master_key, wrapped_key, nonce, "
                "ciphertext, set_at, set_by) values ('default', 'openai', 1, 'm_lost', x'00', "
                "x'00', x'00', '2026-01-01 00:00:00.000000', 'admin')"
            )
        assert "secrets/master/m_lost.json" in needed_files(scene.home, scene.home.database)
        made = back_up(scene.home, tmp_path / "b.tar")
        assert made["missing"] == ["secrets/master/m_lost.json"]
        finding = probe_files(scene)
    assert finding.status == "failed"
    assert "secrets/master/m_lost.json" in finding.fact


def test_a_doctor_looks_at_the_master_keys() -> None:
    assert probe_master_keys(new_scene()).status == "skipped"
    with full_home() as plane:
        put(plane)
        scene = replace(new_scene(), home=plane.home)
        assert probe_master_keys(scene).status == "ok"
        with plane.context.master_key.held():
            plane.context.master_key.renew()
        finding = probe_master_keys(scene)
        assert (finding.status, finding.todo) == ("warning", "`plinth secrets rotate`")
        key_files(plane.home.secrets)[0].chmod(0o644)
        finding = probe_master_keys(scene)
    assert finding.status == "failed"
    assert "has mode 0644 and is open to others" in finding.fact
    assert "chmod 600" in str(finding.todo)


def test_a_keyring_that_others_can_read_is_backed_up_all_the_same(tmp_path: Path) -> None:
    """A backup that is refused helps nobody; in the restored home the file is private."""
    with full_home() as plane:
        put(plane)
        (file,) = key_files(plane.home.secrets)
        file.chmod(0o644)
        with pytest.raises(Permanent):
            read_secret(plane.context, TEAM, "openai", purpose="t")
        back_up(plane.home, tmp_path / "b.tar")
        with context_of(plane, restored(tmp_path / "b.tar")) as context:
            assert read_secret(context, TEAM, "openai", purpose="t") == VALUE
