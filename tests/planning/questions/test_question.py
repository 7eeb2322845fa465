"""An answer is read as a person means it, or refused with what is accepted."""

from __future__ import annotations

import pytest

from plinth.kit.errors import Invalid
from plinth.planning.questions.question import (
    Question,
    functions_of,
    given,
    has,
    left_out,
    read_value,
)


def ask(kind: str, **more: object) -> Question:
    return Question("q", "R1", "", "Which?", "it matters", "`this`", kind=kind, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "written", "read"),
    [
        ("text", "  4h ", "4h"),
        ("text", 12, "12"),
        ("number", "20,000,000", 20_000_000),
        ("number", "1e3", 1000.0),
        ("number", 0.5, 0.5),
        ("yes", "Y", True),
        ("yes", "no", False),
        ("yes", True, True),
        ("list", "train, online", ["train", "online"]),
        ("list", "train online train", ["train", "online"]),
        ("list", ["train"], ["train"]),
    ],
)
def test_an_answer_is_read(kind: str, written: object, read: object) -> None:
    assert read_value(ask(kind), written) == read  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "written", "said"),
    [
        ("text", ["a"], "one text is needed"),
        ("text", True, "one text is needed"),
        ("number", "many", "`many` is not a number"),
        ("number", True, "is not a number"),
        ("number", "1: 2", "is not a number"),
        ("yes", "perhaps", "neither yes nor no"),
        ("list", 4, "is not a list of names"),
        ("list", [1], "is not a list of names"),
        ("list", [], "is not a list of names"),
        ("text", "", "an answer is needed"),
    ],
)
def test_a_wrong_answer_is_told_what_is_accepted(kind: str, written: object, said: str) -> None:
    with pytest.raises(Invalid) as refused:
        read_value(ask(kind), written)  # type: ignore[arg-type]
    assert refused.value.message.startswith("q: ")
    assert said in refused.value.message
    assert refused.value.message.endswith("accepted: `this`")


@pytest.mark.parametrize("written", ["", "-", " ", None, "anywhere", "None"])
def test_a_question_may_be_left_out(written: str | None) -> None:
    assert read_value(ask("text", empty="anywhere"), written) is None


def test_what_the_catalog_knows_is_written_as_it_writes_it() -> None:
    assert read_value(ask("text", verify=str.lower), "EU") == "eu"
    assert read_value(ask("list", verify=str.lower), "A B") == ["a", "b"]


def test_conditions_read_the_answers_before() -> None:
    answers = {"functions": ["online", "train"], "online.model": None, "size": "1GB"}
    assert functions_of(answers) == ("train", "online")
    assert has("batch", "online")(answers)
    assert not has("flow")(answers)
    assert given("size")(answers)
    assert not given("online.model")(answers)
    assert given("size", "1GB")(answers)
    assert not given("size", "2GB")(answers)
    assert left_out("online.model", "online")(answers)
    assert not left_out("batch.model", "batch")(answers)


def test_a_default_may_depend_on_the_answers_before() -> None:
    assert ask("text", default="4").default_of({}) == "4"
    assert ask("text", default=lambda answers: str(answers["x"])).default_of({"x": "5"}) == "5"
