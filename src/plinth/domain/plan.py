"""What was decided for a workload, and why: every rule's verdict on every candidate."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum

from pydantic import Field, JsonValue

from plinth.domain.base import Declared
from plinth.domain.platform import Function, Offer

# `json.dumps` makes one for each call that is not of the plainest.
_JSON = json.JSONEncoder(ensure_ascii=False)
_PLAIN = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?")
# What YAML, in one of its versions, reads as a number or a day, and as another thing than a text.
_NUMBER = re.compile(r"[0-9][0-9-]*([eE]-?[0-9]+)?|0[xo][0-9A-Fa-f]+")
_WORDS = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})


class Outcome(StrEnum):
    """A rule's answer; `unknown` where a fact is missing, never a silent yes or no."""

    OK = "ok"
    NOT_OK = "not ok"
    UNKNOWN = "unknown"


class Change(Declared):
    """A field of a workload's file and the value to write into it, None for none.

    `field` is the path to it, like `resources.cpu`; a path leads through mappings only. Where
    `of_inventory` is true, it is not the file that changes but what the organisation owns: `field`
    is a platform's name, and the value says what of it there is (`domain.inventory.Owned`).
    """

    field: str
    value: JsonValue
    of_inventory: bool = False

    def __str__(self) -> str:
        """Write it as in a file, `resources.cpu: 2`; JSON is YAML, so it can be pasted.

        One of the inventory is the command that makes it.
        """
        if self.of_inventory:
            facts = self.value if isinstance(self.value, dict) else {}
            known = {name: value for name, value in facts.items() if value is not None}
            options = (f" --{name.replace('_', '-')} {_word(known[name])}" for name in known)
            return f"plinth inventory add {shlex.quote(self.field)}{''.join(options)}"
        text = self.value if isinstance(self.value, str) else ""
        if _PLAIN.fullmatch(text) and text.lower() not in _WORDS and not _NUMBER.fullmatch(text):
            return f"{self.field}: {text}"
        return f"{self.field}: {_JSON.encode(self.value)}"


def _word(value: JsonValue) -> str:
    """Write one value of a command as a shell reads it."""
    if isinstance(value, dict):
        # An accelerator, as `Owned` reads it.
        value = f"{value.get('kind')}:{value.get('count', 1)}"
    elif isinstance(value, float):
        # Without an exponent, which the command does not read.
        value = format(Decimal(repr(value)).normalize(), "f")
    return shlex.quote(str(value))


class Verdict(Declared):
    """One rule's answer for one candidate: why, and what would change it.

    `rule` is the id of the requirement in the guidance, or a short name of our own. `change` is
    what alone makes this rule say ok, `remedy` the same in words; both None where no change to the
    file helps.
    """

    rule: str
    outcome: Outcome
    reason: str
    remedy: str | None = None
    change: Change | None = None


class CostLine(Declared):
    """One part of what a month costs. `amount` None: unknown, and then so is the sum.

    `low` and `high`: the range in which it is expected. `estimated`: no list states this price, as
    `how` says. `how`: the arithmetic and what was assumed. `source`: where the price comes from.
    """

    what: str
    amount: Decimal | None
    low: Decimal | None = None
    high: Decimal | None = None
    estimated: bool = False
    how: str
    source: str = ""


class MonthCost(Declared):
    """What a month costs, line by line, in one currency."""

    currency: str
    lines: tuple[CostLine, ...]

    @property
    def amount(self) -> Decimal | None:
        """The sum; None when a line is unknown."""
        return _sum([line.amount for line in self.lines])

    @property
    def low(self) -> Decimal | None:
        """The least it is expected to be: what is known of it."""
        known = [line.low if line.low is not None else line.amount for line in self.lines]
        return sum((each for each in known if each is not None), Decimal(0))

    @property
    def high(self) -> Decimal | None:
        """The most it is expected to be; None when a line is unknown."""
        return _sum([line.high if line.high is not None else line.amount for line in self.lines])

    @property
    def is_estimated(self) -> bool:
        """Tell whether a line of it has a price that no list states."""
        return any(line.estimated for line in self.lines)


