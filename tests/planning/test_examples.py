"""The worked applications of examples/plans: golden plans and reports, looked at by people.

`WRITE_GOLDEN=1 pytest tests/planning/test_examples.py` writes them anew; then read the difference.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from plinth.cli.plan_report import report_page
from plinth.cli.plan_text import show_advice
from plinth.planning.advice import make_advice
from tests.planning.applications import TODAY
from tests.planning.examples import FOLDER, NAMES, declared, market_of


def check_golden(file: Path, made: str) -> None:
    if os.environ.get("WRITE_GOLDEN"):
        file.write_text(made, encoding="utf-8")
    golden = file.read_text(encoding="utf-8")
    assert made == golden, f"{file.name} differs; write it with WRITE_GOLDEN=1 and look at it"


def test_there_are_six() -> None:
    assert len(NAMES) == 6


@pytest.mark.parametrize("name", NAMES)
def test_the_plan_is_the_one_that_was_looked_at(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    advice = make_advice(declared(name), market_of(name))
    assert advice.is_feasible
    show_advice(advice)
    printed = "\n".join(line.rstrip() for line in capsys.readouterr().out.splitlines())
    check_golden(FOLDER / f"{name}.plan.txt", printed + "\n")


@pytest.mark.parametrize("name", NAMES)
def test_the_report_is_the_one_that_was_looked_at(name: str) -> None:
    advice = make_advice(declared(name), market_of(name))
    page = report_page(advice, declared(name), TODAY)
    check_golden(FOLDER / f"{name}.html", page)
