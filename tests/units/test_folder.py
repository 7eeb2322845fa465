"""A unit's folder keeps its promises when somebody is killed between two steps."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from plinth.kit.clock import from_text
from plinth.units.folder import UnitFolder, claim, holding, sweep, take_lock
from plinth.units.spec import UnitSpec

ENDED = {"phase": "exited", "code": 1, "ended_at": "2026-01-01T00:00:00.000000Z"}


def spec(unit: str = "a", command: str = "true") -> UnitSpec:
    return UnitSpec(id=unit, argv=(command,), env={}, cwd="/")


@pytest.fixture
def folder(tmp_path: Path) -> UnitFolder:
    assert claim(tmp_path, spec())
    return UnitFolder(tmp_path / "a")


def test_a_claim_makes_the_folder_whole(folder: UnitFolder) -> None:
    assert folder.spec() == spec()
    assert (folder.path / "spec.json").stat().st_mode & 0o777 == 0o600
    assert folder.path.stat().st_mode & 0o777 == 0o700


def test_a_second_claim_changes_nothing(folder: UnitFolder) -> None:
    assert not claim(folder.path.parent, spec(command="false"))
    assert folder.spec() == spec()
    assert [path.name for path in folder.path.parent.iterdir()] == ["a"]


def test_half_made_folders_are_swept_away(tmp_path: Path) -> None:
    (tmp_path / ".a.1.new").mkdir()
    (tmp_path / ".b.1.gone").mkdir()
    claim(tmp_path, spec())
    sweep(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_the_lock_has_one_holder(folder: UnitFolder) -> None:
    with holding(folder) as first, holding(folder) as second:
        assert (first, second) == (True, False)
    with holding(folder) as again:
        assert again


def test_the_lock_of_a_folder_that_is_gone_cannot_be_had(folder: UnitFolder) -> None:
    folder.remove()
    assert take_lock(folder) is None


def test_a_lock_taken_on_a_replaced_folder_does_not_count(
    folder: UnitFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = os.open

    def open_then_replace(path: Any, flags: int, mode: int = 0o777) -> int:
        descriptor = opened(path, flags, mode)
        monkeypatch.undo()
        folder.remove()
        claim(folder.path.parent, spec())
        return descriptor

    monkeypatch.setattr(os, "open", open_then_replace)
    assert take_lock(folder) is None


def test_a_restart_is_counted_once_although_the_count_was_cut_short(folder: UnitFolder) -> None:
    folder.write_identity({"started_at": "now"})
    folder.write_exit(ENDED)
    folder.archive(1)
    # As if the first one had been killed before it removed the end.
    folder.write_exit(ENDED)
    folder.archive(1)
    previous = folder.previous()
    assert previous is not None
    assert previous["restarts"] == 1
    assert folder.identity() is None
    assert folder.exit() is None


def test_every_end_of_a_unit_is_noted_once_when_it_is_restarted_or_renewed(
    folder: UnitFolder,
) -> None:
    folder.write_exit(ENDED)
    folder.note_end()
    folder.archive(1)
    folder.write_exit({**ENDED, "code": 2})
    folder.write_stop_wish({"grace_s": 1.0})
    folder.renew(spec())
    ends = [json.loads(line) for line in (folder.path / "ends").read_text().splitlines()]
    assert [(end["unit"], end["code"]) for end in ends] == [("a", 1), ("a", 2)]
    noticed = from_text(ends[-1]["noticed_at"])
    assert abs((datetime.now(UTC) - noticed).total_seconds()) < 60
    assert folder.previous() is None


def test_every_end_counts(folder: UnitFolder) -> None:
    for second in range(3):
        folder.write_exit({**ENDED, "ended_at": f"2026-01-01T00:00:0{second}.000000Z"})
        folder.archive(1)
    previous = folder.previous()
    assert previous is not None
    assert previous["restarts"] == 3


def test_the_end_is_written_into_the_room_kept_for_it(folder: UnitFolder) -> None:
    folder.reserve_exit()
    kept = folder.path / "exit.draft"
    before = kept.stat()
    assert (before.st_size, before.st_mode & 0o777) == (4096, 0o600)
    assert before.st_blocks * 512 >= 4096
    folder.write_exit(ENDED)
    assert folder.exit() == ENDED
    after = (folder.path / "exit.json").stat()
    assert (after.st_ino, after.st_size) == (before.st_ino, before.st_size)
    assert not kept.exists()


def test_an_end_longer_than_its_room_is_written_whole(folder: UnitFolder) -> None:
    folder.reserve_exit()
    ended = {**ENDED, "reason": "é" * 5000}
    folder.write_exit(ended)
    assert folder.exit() == ended


def test_what_is_left_of_an_older_draft_does_not_show(folder: UnitFolder) -> None:
    (folder.path / "exit.draft").write_text("x" * 9000)
    folder.write_exit(ENDED)
    assert folder.exit() == ENDED


def test_a_new_spec_shows_at_once_and_changes_nothing_else(folder: UnitFolder) -> None:
    folder.write_identity({"started_at": "now"})
    folder.write_spec(spec(command="false"))
    assert folder.spec() == spec(command="false")
    assert folder.identity() == {"started_at": "now"}


def test_the_last_sign_of_life_is_the_youngest_of_three(folder: UnitFolder) -> None:
    folder.write_identity({"started_at": "now"})
    folder.log.touch()
    os.utime(folder.path / "identity.json", (100.0, 100.0))
    os.utime(folder.log, (300.5, 300.5))
    assert folder.last_sign() == datetime.fromtimestamp(300.5, UTC)
    folder.write_stop_wish({"grace_s": 1.0})
    os.utime(folder.path / "stop.json", (400.0, 400.0))
    assert folder.last_sign() == datetime.fromtimestamp(400, UTC)


def test_what_a_spec_names_is_a_sign_of_life(folder: UnitFolder, tmp_path: Path) -> None:
    written = tmp_path / "access.log"
    folder.write_spec(replace(spec(), signs=(str(written), str(tmp_path / "absent"))))
    folder.log.touch()
    os.utime(folder.log, (300.0, 300.0))
    written.touch()
    os.utime(written, (500.0, 500.0))
    assert folder.last_sign() == datetime.fromtimestamp(500, UTC)


def test_a_wish_to_stop_is_written_into_the_room_kept_since_the_claim(folder: UnitFolder) -> None:
    kept = (folder.path / "stop.draft").stat()
    assert (kept.st_size, kept.st_mode & 0o777) == (4096, 0o600)
    assert kept.st_blocks * 512 >= 4096
    assert folder.stop_wish() is None
    for grace_s in (10.0, 1.0):
        folder.write_stop_wish({"grace_s": grace_s})
        assert folder.stop_wish() == {"grace_s": grace_s}
        after = (folder.path / "stop.json").stat()
        assert (after.st_ino, after.st_size) == (kept.st_ino, kept.st_size)
    assert not (folder.path / "stop.draft").exists()


def test_a_unit_that_may_start_again_keeps_room_for_the_next_wish(folder: UnitFolder) -> None:
    folder.write_stop_wish({"grace_s": 10.0})
    folder.write_exit(ENDED)
    folder.renew(spec(command="false"))
    assert (folder.stop_wish(), folder.exit()) == (None, None)
    assert (folder.path / "stop.draft").stat().st_size == 4096


def test_a_folder_of_an_older_plinth_can_be_stopped_too(folder: UnitFolder) -> None:
    (folder.path / "stop.draft").unlink()
    folder.write_stop_wish({"grace_s": 10.0})
    assert folder.stop_wish() == {"grace_s": 10.0}
