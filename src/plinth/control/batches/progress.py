"""How far a batch is, as its processes wrote it: numbers that are checked, since they may lie."""

from __future__ import annotations

from typing import Any, TypeGuard

from plinth.control.batches.preparation import work_folder
from plinth.control.batches.run_folder import read_inside
from plinth.control.context import Context
from plinth.domain.base import Declared
from plinth.kit.units import format_duration

_MOST_CHARACTERS = 200
# No batch has more of anything, and every number up to here is exact as a float.
_MOST = 2**53


class BatchProgress(Declared):
    """How far a batch is. `left_s`: seconds that the rest takes at the rate so far."""

    step: str = "waiting"
    form: str | None = None
    files: int = 0
    rows: int = 0
    rows_done: int = 0
    taken_over: int = 0
    errors: int = 0
    batches: int = 0
    batches_done: int = 0
    workers: int = 0
    rows_per_second: float | None = None
    left_s: float | None = None
    spent_s: float | None = None

    @property
    def words(self) -> str:
        """Say it in one line."""
        if not self.rows or self.step == "counting rows":
            return self.step
        said = f"{self.rows_done:,} of {self.rows:,} rows"
        if self.rows_done < self.rows and self.rows_per_second:
            said += f", {self.rows_per_second:,.0f} a second"
        if self.rows_done < self.rows and self.left_s is not None:
            said += f", {format_duration(self.left_s)} left"
        if self.errors:
            said += f"; {self.errors:,} set aside"
        return said


def read_progress(context: Context, run_id: str) -> BatchProgress:
    """Return how far a run is; what is not known, or cannot be true, is left out."""
    found = read_inside(work_folder(context, run_id), "progress.json") or {}
    kept: dict[str, Any] = {}
    for name, field in BatchProgress.model_fields.items():
        value = found.get(name)
        if name in ("step", "form") and isinstance(value, str):
            plain = "".join(each for each in value if each.isprintable())
            kept[name] = plain[:_MOST_CHARACTERS]
        elif field.annotation is int and isinstance(value, int) and _is_possible(value):
            kept[name] = value
        elif name.endswith(("_s", "_second")) and _is_possible(value):
            kept[name] = float(value)
    return BatchProgress(**kept)


def _is_possible(value: Any) -> TypeGuard[int | float]:
    """Tell whether it is a number that can be counted with: one of JSON may exceed any float."""
    return type(value) in (int, float) and 0 <= value <= _MOST
