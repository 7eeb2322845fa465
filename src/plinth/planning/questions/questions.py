"""Answers to the guidance's questions, and the application's file that they make.

`cli/advise.py` asks; nothing here reads or prints. An answer is checked by building the whole
application with it, so that what is accepted here is what a file accepts.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from plinth.domain.application import Application
from plinth.domain.document import Value, read_document, to_value
from plinth.domain.mistake import describe, nearest_name
from plinth.kit.errors import Invalid
from plinth.kit.excerpt import excerpt
from plinth.planning.questions.question import Answers, Question, functions_of, read_value
from plinth.planning.questions.question_table import QUESTIONS
from plinth.planning.questions.questions_general import DATA, DATA_READERS

_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._:/-]*")
_WIDTH = 88


def next_question(answers: Answers) -> Question | None:
    """Return the first question that is asked and has no answer yet; None when all have."""
    for question in QUESTIONS:
        if question.name not in answers and question.when(answers):
            return question
    return None


def find_question(name: str) -> Question:
    """Return a question by its name. Raises Invalid with the nearest."""
    names = {each.name: each for each in QUESTIONS}
    if name in names:
        return names[name]
    near = nearest_name(name, tuple(names))
    raise Invalid(
        f"there is no question `{excerpt(name)}`" + (f"; did you mean `{near}`?" if near else ""),
        hint="`plinth advise --questions` lists them",
    )


def read_answer(question: Question, written: Value, answers: Answers) -> Value:
    """Return what an answer means; None where it leaves the question out.

    `written`: a person's text, or a value of a file; `answers`: those before it. Raises Invalid
    saying what is accepted.
    """
    read = read_value(question, written)
    try:
        Application.model_validate(application_fields({**answers, question.name: read}))
    except ValidationError as err:
        words = describe(err.errors()[0], Application, None)
        near = f"; did you mean `{words.nearest}`?" if words.nearest else ""
        raise question.wrong(words.message + near) from err
    if question.name == DATA_READERS and isinstance(read, list):
        others = [str(each) for each in read if each not in functions_of(answers)]
        if others:
            raise question.wrong(f"`{others[0]}` is not among them")
    return read


def check_strays(asked: Mapping[str, Value], given: Mapping[str, Value]) -> None:
    """Raise Invalid for a given answer that no question asked for: it would do nothing."""
    strays = [name for name in given if name not in asked]
    if strays:
        names = ", ".join(f"`{name}`" for name in strays)
        raise Invalid(
            f"{names}: answered, and not asked after the answers before",
            hint="leave it out, or change the answer that it depends on, like `functions`",
        )


def application_fields(answers: Answers) -> dict[str, Any]:
    """Return the fields of the file that the answers declare, in the order of the types.

    Without a chosen function there is an empty `explore`, so that first answers can be checked.
    """
    fields: dict[str, Any] = {"kind": "application", "name": answers.get("name") or "unnamed"}
    for path, value, _ in _stated(answers):
        target = fields
        *above, last = path.split(".")
        for name in above:
            target = target.setdefault(name, {})
        target[last] = value
    for part in functions_of(answers) or ("explore",):
        fields.setdefault(part, {})
    return {name: fields[name] for name in Application.model_fields if name in fields}


def file_text(answers: Answers) -> str:
    """Return the application's file: each field below the requirement that it serves, and why."""
    why = {path: question for path, _, question in _stated(answers)}
    lines = [
        "# Made by `plinth advise`. Change what you like: docs/reference/workload.md describes",
        "# every field, and `plinth plan` says where it fits.",
    ]
    for name, value in application_fields(answers).items():
        if isinstance(value, dict):
            lines += ["", f"{name}:" if value else f"{name}: {{}}"]
            lines += _block(value, f"{name}.", why, 1)
        else:
            lines.append(f"{name}: {_scalar(value)}")
    return "\n".join(lines) + "\n"


def _stated(answers: Answers) -> Iterator[tuple[str, Value, Question]]:
    """Yield each field that the answers state: its path, its value, the question behind it."""
    for question in QUESTIONS:
        value = answers.get(question.name)
        # `false` is what a file without the field says, too.
        if value is None or value is False:
            continue
        if question.name == DATA_READERS and isinstance(value, list):
            for part in functions_of(answers):
                if part in value:
                    yield f"{part}.data", [DATA], question
        elif question.field and question.name != "name":
            yield question.field, value, question


def _block(
    fields: Mapping[str, Any], path: str, why: Mapping[str, Question], depth: int
) -> Iterator[str]:
    """Yield the lines of a mapping, two spaces for each level."""
    space = "  " * depth
    before = ""
    for name, value in fields.items():
        if isinstance(value, dict):
            yield f"{space}{name}:"
            yield from _block(value, f"{path}{name}.", why, depth + 1)
            continue
        question = why.get(f"{path}{name}")
        comment = f"{question.rule}: {question.why}" if question is not None else ""
        if comment != before:
            yield from (f"{space}# {line}" for line in textwrap.wrap(comment, _WIDTH - len(space)))
        before = comment
        yield f"{space}{name}: {_scalar(value)}"


def _scalar(value: Value) -> str:
    """Write a value so that it is read as the same; JSON is YAML."""
    if isinstance(value, list):
        return f"[{', '.join(_scalar(each) for each in value)}]"
    if not isinstance(value, str):
        return json.dumps(value)
    if _PLAIN.fullmatch(value) and not value.endswith((" ", ":")) and ": " not in value:
        document = read_document(f"x: {value}")
        is_same = document.root is not None and to_value(document.root) == {"x": value}
        if is_same and not document.problems:
            return value
    return json.dumps(value, ensure_ascii=False)
