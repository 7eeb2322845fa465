from __future__ import annotations

import pytest
import yaml
from pydantic import JsonValue

from plinth.domain.plan import Candidate, Change, Outcome, Verdict
from plinth.domain.platform import Offer

OFFER = Offer(sku="machine", region="local", cpu=1, memory=1)


@pytest.mark.parametrize(
    ("outcomes", "feasible"),
    [
        ([], True),
        ([Outcome.OK, Outcome.UNKNOWN], True),
        ([Outcome.OK, Outcome.NOT_OK], False),
    ],
)
def test_only_a_rejection_makes_a_candidate_infeasible(outcomes, feasible):
    verdicts = tuple(Verdict(rule="x", outcome=outcome, reason="y") for outcome in outcomes)
    assert Candidate(platform="a", offer=OFFER, verdicts=verdicts).is_feasible is feasible


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (2.0, "a.b: 2.0"),
        (None, "a.b: null"),
        (True, "a.b: true"),
        ("local", "a.b: local"),
        ("4000MB", "a.b: 4000MB"),
        ("A100:2", 'a.b: "A100:2"'),
        ("true", 'a.b: "true"'),
        ("No", 'a.b: "No"'),
        ("1e5", 'a.b: "1e5"'),
        ("2026-11-22", 'a.b: "2026-11-22"'),
        ("0x10", 'a.b: "0x10"'),
        ("", 'a.b: ""'),
        ("-x", 'a.b: "-x"'),
        (["a", "ö"], 'a.b: ["a", "ö"]'),
    ],
)
def test_a_change_is_written_as_a_file_would_be_read(value: JsonValue, text: str) -> None:
    assert str(Change(field="a.b", value=value)) == text
    assert yaml.safe_load(text.partition(": ")[2]) == value
