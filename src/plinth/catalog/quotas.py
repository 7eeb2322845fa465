"""Quotas that the organisation stated: how much of something may be used in a region.

Plinth brings none: they belong to a subscription. What nobody stated is unknown, not unlimited.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from plinth.catalog.names import spelling
from plinth.catalog.table import Source


class QuotaKind(StrEnum):
    """What a quota limits."""

    CPU = "cpu"
    SPOT_CPU = "spot-cpu"
    ACCELERATORS = "accelerators"
    TOKENS_PER_MINUTE = "tokens-per-minute"
    REQUESTS_PER_MINUTE = "requests-per-minute"
    PROVISIONED_UNITS = "provisioned-units"
    ENDPOINTS = "endpoints"
    NODES = "nodes"


@dataclass(frozen=True, slots=True)
class Quota:
    """How much of a kind may be used in a region.

    `of`: a series of sizes (`Dsv5`), a kind of accelerator or a model; empty: of all together.
    `used` None: unknown. Both count what the kind's name says: processors, tokens in a minute, ...
    """

    kind: QuotaKind
    of: str
    region: str
    limit: int
    used: int | None
    source: Source

    @property
    def left(self) -> int | None:
        """What is not used yet, at least 0; None: unknown."""
        return None if self.used is None else max(0, self.limit - self.used)


class Quotas:
    """Every quota that was stated; of two for the same, the one that was imported later."""

    def __init__(self, quotas: Iterable[Quota]) -> None:
        self._quotas = {(each.kind, spelling(each.of), each.region): each for each in quotas}

    def __iter__(self) -> Iterator[Quota]:
        return iter(self._quotas.values())

    def find(self, kind: QuotaKind, region: str, of: str = "") -> Quota | None:
        """Return the quota of a kind in a region; None: unknown."""
        return self._quotas.get((kind, spelling(of), region))
