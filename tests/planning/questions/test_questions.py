"""Answers make a file that loads as what was answered."""

from __future__ import annotations

import random

import pytest
from pydantic import ValidationError

from plinth.domain.application import PARTS, Application
from plinth.domain.document import Value
from plinth.domain.load import load_workload
from plinth.kit.errors import Invalid
from plinth.planning.questions.question_table import QUESTIONS
from plinth.planning.questions.questions import (
    application_fields,
    check_strays,
    file_text,
    find_question,
    next_question,
    read_answer,
)

# More than one value for those whose default leaves them out.
OTHERS = {
    "name": ["churn", "a"],
    "residency": ["eu", "West Europe"],
    "rto": ["4h"],
    "day2_hours": ["12"],
    "data.size": ["40GB", "2TB"],
    "data.region": ["westeurope"],
    "data.platform": ["databricks-jobs"],
    "explore.gpu_reason": ["images: cats & dogs", "yes", "12", "#1", 'a "word" \\ é'],
    "train.checkpoint": ["verified"],
    "tune.base_model": ["gpt-4o-mini"],
    "batch.model": ["gpt-4o"],
    "online.model": ["gpt-4o"],
    "online.latency": ["800ms"],
    "online.peak": ["9,000"],
    "train.freshness": ["7d"],
    "train.budget": ["3000 EUR"],
    "train.accelerator": ["A100:2"],
}


def answer_all(choose: random.Random) -> dict[str, Value]:
    """Answer every question that is asked, as it comes."""
    answers: dict[str, Value] = {}
    while (question := next_question(answers)) is not None:
        default = question.default_of(answers)
        written = choose.choice([default, *OTHERS.get(question.name, [])])
        if question.name == "name":
            written = choose.choice(OTHERS["name"])
        if question.name == "functions":
            written = ", ".join(choose.sample(PARTS, choose.randint(1, len(PARTS))))
        answers[question.name] = read_answer(question, written, answers)
    return answers


@pytest.mark.parametrize("seed", range(25))
def test_the_file_says_what_was_answered_whatever_that_was(seed: int) -> None:
    answers = answer_all(random.Random(seed))
    loaded = load_workload(file_text(answers), "app.yaml")
    assert isinstance(loaded, Application)
    assert loaded == Application.model_validate(application_fields(answers))
    assert set(loaded.parts) == set(answers["functions"])  # type: ignore[arg-type]


def test_the_first_question_is_the_name_and_the_second_the_functions() -> None:
    first = next_question({})
    assert first is not None
    assert first.name == "name"
    second = next_question({"name": "x"})
    assert second is not None
    assert second.name == "functions"


def test_the_file_says_why_above_each_field_and_once_above_those_that_share_it() -> None:
    answers: dict[str, Value] = {
        "name": "bot",
        "functions": ["online"],
        "residency": "eu",
        "private_network": False,
        "data.size": "40GB",
        "data.read_by": ["online"],
        "online.model": "gpt-4o",
        "online.input_tokens": 900,
        "online.output_tokens": 250,
    }
    assert file_text(answers).splitlines()[2:] == [
        "kind: application",
        "name: bot",
        "",
        "requirements:",
        "  # R2: laws and contracts limit regions, and no price makes up for a breach",
        "  residency: eu",
        "",
        "data:",
        "  source:",
        "    # R5: moving data costs money and time, so work goes to the data where it can",
        "    size: 40GB",
        "",
        "online:",
        "  # R5: only they are drawn to where it lies",
        "  data: [source]",
        "  # H0b: a hosted model needs no machine of yours, and gives up control of it",
        "  model: gpt-4o",
        "  demand:",
        "    # H10: hosted models are paid for, and limited, by the token",
        "    input_tokens: 900",
        "    output_tokens: 250",
    ]


def test_a_part_without_answers_is_there_all_the_same() -> None:
    text = file_text({"name": "x", "functions": ["flow"]})
    assert text.endswith("\nflow: {}\n")
    assert set(load_workload(text, "app.yaml").parts) == {"flow"}  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("name", "written", "said"),
    [
        ("name", "Mein Bot", "is not a name"),
        ("criticality", "prod", "is not one of the accepted values"),
        ("rto", "soon", "is not a duration"),
        ("data.size", "-4GB", "is not a size"),
        ("train.runs", "0", "must be at least 1e-06"),
        ("train.cpu", "1e300", "must be at most 10000"),
        ("train.cpu", ".nan", "train.cpu: "),
        ("train.nodes", "1.5", "whole number"),
        ("train.accelerator", "A100:0", "must be more than 0"),
        ("train.budget", "cheap", "is not a budget"),
        ("online.format", "pickle", "is not one of the accepted values"),
        ("online.peak", "0.5", "is below the average of 1"),
        ("data.read_by", "batch", "`batch` is not among them"),
    ],
)
def test_a_wrong_answer_is_refused_as_a_file_would_be(name: str, written: str, said: str) -> None:
    answers: dict[str, Value] = {"name": "x", "functions": ["train", "online"]}
    with pytest.raises(Invalid) as refused:
        read_answer(find_question(name), written, answers)
    assert said in refused.value.message
    assert f"accepted: {find_question(name).accepted}" in refused.value.message


def test_a_question_that_there_is_not_is_told_the_nearest() -> None:
    with pytest.raises(Invalid, match="did you mean `residency`"):
        find_question("residence")


def test_an_answer_that_nobody_asked_for_is_refused() -> None:
    check_strays({"name": "x"}, {"name": "x"})
    with pytest.raises(Invalid, match=r"`flow\.tool`: answered, and not asked"):
        check_strays({"name": "x"}, {"name": "x", "flow.tool": "asgi"})


def test_every_question_of_a_part_is_asked_only_with_the_part() -> None:
    for question in QUESTIONS:
        if question.name.partition(".")[0] in PARTS:
            assert not question.when({"functions": []})


def test_answers_that_are_checked_already_make_an_application() -> None:
    with pytest.raises(ValidationError):
        Application.model_validate(application_fields({"name": "?", "functions": ["flow"]}))
