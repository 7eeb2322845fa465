"""Every line of the guidance that Plinth must advise on has a test of its own, and a rule."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.reference.rules import rules_page

# The rows of the guidance that ask for advice, by their stable ids.
ADVISED = (
    *("G1", "G2", "R1", "R2", "R3", "R4", "R5", "R7"),
    *("E0", "E2", "E4", "E6a", "E6b", "E7"),
    *("T0a", "T0b", "T0c", "T3", "T4", "T5a", "T5b", "T5c", "T5d", "T6", "T7"),
    *("H0a", "H0b", "H0c", "H4", "H7", "H8a", "H8b", "H8c", "H10", "H11a", "H11b"),
    *("H14", "H15", "H16", "H19a", "H19c", "H20", "O4"),
)
# What the whole plan answers, and no single rule.
OF_THE_PLAN = {"G1"}
FOLDER = Path(__file__).parent


@pytest.mark.parametrize("name", ADVISED)
def test_it_has_a_test_that_accepts_and_one_that_rejects(name: str) -> None:
    text = (FOLDER / f"test_{name}.py").read_text(encoding="utf-8")
    assert text.startswith(f'"""{name}: ')
    assert text.count("\ndef test_") >= 2


@pytest.mark.parametrize("name", sorted(set(ADVISED) - OF_THE_PLAN))
def test_it_stands_among_the_rules(name: str) -> None:
    assert f"`{name}`" in rules_page() or f"`{name}." in rules_page()
