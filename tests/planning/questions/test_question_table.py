"""Every question leads to a field that there is, in words that a person can answer."""

from __future__ import annotations

import re

import pytest

from plinth.domain.application import PARTS, Application
from plinth.domain.mistake import model_at
from plinth.planning.questions.question import Question
from plinth.planning.questions.question_table import QUESTIONS
from plinth.planning.questions.questions import read_answer

EVERYTHING = {"name": "x", "functions": list(PARTS)}


def test_names_differ_and_parts_come_in_the_order_of_the_guidance() -> None:
    names = [each.name for each in QUESTIONS]
    assert len(set(names)) == len(names)
    heads = list(dict.fromkeys(name.partition(".")[0] for name in names))
    assert [head for head in heads if head in PARTS] == list(PARTS)


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.name)
def test_a_question_is_whole(question: Question) -> None:
    assert question.text.endswith("?")
    assert re.fullmatch(r"[A-Z]\d+[a-e]?", question.rule)
    assert not question.why.endswith(".")
    assert question.why[:1].islower() or question.why.startswith("GPU")
    if question.field:
        *above, last = question.field.split(".")
        parent = model_at(Application, tuple(above)) if above else Application
        assert parent is not None
        assert last in parent.model_fields


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.name)
def test_a_default_is_accepted(question: Question) -> None:
    default = question.default_of(EVERYTHING)
    if default is not None:
        answers = {**EVERYTHING, "data.size": "1GB", "batch.model": None, "online.model": None}
        assert read_answer(question, default, answers) is not None
    elif question.name != "name":
        assert question.empty
