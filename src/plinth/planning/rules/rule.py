"""What a rule is: a question with an id, asked of a need and a placement.

Each rule is a pure function; it returns None where its question does not arise, and `unknown`
where a fact is missing, never a silent yes or no. Its docstring is the question. `Verdict.rule` is
the requirement's id (with a word after a dot where an id has several questions) or a short name of
our own. A verdict's change is one that alone makes this rule say ok; there is none where no change
would help.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import TypeAlias

from pydantic import JsonValue

from plinth.domain.need import Need
from plinth.domain.plan import Change, Outcome, Verdict
from plinth.domain.platform import Function
from plinth.planning.context import Placement

Ask: TypeAlias = Callable[[Need, Placement], Verdict | None]
EVERY: frozenset[Function] = frozenset({"explore", "train", "batch", "online", "flow"})


class Scope(StrEnum):
    """What of a placement a rule reads beside the context; a rule reads nothing outside it.

    So that a platform that is rejected as a whole is judged once, and not in each of its regions:
    `WAY`: the platform and `offer.tier`; `REGION`: `offer.region` and nothing of the platform;
    `OFFER`: anything.
    """

    WAY = "way"
    REGION = "region"
    OFFER = "offer"


class Pillar(StrEnum):
    """Which side of a well-architected workload a rule judges."""

    COST = "cost"
    PERFORMANCE = "performance"
    RELIABILITY = "reliability"
    SECURITY = "security"
    OPERATIONS = "operations"


@dataclass(frozen=True, slots=True)
class Rule:
    """One question. `id` is what its verdicts carry; it is asked for `functions` only."""

    id: str
    pillar: Pillar
    scope: Scope
    ask: Ask
    functions: frozenset[Function] = EVERY

    @property
    def question(self) -> str:
        """What it asks: the first sentence of its function's docstring."""
        return " ".join((self.ask.__doc__ or "").split("\n\n")[0].split())


# Most places are told the same; a verdict never changes, so one stands for all of them.
@lru_cache(maxsize=4096)
def ok(rule: str, reason: str) -> Verdict:
    """Say yes."""
    return Verdict(rule=rule, outcome=Outcome.OK, reason=reason)


def not_ok(rule: str, reason: str, change: Change | None = None) -> Verdict:
    """Say no, and what would change it."""
    remedy = None if change is None else f"`{change}`"
    return Verdict(rule=rule, outcome=Outcome.NOT_OK, reason=reason, remedy=remedy, change=change)


@lru_cache(maxsize=4096)
def unknown(rule: str, reason: str) -> Verdict:
    """Say that a fact is missing, which one, and how to fill it."""
    return Verdict(rule=rule, outcome=Outcome.UNKNOWN, reason=reason)


def set_field(need: Need, path: str, value: JsonValue) -> Change:
    """Return a change to a field of the need, like `requirements.rto`."""
    return Change(field=need.at(path), value=value)


def listed(names: Iterable[str]) -> str:
    """Write names as a list in words."""
    return ", ".join(f"`{name}`" for name in names)


def counted(number: float, noun: str, digits: str = "") -> str:
    """Write a number of things: `1 core`, `2 cores`."""
    return f"{number:{digits}} {noun}" if number == 1 else f"{number:{digits}} {noun}s"
