"""The files of a folder make one clear state."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from plinth.kit.clock import since_boot_s
from plinth.units.folder import UnitFolder, claim
from plinth.units.processes import Process, boot_id
from plinth.units.spec import Elastic, UnitSpec
from plinth.units.view import exit_code, state_of
from plinth.units.worker_times import WorkerTime, note_start

SPEC = UnitSpec(id="a", argv=("true",), env={}, cwd="/")
IDENTITY: dict[str, Any] = {
    "boot_id": "b",
    "supervisor": {"pid": 10, "ticks": 1},
    "child": {"pid": 11, "ticks": 2},
    "started_at": "2026-01-01T00:00:00.000000Z",
    "isolation": 3,
}
ENDED: dict[str, Any] = {"phase": "exited", "code": 3, "signal": None, "stopped": False}


@pytest.fixture
def folder(tmp_path: Path) -> UnitFolder:
    claim(tmp_path, SPEC)
    return UnitFolder(tmp_path / "a")


def test_a_unit_that_was_only_accepted_is_starting(folder: UnitFolder) -> None:
    assert state_of(SPEC, folder, may_restart=False).phase == "starting"


def test_a_unit_with_an_identity_is_running(folder: UnitFolder) -> None:
    folder.write_identity(IDENTITY)
    state = state_of(SPEC, folder, may_restart=False)
    assert (state.phase, state.pid, state.isolation) == ("running", 11, 3)


def test_a_running_unit_of_this_boot_has_an_age_that_no_clock_changes(folder: UnitFolder) -> None:
    folder.write_identity({**IDENTITY, "since_boot_s": 0.0})
    assert state_of(SPEC, folder, may_restart=False).age_s is None
    folder.write_identity({**IDENTITY, "boot_id": boot_id(), "since_boot_s": since_boot_s() - 90})
    age_s = state_of(SPEC, folder, may_restart=False).age_s
    assert age_s is not None
    assert 90 <= age_s < 150
    folder.write_exit(ENDED)
    assert state_of(SPEC, folder, may_restart=False).age_s is None


def test_an_ended_unit_keeps_its_level_and_its_code(folder: UnitFolder) -> None:
    folder.write_identity(IDENTITY)
    folder.write_exit(ENDED)
    state = state_of(SPEC, folder, may_restart=False)
    assert (state.phase, state.pid, state.exit_code, state.isolation) == ("exited", None, 3, 3)


def test_an_ended_unit_that_starts_again_is_starting(folder: UnitFolder) -> None:
    folder.write_exit({**ENDED, "reason": "exited with code 3"})
    state = state_of(SPEC, folder, may_restart=True)
    assert (state.phase, state.reason) == ("starting", "exited with code 3")


def test_a_signal_becomes_a_code_as_shells_write_it() -> None:
    assert exit_code({"signal": 9, "code": None}) == 137
    assert exit_code({"signal": None, "code": 0}) == 0
    assert exit_code({"signal": None, "code": None}) is None


def test_an_elastic_unit_says_how_many_workers_run(folder: UnitFolder) -> None:
    elastic = replace(SPEC, socket="/run/a.sock", elastic=Elastic(0, 2))
    asleep = {name: value for name, value in IDENTITY.items() if name != "child"}
    assert state_of(elastic, folder, may_restart=False).workers is None
    folder.write_identity(asleep)
    state = state_of(elastic, folder, may_restart=False)
    assert (state.phase, state.workers, state.pid) == ("running", 0, None)
    life = WorkerTime(1, datetime(2026, 1, 2, tzinfo=UTC))
    note_start(folder.workers, life, [Process(12, 3)])
    state = state_of(elastic, folder, may_restart=False)
    assert (state.workers, state.pid) == (1, 12)
    folder.write_exit(ENDED)
    assert state_of(elastic, folder, may_restart=False).workers is None
