"""Tables for people, JSON for programs, and no colour where nobody wants it."""

from __future__ import annotations

import json

import pytest
from rich.console import Console

from plinth.cli.output import age, note, print_json, print_table, words


def test_a_table_has_its_columns_and_no_colour_for_a_program(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_table(["NAME", ">SIZE"], [["a", 1], ["[b]", None], ["x" * 150, "failed"]], empty="none")
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0].split() == ["NAME", "SIZE"]
    assert "[b]" in out
    assert "x" * 150 in out
    assert lines[3].endswith("-")
    assert ("\x1b" in out, err) == (False, "")


def test_no_rows_are_said_beside_the_data(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["NAME"], [], empty="nothing yet")
    note("more")
    assert capsys.readouterr() == ("", "nothing yet\nmore\n")


def test_json_is_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    print_json([{"a": None}])
    assert json.loads(capsys.readouterr().out) == [{"a": None}]


@pytest.mark.parametrize(
    ("since", "until", "expected"),
    [
        (None, None, "-"),
        ("2026-01-01T00:00:00Z", "2026-01-01T00:01:05Z", "1m 05s"),
        ("2026-01-01T00:00:10+00:00", "2026-01-01T00:00:00Z", "0.0s"),
    ],
)
def test_ages(since: str | None, until: str | None, expected: str) -> None:
    assert age(since, until) == expected


def test_a_reason_is_written_as_words() -> None:
    assert words("DeploymentFailed") == "deployment failed"
    assert words("Ready") == "ready"


def test_an_age_without_an_end_is_up_to_now() -> None:
    assert age("2000-01-01T00:00:00Z").endswith("h")


def test_a_narrow_terminal_cuts_no_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("plinth.cli.output.console", lambda: Console(width=30))
    rows = [["r_uvdcxge2i4.0.1", 32512, "its model's input example came back right"]]
    print_table(["UNIT", ">PID", "WHY"], rows, empty="")
    shown = capsys.readouterr().out
    assert "r_uvdcxge2i4.0.1" in shown
    assert "32512" in shown
