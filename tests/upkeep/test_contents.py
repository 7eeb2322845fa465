"""What of a home is in a backup: what cannot be made anew."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from plinth.kit.errors import Temporary
from plinth.kit.home import Home
from plinth.upkeep import contents
from plinth.upkeep.contents import access_logs, is_backed_up, small_files, stored_files
from tests.upkeep.stand import ARTIFACT, full_home


def test_stored_files_are_whole_ones_only() -> None:
    with full_home() as plane:
        (plane.home.storage / "code" / "x.partial").write_bytes(b"half")
        (plane.home.storage / ".uploads" / "control").mkdir()
        (plane.home.storage / ".uploads" / "control" / "half").write_bytes(b"x")
        os.symlink("/etc/passwd", plane.home.storage / "link")
        names = [each.name for each in stored_files(plane.home)]
    assert names[-1] == ARTIFACT
    assert [name.split("/")[1] for name in names[:-1]] == ["code", "data", "diffs"]


def test_a_storage_that_is_a_link_to_another_disk_is_followed(tmp_path: Path) -> None:
    home = Home(tmp_path / "h")
    (tmp_path / "disk" / "data").mkdir(parents=True)
    (tmp_path / "disk" / "data" / "f").write_bytes(b"x")
    home.root.mkdir()
    home.storage.symlink_to(tmp_path / "disk")
    assert [each.name for each in stored_files(home)] == ["storage/data/f"]


def test_secrets_and_settings_without_locks() -> None:
    with full_home() as plane:
        names = {each.name for each in small_files(plane.home)}
        key = next(plane.home.secrets.glob("signing/*.json")).name
        assert (plane.home.secrets / "signing" / "lock").exists()
    expected = {"secrets/admin.token", f"secrets/signing/{key}", "node.json", "settings.toml"}
    assert names == expected


def test_imported_facts_are_backed_up_and_half_written_ones_are_not(tmp_path: Path) -> None:
    home = Home(tmp_path / "h")
    home.secrets.mkdir(parents=True)
    home.catalog.mkdir()
    (home.catalog / "prices.csv.json").write_bytes(b"{}")
    (home.catalog / ".prices.csv.json.7.tmp").write_bytes(b"{")
    assert [each.name for each in small_files(home)] == ["catalog/prices.csv.json"]
    assert is_backed_up(home, home.catalog / "prices.csv.json")


def test_every_access_log_is_opened_with_what_it_holds_now() -> None:
    with full_home() as plane, access_logs(plane.home) as logs:
        with (plane.home.gateway / "access.log").open("ab") as log:
            log.write(b"later\n")
        found = {name: stream.read(size) for name, stream, size in logs}
    assert found == {
        "gateway/access.log": b'{"id":"one"}\n' * 3,
        "gateway/access.log.000001": b'{"id":"one"}\n',
    }


def test_the_log_of_copies_is_a_source_of_the_ledger_too() -> None:
    with full_home() as plane:
        for name in ("shadow.log", "shadow.log.000001"):
            (plane.home.gateway / name).write_bytes(b"{}\n")
        with access_logs(plane.home) as logs:
            assert {"gateway/shadow.log", "gateway/shadow.log.000001"} < {each[0] for each in logs}


def test_a_log_that_is_renamed_while_all_are_opened_is_not_missed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Between listing and opening, the gateway's log is rotated: all are opened once more."""
    with full_home() as plane:
        folder, listed = plane.home.gateway, contents._inodes
        calls = []

        def rotating(place: Path) -> dict[str, int]:
            before = listed(place)
            calls.append(before)
            if len(calls) == 1:
                (folder / "access.log").rename(folder / "access.log.000002")
                (folder / "access.log").write_bytes(b"new\n")
            return before

        monkeypatch.setattr(contents, "_inodes", rotating)
        with access_logs(plane.home) as logs:
            sizes = {name: size for name, _, size in logs}
    assert sizes == {
        "gateway/access.log": 4,
        "gateway/access.log.000001": 13,
        "gateway/access.log.000002": 39,
    }


def test_logs_that_never_rest_are_an_error_that_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    with full_home() as plane:
        monkeypatch.setattr(contents, "_inodes", lambda _folder: {"access.log.gone": 1})
        with pytest.raises(Temporary, match="renamed all the time"), access_logs(plane.home):
            pass


def test_a_home_without_logs_has_none(tmp_path: Path) -> None:
    with access_logs(Home(tmp_path / "absent")) as logs:
        assert logs == []


def test_a_backup_may_not_lie_in_what_is_backed_up(tmp_path: Path) -> None:
    home = Home(tmp_path)
    for folder in ("storage", "mlflow/artifacts", "secrets", "gateway", "db"):
        assert is_backed_up(home, tmp_path / folder / "x.tar")
    assert not is_backed_up(home, tmp_path / "backups" / "x.tar")
    assert not is_backed_up(home, tmp_path / "x.tar")
