"""An error is one line, and its hint another."""

from __future__ import annotations

import json
import sys

import pytest

from plinth.cli.failure import report
from plinth.kit.errors import Conflict


@pytest.mark.parametrize(
    ("hint", "expected"),
    [
        ("do this", "error: it is taken\n\nhint: do this\n"),
        (None, "error: it is taken\n"),
    ],
)
def test_the_words_of_an_error(
    hint: str | None,
    expected: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["plinth", "list"])
    report(Conflict("it is taken", hint=hint))
    assert capsys.readouterr() == ("", expected)


def test_a_program_gets_the_one_shape(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["plinth", "list", "--json"])
    error = Conflict("it is taken", hint="do this")
    report(error)
    assert json.loads(capsys.readouterr().err) == error.to_json()


def test_what_a_terminal_would_obey_is_shown_escaped(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["plinth", "plan"])
    report(Conflict("`a\x1b[31mRED\a\u202e` is\nno name", hint="ö\tx"))
    expected = "error: `a\\x1b[31mRED\\x07\\u202e` is\nno name\n\nhint: ö\\tx\n"
    assert capsys.readouterr() == ("", expected)
