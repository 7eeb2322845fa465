"""An advice is printed with the decision first, then why, then why not the others."""

from __future__ import annotations

import pytest

from plinth.cli.plan_text import (
    changes_words,
    show_advice,
    show_part,
    show_what_if,
    show_why_not,
)
from plinth.domain.plan import Change
from plinth.planning.counterfactual import Asked, why_not
from tests.planning.applications import MARKET, application

ASKED = Asked(
    application(
        requirements={"regions": ["westeurope"]},
        train={"resources": {"cpu": 4}, "demand": {"runs": 8, "duration": "2h"}},
        online={"format": "onnx"},
    ),
    MARKET,
)
ADVICE = ASKED.advise()


def test_the_decision_stands_first(capsys: pytest.CaptureFixture[str]) -> None:
    show_advice(ADVICE)
    said = capsys.readouterr().out
    places = [said.index(word) for word in ("PART", "`app` fits", "NOT CHOSEN", "TERM", "--part")]
    assert places == sorted(places)
    assert "What the costs assume" in said


def test_a_part_is_shown_with_every_verdict_and_the_regions_that_are_ruled_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show_part(ADVICE.parts[0])
    said = capsys.readouterr().out
    for candidate in ADVICE.parts[0].rejected:
        for verdict in candidate.verdicts:
            assert verdict.rule in said
    assert "Regions that are ruled out" in said
    assert "eastus" in said


def test_what_if_shows_both_decisions(capsys: pytest.CaptureFixture[str]) -> None:
    change = Change(field="train.resources.cpu", value=9000)
    show_what_if(ADVICE, ASKED.changed([change]).advise(), [change])
    said = capsys.readouterr().out
    assert "with `train.resources.cpu: 9000`" in said
    assert "no platform fits `train`" in said


def test_why_not_shows_each_part(capsys: pytest.CaptureFixture[str]) -> None:
    show_why_not(why_not(ASKED, "kubernetes"))
    said = capsys.readouterr().out
    assert "train on kubernetes" in said
    assert "plinth inventory add kubernetes" in said
    show_why_not(why_not(ASKED, "azure-openai-batch"))
    assert "no change that a rule names admits it" in capsys.readouterr().out
    chosen = ADVICE.parts[0].chosen
    assert chosen is not None
    show_why_not(why_not(ASKED, chosen.platform))
    assert "it is chosen" in capsys.readouterr().out


def test_changes_are_written_in_a_row() -> None:
    one, other = Change(field="a", value=1), Change(field="b", value="x")
    assert changes_words([one, other]) == "`a: 1` and `b: x`"
