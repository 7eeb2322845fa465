"""Probes of the home itself."""

from __future__ import annotations

import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from plinth.kit.home import Home
from plinth.kit.settings import Settings
from plinth.upkeep.probes import place
from plinth.upkeep.probes.place import (
    probe_clock,
    probe_disk,
    probe_folder,
    probe_inodes,
    probe_path,
    probe_settings,
)
from tests.upkeep.scene import full_scene, new_scene, scene_of


def test_a_home_of_its_owner_alone_is_well() -> None:
    with full_scene() as scene:
        for probe in place.PROBES:
            finding = probe(scene)
            assert finding.status == "ok", finding
        assert not list(scene.home.root.glob(".doctor-*"))


def test_a_home_that_was_never_started_is_no_failure() -> None:
    scene = new_scene()
    assert [probe(scene).status for probe in place.PROBES] == [
        "skipped",
        *["ok"] * (len(place.PROBES) - 1),
    ]
    assert not scene.home.root.exists()


def test_a_home_that_others_can_look_into_fails() -> None:
    with full_scene() as scene:
        scene.home.root.chmod(0o755)
        finding = probe_folder(scene)
    assert (finding.status, finding.todo) == ("failed", f"`chmod 700 {scene.home.root}`")


def test_a_home_that_cannot_be_written_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: Any) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(place.tempfile, "NamedTemporaryFile", refuse)
    with full_scene() as scene:
        finding = probe_folder(scene)
    assert finding.status == "failed"
    assert "Read-only file system" in finding.fact


def test_a_path_too_long_for_sockets_fails() -> None:
    finding = probe_path(scene_of(Home(Path("/" + "x" * 80))))
    assert finding.status == "failed"
    assert "Unix sockets" in finding.fact
    assert "shorter" in str(finding.todo)


def disk(free: int, **fields: int) -> Any:
    values = {"f_bavail": free, "f_frsize": 1, "f_files": 10**6, "f_favail": 10**6} | fields
    return lambda _path: SimpleNamespace(**values)


@pytest.mark.parametrize(
    ("free", "status", "todo"),
    [
        (10 * 10**9, "ok", None),
        (3 * 10**9, "warning", "access_logs_bytes"),
        (10**9, "warning", "free some space"),
        (10**8, "failed", "free some space"),
    ],
)
def test_a_disk_is_judged_by_what_may_still_come(
    monkeypatch: pytest.MonkeyPatch, free: int, status: str, todo: str | None
) -> None:
    monkeypatch.setattr(os, "statvfs", disk(free))
    with full_scene() as scene:
        finding = probe_disk(scene)
    assert finding.status == status
    assert todo is None or todo in str(finding.todo)


def test_access_logs_that_are_there_are_not_counted_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "statvfs", disk(3 * 10**9))
    with full_scene(settings=Settings(access_logs_bytes=10)) as scene:
        assert probe_disk(scene).status == "ok"


@pytest.mark.parametrize(("free", "status"), [(10**6, "ok"), (10_000, "warning"), (10, "failed")])
def test_inodes_run_out_before_the_disk_does(
    monkeypatch: pytest.MonkeyPatch, free: int, status: str
) -> None:
    monkeypatch.setattr(os, "statvfs", disk(10**12, f_favail=free))
    assert probe_inodes(new_scene()).status == status


def test_a_file_system_without_a_number_of_files_is_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "statvfs", disk(10**12, f_files=0, f_favail=0))
    assert probe_inodes(new_scene()).status == "ok"


def test_a_mistake_in_the_settings_fails_with_its_words() -> None:
    with full_scene() as scene:
        (scene.home.root / "settings.toml").write_text("trace_days = -1\n")
        finding = probe_settings(scene)
    assert finding.status == "failed"
    assert "trace_days" in finding.fact


def test_a_password_that_others_can_read_is_a_warning() -> None:
    settings = Settings(database="postgresql://u:p@h/x")
    with full_scene(settings=settings) as scene:
        path = scene.home.root / "settings.toml"
        path.write_text('database = "postgresql://u:p@h/x"\n')
        path.chmod(0o644)
        assert probe_settings(scene).status == "warning"
        path.chmod(0o600)
        assert probe_settings(scene).status == "ok"


def test_a_clock_that_was_set_back_fails() -> None:
    with full_scene() as scene:
        ahead = time.time() + 7230
        os.utime(scene.home.gateway / "access.log", (ahead, ahead))
        finding = probe_clock(scene)
    assert finding.status == "failed"
    assert "`access.log` was written 2h 00m after" in finding.fact
    assert "NTP" in str(finding.todo)


def test_a_few_seconds_are_no_clock_that_was_set_back() -> None:
    with full_scene() as scene:
        ahead = time.time() + 5
        os.utime(scene.home.node_file, (ahead, ahead))
        assert probe_clock(scene).status == "ok"


def test_a_clock_before_the_first_plinth_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    real = place.datetime

    class Early(real):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return real(1970, 1, 1, tzinfo=tz)

    monkeypatch.setattr(place, "datetime", Early)
    finding = probe_clock(new_scene())
    assert finding.status == "failed"
    assert "1970-01-01" in finding.fact
