"""How far the run is, for people: rows done, rows a second, time left. Standard library only."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .journal import write_json

_EVERY_S = 0.5
PROGRESS = "progress.json"


@dataclass
class Progress:
    """Counts of this run; `taken_over` were done by an earlier attempt. Written twice a second."""

    path: Path
    step: str = "counting rows"
    files: int = 0
    batches: int = 0
    batches_done: int = 0
    rows: int = 0
    rows_done: int = 0
    taken_over: int = 0
    errors: int = 0
    workers: int = 0
    form: str | None = None
    error: str | None = None
    _began: float = field(default=0.0, repr=False)
    _written: float = field(default=0.0, repr=False)

    def begin(self) -> None:
        """Start the clock of the rate."""
        self._began = time.monotonic()
        self.step = "answering rows"
        self.write(now=True)

    def write(self, *, now: bool = False) -> None:
        """Write it, if it was not just written."""
        if now or time.monotonic() - self._written > _EVERY_S:
            self._written = time.monotonic()
            write_json(self.path, self.to_json(), sync=False)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON, with the rate and what is left in seconds, where they are known."""
        shown = {name: value for name, value in vars(self).items() if name[0] != "_"}
        shown.pop("path")
        spent = time.monotonic() - self._began if self._began else 0.0
        own = self.rows_done - self.taken_over
        rate = own / spent if spent > 0 and own else None
        left = (self.rows - self.rows_done) / rate if rate else None
        return shown | {"rows_per_second": rate, "left_s": left, "spent_s": spent}
