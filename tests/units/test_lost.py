"""What a killed supervisor left is cleared away, and its unit is called lost."""

from __future__ import annotations

import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from plinth.units import processes
from plinth.units.folder import UnitFolder, claim
from plinth.units.lost import SUPERVISOR_KILLED, kill_left, write_lost
from plinth.units.spec import UnitSpec
from plinth.units.worker_times import WorkerTime, note_start

# A number that no process has; the mark of a folder that no process was given.
IDENTITY = {
    "child": {"pid": 2**22 + 1, "ticks": 1},
    "started_at": "2026-01-01T00:00:00.000000Z",
}


def test_nothing_is_left_of_what_has_ended(tmp_path: Path) -> None:
    assert not kill_left(UnitFolder(tmp_path), IDENTITY)


def test_a_lost_unit_has_its_times_its_reason_and_no_socket(tmp_path: Path) -> None:
    socket = tmp_path / "x.sock"
    socket.touch()
    assert claim(tmp_path, UnitSpec(id="a", argv=("true",), env={}, cwd="/", socket=str(socket)))
    folder = UnitFolder(tmp_path / "a")
    write_lost(folder, IDENTITY, SUPERVISOR_KILLED, datetime(2026, 1, 2, tzinfo=UTC))
    ended = folder.exit()
    assert ended is not None
    assert (ended["phase"], ended["reason"]) == ("lost", "its supervisor was killed")
    assert ended["started_at"] == IDENTITY["started_at"]
    assert ended["ended_at"] == "2026-01-02T00:00:00.000000Z"
    assert not socket.exists()


def test_a_unit_that_slept_leaves_nobody(tmp_path: Path) -> None:
    asleep = {"started_at": IDENTITY["started_at"]}
    assert not kill_left(UnitFolder(tmp_path), asleep)


def test_the_workers_of_a_unit_are_ended(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-I", "-S", "-c", "import time; time.sleep(60)"])
    worker = processes.identify(child.pid)
    folder = UnitFolder(tmp_path)
    note_start(folder.workers, WorkerTime(1, datetime(2026, 1, 2, tzinfo=UTC)), [worker])
    assert kill_left(folder, {"started_at": IDENTITY["started_at"]})
    assert child.wait(10) == -signal.SIGKILL
    assert not kill_left(folder, {"started_at": IDENTITY["started_at"]})
