"""The page of rules names every question that the planner asks, and none that it does not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from plinth.planning.rules import RULES, Rule
from tools.reference.rules import CHOICES, JOINT, by_module, rules_page

PAGE = rules_page()
ROOM = Path(__file__).parents[2] / "src" / "plinth" / "planning" / "rules"
SAID = re.compile(r"""\b(?:ok|not_ok|unknown)\(\s*"([^"]+)",""")
ROW = re.compile(r"^\| `([^`]+)` \|", re.MULTILINE)


def ids_in(file: str) -> set[str]:
    return set(SAID.findall((ROOM / file).read_text(encoding="utf-8")))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.id} {rule.ask.__name__}")
def test_every_rule_has_its_line(rule: Rule) -> None:
    (line,) = [
        each
        for each in PAGE.splitlines()
        if each.endswith(f"| `{rule.ask.__name__}` |") and each.startswith(f"| `{rule.id}` |")
    ]
    assert f" | {rule.pillar.value} | " in line
    assert rule.question.removeprefix("Tell ")[1:] in line


def test_every_question_is_one_sentence_without_an_end_missing() -> None:
    for rule in RULES:
        assert rule.question.endswith("."), rule.id


def test_every_id_that_a_verdict_carries_stands_on_the_page() -> None:
    shown = set(ROW.findall(PAGE))
    for path in ROOM.glob("*.py"):
        assert ids_in(path.name) <= shown, path.name


def test_the_questions_on_the_whole_are_those_of_the_code() -> None:
    assert {rule for rule, _ in JOINT} == ids_in("joint.py")
    assert {rule for rule, *_ in CHOICES} == {"H16", "H15.tree"}


def test_the_page_has_no_rule_that_is_not_asked() -> None:
    asked = {rule.id for rule in RULES}
    extra = {rule for rule, *_ in (*CHOICES, *JOINT)}
    assert set(ROW.findall(PAGE)) == asked | extra


def test_the_sections_are_the_modules_in_the_order_of_the_rules() -> None:
    files = re.findall(r"^## .*\n\n`(\w+\.py)`$", PAGE, re.MULTILINE)
    assert files == [f"{name.rpartition('.')[2]}.py" for name in by_module(RULES)]
    assert files[0] == "basic.py"
