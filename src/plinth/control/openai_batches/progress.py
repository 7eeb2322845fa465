"""How far the sending of a batch is, as its process writes it down."""

from __future__ import annotations

import json
import os
from pathlib import Path

from plinth.control.context import Context
from plinth.domain.base import Declared
from plinth.runtimes.requestrunner.journal import NAME as JOURNAL
from plinth.runtimes.requestrunner.work import PROGRESS

_MOST_BYTES = 4096


class Progress(Declared):
    """How many requests went well and how many did not; how many are sent at once.

    `waits_s`: for how long nothing is sent, since a limit is reached.
    """

    completed: int = 0
    failed: int = 0
    at_once: int = 0
    waits_s: float = 0.0

    def words(self, total: int) -> str:
        """Say it in a line."""
        done = self.completed + self.failed
        said = f"{done:,} of {total:,} requests done"
        if self.failed:
            said += f", {self.failed:,} with an error"
        if self.waits_s >= 1:
            return f"{said}; a limit is reached, goes on in {self.waits_s:.0f} s"
        return f"{said}; up to {self.at_once} at once"


def folder_of(context: Context, run_id: str) -> Path:
    """Return where the process of a run writes."""
    return context.home.runs / run_id / "work"


def journal_of(context: Context, run_id: str) -> Path:
    """Return the file with the results so far."""
    return folder_of(context, run_id) / JOURNAL


def read_progress(context: Context, run_id: str) -> Progress:
    """Return how far a run is; nothing where it has not said so yet."""
    try:
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        descriptor = os.open(folder_of(context, run_id) / PROGRESS, flags)
    except OSError:
        return Progress()
    try:
        return Progress(**json.loads(os.read(descriptor, _MOST_BYTES)))
    except (OSError, ValueError, TypeError):
        return Progress()
    finally:
        os.close(descriptor)
