"""What is to be done and what is done: files, mini-batches, and what is left. Pure.

A mini-batch is rows [index * size, ...) of one file; its number never changes, so that whoever
goes on after a crash means the same rows by it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any

# How many portions each worker gets, at the least, so that all end at about the same time.
_PORTIONS = 4


@dataclass(frozen=True)
class Index:
    """How many rows a file has. `offsets`: of text, where each mini-batch begins, and the end.

    `rows` are those that count: each is in the output or set aside.
    """

    file: int
    rows: int
    offsets: tuple[int, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {**asdict(self), "offsets": list(self.offsets)}


@dataclass(frozen=True)
class Part:
    """A file that was written: its name, its SHA-256, its rows and its size."""

    name: str
    digest: str
    rows: int
    size_bytes: int


@dataclass(frozen=True)
class Finished:
    """A mini-batch whose rows are all written: answered in `output`, set aside in `quarantine`."""

    file: int
    batch: int
    rows: int
    output: Part | None = None
    quarantine: Part | None = None

    @property
    def errors(self) -> int:
        """How many of its rows were set aside."""
        return self.quarantine.rows if self.quarantine is not None else 0

    @property
    def is_whole(self) -> bool:
        """Tell whether every row is in one of both."""
        return (self.output.rows if self.output is not None else 0) + self.errors == self.rows


@dataclass(frozen=True)
class Portion:
    """Mini-batches `first` to `last` (inclusive) of one file, for one worker."""

    file: int
    first: int
    last: int


def count_batches(rows: int, size: int) -> int:
    """Return into how many mini-batches so many rows fall; a file without rows has none."""
    return -(-rows // size)


def rows_of(index: Index, batch: int, size: int) -> tuple[int, int]:
    """Return the first row of a mini-batch, from 0, and the one behind its last."""
    return batch * size, min(index.rows, (batch + 1) * size)


def portions(
    indexes: Mapping[int, Index],
    finished: Iterable[tuple[int, int]],
    *,
    size: int,
    workers: int,
) -> list[Portion]:
    """Return what is left, in the order of the files: each mini-batch that is not finished, once.

    Neighbours stay together, since reading goes on where it stopped.
    """
    done = set(finished)
    left = [
        (number, batch)
        for number in sorted(indexes)
        for batch in range(count_batches(indexes[number].rows, size))
        if (number, batch) not in done
    ]
    longest = max(1, len(left) // (workers * _PORTIONS))
    found: list[Portion] = []
    for number, batch in left:
        last = found[-1] if found else None
        follows = last is not None and (last.file, last.last + 1) == (number, batch)
        if last is not None and follows and batch - last.first < longest:
            found[-1] = Portion(number, last.first, batch)
        else:
            found.append(Portion(number, batch, batch))
    return found


def allowed_errors(threshold: str, rows: int) -> int:
    """Return how many of so many rows may be set aside; a share is rounded down."""
    if threshold.endswith("%"):
        return int(rows * Decimal(threshold[:-1]) / 100)
    return int(threshold)
