"""What was decided for a workload, and why: every rule's verdict on every candidate."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from enum import StrEnum

from pydantic import JsonValue

from plinth.domain.base import Declared
from plinth.domain.platform import Offer

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

    `field` is the path to it, like `resources.cpu`; a path leads through mappings only.
    """

    field: str
    value: JsonValue

    def __str__(self) -> str:
        """Write it as in a file, `resources.cpu: 2`; JSON is YAML, so it can be pasted."""
        text = self.value if isinstance(self.value, str) else ""
        if _PLAIN.fullmatch(text) and text.lower() not in _WORDS and not _NUMBER.fullmatch(text):
            return f"{self.field}: {text}"
        return f"{self.field}: {json.dumps(self.value, ensure_ascii=False)}"


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


class Candidate(Declared):
    """One offer of one platform with every rule's verdict."""

    platform: str
    offer: Offer
    verdicts: tuple[Verdict, ...]
    cost_per_hour: Decimal | None = None

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
