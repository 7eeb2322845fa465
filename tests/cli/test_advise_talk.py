"""A question stands on stderr; what was typed comes back."""

from __future__ import annotations

import io
import sys

import pytest

from plinth.cli.advise_talk import Talk
from plinth.kit.errors import Invalid
from plinth.planning.questions.question import Question

QUESTION = Question("q", "R2", "", "Where?", "it matters", "`here`", empty="anywhere")


@pytest.mark.parametrize(
    ("typed", "default", "answer"),
    [
        ("here\n", "there", "here"),
        ("\n", "there", "there"),
        ("  \n", None, ""),
        ("-\n", "there", "-"),
        ("<\n", "there", None),
    ],
)
def test_a_line_is_an_answer(
    typed: str, default: str | None, answer: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
    assert Talk().ask(QUESTION, default, 1) == answer


def test_everything_that_is_said_goes_to_stderr(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("x\ny\n"))
    talk = Talk()
    talk.ask(QUESTION, None, 7)
    talk.refuse(QUESTION, Invalid("q: `\x1b[2J` is wrong"))
    talk.ask(QUESTION, None, 7)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "7. Where?  (R2)" in printed.err
    assert printed.err.count("Where?") == 1
    assert printed.err.count("[anywhere] > ") == 2
    assert "\x1b[2J" not in printed.err


def test_the_end_of_the_input_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    with pytest.raises(Invalid, match="the answers ended at `q`"):
        Talk().ask(QUESTION, None, 1)