def _sum(amounts: list[Decimal | None]) -> Decimal | None:
    known = [each for each in amounts if each is not None]
    return sum(known, Decimal(0)) if len(known) == len(amounts) else None


class Headroom(Declared):
    """How much of a limit is reachable, against what the peak needs. None: unknown."""

    what: str
    needed: float
    reachable: float | None
    unit: str
    source: str = ""


class Candidate(Declared):
    """One offer of one platform with every rule's verdict, and what a month of it means.

    `count`: how many of the offer. `cost`: of a month; `day2_hours`: of a person, for a month.
    `owned`: the organisation has it already. `startable`: Plinth itself can start it there today.
    `blind_spots`: what cannot be seen of it; `risks`: what may go wrong later. `weight`: what it
    weighs in the choice if its part stood alone, in the plan's currency; None where the cost of a
    month is unknown.
    """

    platform: str
    offer: Offer
    verdicts: tuple[Verdict, ...]
    cost_per_hour: Decimal | None = None
    count: int = 1
    cost: MonthCost | None = None
    day2_hours: float | None = None
    headroom: tuple[Headroom, ...] = ()
    owned: bool = False
    startable: bool = False
    blind_spots: tuple[str, ...] | None = None
    risks: tuple[str, ...] = ()
    weight: Decimal | None = None

    @property
    def is_feasible(self) -> bool:
        """Tell whether no rule rejects it; an unknown does not reject."""
        return all(verdict.outcome is not Outcome.NOT_OK for verdict in self.verdicts)


class Plan(Declared):
    """The chosen candidate, the rejected ones, and the digest of all that was considered."""

    workload: str
    chosen: Candidate | None
    rejected: tuple[Candidate, ...]
    inputs_digest: str


class ScoreLine(Declared):
    """One term of the choice, in the plan's currency for a month."""

    what: str
    amount: Decimal
    how: str


class PartPlan(Declared):
    """The answer for one function. `rejected`: every other platform and tier, by its best region.

    `regions`: the regions that no candidate may use, each with the rules that say so.
    """

    name: str
    function: Function
    chosen: Candidate | None
    rejected: tuple[Candidate, ...]
    regions: Mapping[str, tuple[Verdict, ...]] = Field(default_factory=dict)


class Advice(Declared):
    """Where each part of a workload or an application is best placed, together.

    `home`: the region that most of it shares. `joint`: verdicts on the whole. `cost`: of all parts
    and of the data that moves between regions. `score`: the terms of the choice; the choice has the
    smallest sum of all that is feasible. `external`: of the models that somebody else serves, which
    need no platform.
    """

    name: str
    currency: str
    home: str | None
    parts: tuple[PartPlan, ...]
    joint: tuple[Verdict, ...]
    cost: MonthCost
    day2_hours: float | None
    score: tuple[ScoreLine, ...]
    inputs_digest: str
    external: tuple[Verdict, ...] = ()

    @property
    def is_feasible(self) -> bool:
        """Tell whether every part has a place, and all together keep to the budget (E4)."""
        placed = all(part.chosen is not None for part in self.parts)
        return placed and not self.over_budget and not self.forbidden

    @property
    def forbidden(self) -> tuple[Verdict, ...]:
        """The verdicts that do not say that requests may go to a model elsewhere.

        What nobody knows is no yes there: nothing is left to find out before requests go.
        """
        return tuple(each for each in self.external if each.outcome is not Outcome.OK)

    @property
    def over_budget(self) -> Verdict | None:
        """The verdict that says that all parts together cost too much; None: they do not."""
        rejected = (each for each in self.joint if each.outcome is Outcome.NOT_OK)
        return next((each for each in rejected if each.rule == "E4"), None)
