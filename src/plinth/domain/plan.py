"""What was decided for a workload, and why: every rule's verdict on every candidate."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum

from plinth.domain.base import Declared
from plinth.domain.platform import Offer


class Outcome(StrEnum):
    """A rule's answer; `unknown` where a fact is missing, never a silent yes or no."""

    OK = "ok"
    NOT_OK = "not ok"
    UNKNOWN = "unknown"


class Verdict(Declared):
    """One rule's answer for one candidate: why, and what would change it.

    `rule` is the id of the requirement in the guidance, or a short name of our own.
    """

    rule: str
    outcome: Outcome
    reason: str
    remedy: str | None = None


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
