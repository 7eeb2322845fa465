"""One question to a person, and what is read from an answer to it.

`question_table.py` holds the questions, `questions.py` makes a file of the answers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from plinth.domain.application import PARTS
from plinth.domain.document import Value, read_document, to_value
from plinth.kit.errors import Invalid
from plinth.kit.excerpt import excerpt

# Question's name -> answer; None where it was left out. In the order in which they were given.
Answers: TypeAlias = Mapping[str, Value]
Condition: TypeAlias = Callable[[Answers], bool]
FUNCTIONS = "functions"
_YES = {"yes": True, "y": True, "true": True, "no": False, "n": False, "false": False}


def _always(_answers: Answers) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Question:
    """One question. `name`: how a file of answers calls it; `rule`: the requirement it serves.

    `field`: the path in the file, empty where the answer shapes the file. `default`: what is taken
    without an answer, as a person would write it, or a function of the answers before. `empty`: the
    word for leaving it out; None: it must be answered. `when`: whether it is asked. `verify`: what
    the file's types cannot know; returns the text as Plinth writes it, raises Invalid.
    """

    name: str
    rule: str
    field: str
    text: str
    why: str
    accepted: str
    kind: Literal["text", "number", "yes", "list"] = "text"
    default: str | Callable[[Answers], str | None] | None = None
    empty: str | None = None
    when: Condition = _always
    verify: Callable[[str], str] | None = None

    def default_of(self, answers: Answers) -> str | None:
        """Return what is taken without an answer; None: it is left out, or must be given."""
        return self.default(answers) if callable(self.default) else self.default

    def wrong(self, message: str, hint: str | None = None) -> Invalid:
        """Return the error of an answer, with what is accepted."""
        return Invalid(f"{self.name}: {message}; accepted: {self.accepted}", hint=hint)


def functions_of(answers: Answers) -> tuple[str, ...]:
    """Return the functions that were chosen, in the order of the guidance."""
    chosen = answers.get(FUNCTIONS)
    return tuple(name for name in PARTS if isinstance(chosen, list) and name in chosen)


def has(*parts: str) -> Condition:
    """Return a condition: one of these functions was chosen."""
    return lambda answers: not set(parts).isdisjoint(functions_of(answers))


def given(name: str, *values: Value) -> Condition:
    """Return a condition: the question `name` was not left out, or has one of these answers."""
    if values:
        return lambda answers: answers.get(name) in values
    return lambda answers: answers.get(name) is not None


def left_out(name: str, part: str) -> Condition:
    """Return a condition: the part was chosen, and the question `name` was left out."""
    return lambda answers: part in functions_of(answers) and answers.get(name) is None


def read_value(question: Question, written: Value) -> Value:
    """Return what an answer means; None where it leaves the question out.

    `written`: a person's text, or a value of a file. Raises Invalid saying what is accepted.
    """
    value = written.strip() if isinstance(written, str) else written
    if (
        value is None
        or value in ("", "-")
        or (question.empty is not None and _is_empty(question, value))
    ):
        if question.empty is None:
            raise question.wrong("an answer is needed")
        return None
    read = _READ[question.kind](question, value)
    if isinstance(read, list):
        return [_verified(question, each) for each in read]
    return _verified(question, read)


def _verified(question: Question, value: Value) -> Value:
    if question.verify is None or not isinstance(value, str):
        return value
    try:
        return question.verify(value)
    except Invalid as err:
        raise question.wrong(err.message, err.hint) from err


def _is_empty(question: Question, value: Value) -> bool:
    return isinstance(value, str) and value.lower() in (question.empty, "none")


def _text(question: Question, value: Value) -> Value:
    if isinstance(value, bool | list | dict):
        raise question.wrong("one text is needed")
    return value if isinstance(value, str) else str(value)


def _number(question: Question, value: Value) -> Value:
    read: Value = value
    if isinstance(value, str):
        # People write 20,000,000 and 20_000_000.
        document = read_document(value.replace(",", "").replace("_", ""))
        read = to_value(document.root) if document.root and not document.problems else None
    if isinstance(read, bool) or not isinstance(read, int | float):
        raise question.wrong(f"`{excerpt(value)}` is not a number")
    return read


def _yes(question: Question, value: Value) -> Value:
    read = value if isinstance(value, bool) else _YES.get(str(value).lower())
    if read is None:
        raise question.wrong(f"`{excerpt(value)}` is neither yes nor no")
    return read


def _list(question: Question, value: Value) -> Value:
    if isinstance(value, str):
        value = [each for each in value.replace(",", " ").split() if each]
    if not isinstance(value, list) or not value or not all(isinstance(e, str) for e in value):
        raise question.wrong(f"`{excerpt(value)}` is not a list of names")
    return list(dict.fromkeys(str(each) for each in value))


_READ: Mapping[str, Callable[[Question, Value], Value]] = {
    "text": _text,
    "number": _number,
    "yes": _yes,
    "list": _list,
}
