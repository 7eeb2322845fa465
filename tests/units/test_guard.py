"""A guard speaks for its own supervisor only, and only when nobody else does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from plinth.units import processes
from plinth.units.beginning import Beginning
from plinth.units.folder import UnitFolder, claim, take_lock
from plinth.units.guard import clear_up
from plinth.units.processes import Process
from plinth.units.spec import UnitSpec

# Numbers that no process has.
SUPERVISOR = Process(2**22 + 1, 1)
OTHER = Process(2**22 + 2, 1)
ENDED = {"phase": "exited", "code": 0}


def never(_seconds: float) -> None:
    raise AssertionError("it waited")


@pytest.fixture
def folder(tmp_path: Path) -> UnitFolder:
    assert claim(tmp_path, UnitSpec(id="a", argv=("true",), env={}, cwd="/"))
    return UnitFolder(tmp_path / "a")


def identity_of(supervisor: Process) -> dict[str, Any]:
    return {
        "boot_id": processes.boot_id(),
        "supervisor": supervisor.to_json(),
        "child": OTHER.to_json(),
        **Beginning.now().to_json(),
    }


def test_a_unit_whose_supervisor_was_killed_is_lost(folder: UnitFolder) -> None:
    folder.write_identity(identity_of(SUPERVISOR))
    clear_up(folder, SUPERVISOR, never)
    ended = folder.exit()
    assert ended is not None
    assert (ended["phase"], ended["reason"]) == ("lost", "its supervisor was killed")


def test_an_end_that_was_written_stays(folder: UnitFolder) -> None:
    folder.write_identity(identity_of(SUPERVISOR))
    folder.write_exit(ENDED)
    clear_up(folder, SUPERVISOR, never)
    assert folder.exit() == ENDED


def test_a_unit_that_never_started_may_be_started(folder: UnitFolder) -> None:
    clear_up(folder, SUPERVISOR, never)
    assert folder.exit() is None


def test_another_supervisor_is_left_alone(folder: UnitFolder) -> None:
    folder.write_identity(identity_of(OTHER))
    clear_up(folder, SUPERVISOR, never)
    assert folder.exit() is None


def test_who_holds_the_lock_speaks_first(folder: UnitFolder) -> None:
    folder.write_identity(identity_of(SUPERVISOR))
    lock = take_lock(folder)
    assert lock is not None
    waits = []

    def speak(seconds: float) -> None:
        waits.append(seconds)
        folder.write_exit(ENDED)

    clear_up(folder, SUPERVISOR, speak)
    assert (folder.exit(), len(waits)) == (ENDED, 1)


def test_a_folder_that_is_gone_needs_nothing(folder: UnitFolder) -> None:
    folder.remove()
    clear_up(folder, SUPERVISOR, never)
