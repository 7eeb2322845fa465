"""Verbs that look after a home, with the program that they execute; real parts are journeys'."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.progress import Progress

from plinth.cli import upkeep
from plinth.kit.errors import PlinthError
from plinth.kit.home import Home
from plinth.upkeep import __main__ as program
from tests.cli.terminal import Terminal
from tests.upkeep.stand import new_place

FINDINGS = [
    {"name": "home", "status": "ok", "fact": "can be written", "todo": None},
    {"name": "disk", "status": "warning", "fact": "1 GB is free", "todo": "free some space"},
]
FAILURE = {"name": "gateway", "status": "failed", "fact": "port taken", "todo": "choose another"}


def test_a_backup_says_what_is_in_it_and_how_to_keep_it(terminal: Terminal, tmp_path: Path) -> None:
    said = terminal("backup", tmp_path / "b.tar")
    assert said.code == 0, said.err
    assert "key" in said.out
    assert "teams" in said.out
    assert f"wrote {tmp_path / 'b.tar'}" in said.err
    assert "the keys that sign every API key" in said.err
    assert "plinth restore" in said.err


class InPlace:
    """Stands for the process of the node's program, which does its work here at once."""

    def __init__(self, command: list[str], **_options: Any) -> None:
        assert command[:4] == [sys.executable, "-P", "-m", "plinth.upkeep"]
        said = io.StringIO()
        with redirect_stdout(said):
            self.returncode = program.main(command[4:])
        self.stdout = io.StringIO(said.getvalue())

    def __enter__(self) -> InPlace:
        return self

    def __exit__(self, *_: object) -> None:
        """It has ended."""


@pytest.fixture
def in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start no process: the first test shows that one does the same. Its signals stay as they are.

    A process imports for a second what is imported here already.
    """
    monkeypatch.setattr(subprocess, "Popen", InPlace)
    monkeypatch.setattr(program.signal, "signal", lambda *_: None)
    monkeypatch.setattr(program.os, "umask", lambda _mask: 0)


@pytest.mark.usefixtures("in_place")
def test_a_backup_takes_no_files_place_but_with_force(terminal: Terminal, tmp_path: Path) -> None:
    (tmp_path / "b.tar").write_text("precious")
    said = terminal("backup", tmp_path / "b.tar")
    assert said.code == 1
    assert "`--force` to replace it" in said.err
    made = terminal("backup", tmp_path / "b.tar", "--force", "--json").json
    assert made["file"] == str(tmp_path / "b.tar")
    assert made["counts"]["store"]["team"] >= 1


@pytest.mark.usefixtures("in_place")
def test_a_restore_says_what_comes_next(terminal: Terminal, tmp_path: Path) -> None:
    terminal("backup", tmp_path / "b.tar")
    place = new_place()
    said = terminal("restore", tmp_path / "b.tar", "--home", place)
    assert said.code == 0, said.err
    assert f"plinth up --home {place}" in said.err
    assert "stop the old Plinth" in said.err
    again = terminal("restore", tmp_path / "b.tar", "--home", place)
    assert (again.code, "is not empty" in again.err) == (1, True)


def test_a_restore_names_the_runs_that_cannot_go_on(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = {
        "home": "/h",
        "seconds": 1.0,
        "ended_runs": ["r_a", "r_b"],
        "notes": ["the store was PostgreSQL"],
        "from": {
            "made_at": "2026",
            "plinth": "0.1.0",
            "home": "/old",
            "counts": {},
            "sizes": {},
            "missing": ["storage/x"],
        },
    }
    monkeypatch.setattr(upkeep, "_execute", lambda *_, **__: made)
    said = terminal("restore", "b.tar", "--home", "/h")
    assert "2 runs ran when the backup was made" in said.err
    assert "r_a, r_b" in said.err
    assert "the store was PostgreSQL" in said.err
    assert "storage/x" in said.err
    assert terminal("restore", "b.tar", "--json").json == made


@pytest.mark.usefixtures("in_place")
def test_a_new_home_needs_no_upgrade(terminal: Terminal) -> None:
    said = terminal("upgrade")
    assert (said.code, said.out) == (0, "")
    assert "everything is new already" in said.err
    assert terminal("upgrade", "--json").json["changed"] == []


def test_an_upgrade_says_what_it_did(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def execute(*words: Any, quiet: bool) -> Any:
        asked.append(words)
        change = {"part": "store", "from": "0003", "to": "0004"}
        return {"changed": [change], "backup": "/b.tar", "plinth": "0.2.0"}

    monkeypatch.setattr(upkeep, "_execute", execute)
    said = terminal("upgrade", "--backup", "/b.tar")
    assert "0003" in said.out
    assert "/b.tar" in said.err
    assert asked[0][2:] == ("--backup", "/b.tar")
    terminal("upgrade", "--no-backup")
    assert asked[1][2:] == ("--no-backup",)


def test_a_doctor_without_failures_ends_with_0(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "_execute", lambda *_, **__: {"findings": FINDINGS})
    said = terminal("doctor")
    assert said.code == 0
    assert "disk: free some space" in said.out
    assert "1 of 2 probes are well, 1 warning" in said.err
    assert terminal("doctor", "--json").json == {"findings": FINDINGS}


def test_a_doctor_with_failures_names_them_and_ends_with_1(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    findings = [*FINDINGS, FAILURE]
    monkeypatch.setattr(upkeep, "_execute", lambda *_, **__: {"findings": findings})
    said = terminal("doctor")
    assert said.code == 1
    assert "gateway: choose another" in said.out
    assert "1 probe failed: gateway" in said.err
    said = terminal("doctor", "--json")
    assert (said.code, said.json) == (1, {"findings": findings})


def test_a_program_that_says_nothing_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    run = subprocess.Popen

    def other(_command: Any, **options: Any) -> Any:
        return run(
            [sys.executable, "-I", "-S", "-c", "print('oh'); raise SystemExit(3)"], **options
        )

    monkeypatch.setattr(subprocess, "Popen", other)
    with pytest.raises(PlinthError, match="ended with 3"):
        upkeep._execute("doctor", Home(Path("/h")), quiet=True)


def test_progress_moves_a_bar_and_strange_words_are_passed_on(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = [
        json.dumps({"progress": {"step": "writing", "done": 1, "total": 0}}),
        "a library's words",
        json.dumps({"progress": {"step": "writing", "done": 5, "total": 10}}),
        json.dumps({"answer": 1}),
    ]
    with Progress(console=Console(file=io.StringIO())) as progress:
        answer = upkeep._read(io.StringIO("\n".join(lines)), progress)
        (task,) = progress.tasks
    assert answer == {"answer": 1}
    assert (task.description, task.completed, task.total) == ("writing", 5, 10)
    assert "a library's words" in capsys.readouterr().err


def test_no_bar_is_drawn_where_nobody_looks() -> None:
    with upkeep._progress(quiet=False) as progress:
        assert progress is None
