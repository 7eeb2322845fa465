"""A plan needs no running Plinth."""

from __future__ import annotations

from pathlib import Path

from tests.cli.terminal import Terminal


def test_a_plan_shows_every_rule(terminal: Terminal, job_file: Path) -> None:
    (terminal.home / "node.json").unlink()
    said = terminal("plan", job_file)
    assert said.code == 0
    assert all(word in said.out for word in ("chosen", "RULE", "VERDICT"))
    assert terminal("plan", job_file, "--json").json["chosen"]["platform"] == "local"


def test_what_fits_nowhere_ends_with_1_and_says_what_would_change_it(
    terminal: Terminal, job_file: Path
) -> None:
    job_file.write_text(job_file.read_text() + "resources: {cpu: 5000}\n")
    said = terminal("plan", job_file)
    assert said.code == 1
    assert "error: " in said.err
    assert terminal("plan", job_file, "--json").json["chosen"] is None
