"""Accelerators: how much memory each kind has, and what it can compute.

The planner asks whether a model fits. A kind that is sold with several memories has a row for each.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache

from plinth.catalog.names import nearest, spelling
from plinth.catalog.table import Source, data_bytes, read_table
from plinth.kit.errors import Invalid

FILE = "accelerators.csv"
_COLUMNS = ("vendor", "kind", "memory_gib", "compute_capability")


@dataclass(frozen=True, slots=True)
class AcceleratorFacts:
    """One kind with one memory, in bytes. `compute_capability`: NVIDIA's version; None: unknown."""

    vendor: str
    kind: str
    memory: int
    compute_capability: str | None
    source: Source


class Accelerators:
    """Every kind that is known."""

    def __init__(self, facts: Iterable[AcceleratorFacts]) -> None:
        self._facts = tuple(facts)

    def __iter__(self) -> Iterator[AcceleratorFacts]:
        return iter(self._facts)

    def find(self, kind: str) -> tuple[AcceleratorFacts, ...]:
        """Return the rows of a kind, the least memory first.

        Raises Invalid with the nearest name.
        """
        found = [each for each in self._facts if spelling(each.kind) == spelling(kind)]
        if not found:
            close = nearest(kind, (each.kind for each in self._facts))
            meant = f"; did you mean `{close}`?" if close else ""
            raise Invalid(
                f"`{kind[:60]}` is not a kind of accelerator that the catalog knows{meant}",
                hint="`plinth catalog accelerators` lists them",
            )
        return tuple(sorted(found, key=lambda each: each.memory))


@cache
def load_accelerators() -> Accelerators:
    """Return the accelerators that Plinth brings."""
    return read_accelerators(data_bytes(FILE))


def read_accelerators(content: bytes) -> Accelerators:
    """Read a file of accelerators."""
    table = read_table(content, FILE, _COLUMNS)
    return Accelerators(
        AcceleratorFacts(vendor, kind, int(memory) * 2**30, capability or None, table.source)
        for vendor, kind, memory, capability in table.rows
    )
