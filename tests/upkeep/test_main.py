"""The program that the command line executes: JSON lines, whatever happens."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from plinth.upkeep import __main__ as program
from tests.upkeep.stand import full_home, new_place


@pytest.fixture(autouse=True)
def same_signals(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The program takes over signals and the umask, which this process keeps."""
    monkeypatch.setattr(program.signal, "signal", lambda *_: None)
    monkeypatch.setattr(program.os, "umask", lambda _mask: 0)


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_backup_and_its_restore(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with full_home() as plane:
        home = str(plane.home.root)
        assert program.main(["backup", str(tmp_path / "b.tar"), "--home", home]) == 0
        *steps, answer = lines(capsys)
        assert all("progress" in step for step in steps)
        assert answer["file"] == str(tmp_path / "b.tar")
        assert program.main(["backup", str(tmp_path / "b.tar"), "--home", home]) == 1
        assert lines(capsys)[-1]["error"]["code"] == "file_exists"
        assert program.main(["backup", str(tmp_path / "b.tar"), "--force", "--home", home]) == 0
        assert program.main(["upgrade", "--home", home]) == 0
        assert lines(capsys)[-1]["changed"] == []
    place = new_place()
    assert program.main(["restore", str(tmp_path / "b.tar"), "--home", str(place)]) == 0
    assert lines(capsys)[-1]["home"] == str(place)


def test_a_doctor_that_finds_failures_did_its_work(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(program, "examine", lambda home, report: {"ok": False, "findings": []})
    assert program.main(["doctor", "--home", str(new_place())]) == 0
    assert lines(capsys) == [{"ok": False, "findings": []}]


def test_a_file_that_cannot_be_read_is_an_error_of_one_shape(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied", "/h/storage/x")

    monkeypatch.setattr(program, "back_up", fail)
    assert program.main(["backup", "x.tar", "--home", "/h"]) == 1
    (answer,) = lines(capsys)
    assert answer["error"]["message"] == "`/h/storage/x`: Permission denied"


def test_an_interrupted_backup_leaves_nothing(tmp_path: Path) -> None:
    """Asked to end twice, as a terminal and its command line both do, it still cleans up."""
    code = (
        "import os, signal, sys, shutil\n"
        "from plinth.upkeep import backup, partial\n"
        "remove = shutil.rmtree\n"
        "def slowly(*a, **k):\n"
        "    os.kill(os.getpid(), signal.SIGTERM); remove(*a, **k)\n"
        "partial.shutil.rmtree = slowly\n"
        "backup.small_files = lambda _home: os.kill(os.getpid(), signal.SIGINT) or []\n"
        "from plinth.upkeep.__main__ import main\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    with full_home() as plane:
        options = ["backup", str(tmp_path / "b.tar"), "--home", str(plane.home.root)]
        done = subprocess.run(
            [sys.executable, "-c", code, *options], capture_output=True, check=False
        )
    assert done.returncode == 128 + signal.SIGINT
    assert done.stderr == b""
    assert list(tmp_path.iterdir()) == []
