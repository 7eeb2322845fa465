"""Questions and words that several functions share: budget, one machine, what is accepted."""

from __future__ import annotations

from plinth.catalog.accelerators import load_accelerators
from plinth.domain.mistake import nearest_name
from plinth.kit.errors import Invalid
from plinth.planning.questions.question import Condition, Question, has, left_out

TIME = "a time like `90s`, `15m`, `4h` or `1d`"
SIZE = "a size like `512MB`, `16GB` or `2TB`"
YES_NO = "`yes` or `no`"


def names(known: tuple[str, ...]) -> str:
    """Write the names that are accepted."""
    return ", ".join(f"`{name}`" for name in known)


def check_known(name: str, known: tuple[str, ...], what: str) -> str:
    """Return `name`. Raises Invalid with the nearest one where it is none of them."""
    if name not in known:
        near = nearest_name(name, known)
        raise Invalid(f"`{name}` is not {what}" + (f"; did you mean `{near}`?" if near else ""))
    return name


def check_accelerator(text: str) -> str:
    """Return the text. Raises Invalid for a kind of GPU that the catalog does not know."""
    load_accelerators().find(text.partition(":")[0])
    return text


def budget(part: str) -> Question:
    """Return the question about what a month of a part may cost."""
    return Question(
        name=f"{part}.budget",
        rule="G1",
        field=f"{part}.requirements.budget",
        text="How much may a month of it cost at most?",
        why="what costs more is rejected, with the amount by which it does",
        accepted="an amount and its currency, like `3000 EUR`",
        empty="no limit",
        when=has(part),
    )


def resources(part: str, when: str | None = None) -> tuple[Question, ...]:
    """Return the questions on one machine; `when`: only where this question was left out."""
    asked = has(part) if when is None else left_out(when, part)
    return (*machine(part, asked), _gpus(part, asked))


def machine(part: str, asked: Condition) -> tuple[Question, ...]:
    """Return the questions on the processors and the memory of one machine."""
    return (
        Question(
            name=f"{part}.cpu",
            rule="R7",
            field=f"{part}.resources.cpu",
            text="How many processor cores does one instance need?",
            why="sizes and prices follow from it; a measured number beats a guess",
            accepted="a number of cores from 0.1 to 10,000",
            kind="number",
            default="4",
            when=asked,
        ),
        Question(
            name=f"{part}.memory",
            rule="R7",
            field=f"{part}.resources.memory",
            text="How much memory does one instance need?",
            why="the smallest size that holds it is taken",
            accepted=SIZE,
            default="16GB",
            when=asked,
        ),
    )


def _gpus(part: str, asked: Condition) -> Question:
    return Question(
        name=f"{part}.accelerator",
        rule="T5d" if part in ("train", "tune") else "H19b",
        field=f"{part}.resources.accelerator",
        text="Which GPUs does one instance need?",
        why="a GPU costs ten to a hundred times a processor, so it is given only where asked",
        accepted="a kind and a count, like `T4` or `A100:2`",
        empty="none",
        when=asked,
        verify=check_accelerator,
    )
