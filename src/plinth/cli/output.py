"""Print tables for people and JSON for programs: data on stdout, the rest on stderr."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from plinth.kit.errors import Invalid
from plinth.kit.files import write_atomic
from plinth.kit.units import format_duration

_SENTENCES = frozenset({"WHY", "MESSAGE", "SOURCE", "WHAT WOULD CHANGE IT", "IS", "WHAT IT IS"})
_ANY_WIDTH = 10_000
_PHASE_STYLES = {
    "running": "green",
    "succeeded": "green",
    "ok": "green",
    "failed": "red",
    "deployment failed": "red",
    "not serving": "red",
    "error": "red",
    "lost": "red",
    "not ok": "red",
    "stopped": "yellow",
    "exited": "yellow",
    "unknown": "yellow",
}


def print_json(value: Any) -> None:
    """Print one JSON document."""
    sys.stdout.write(json.dumps(value, indent=2) + "\n")


def print_table(columns: Sequence[str], rows: Sequence[Sequence[Any]], *, empty: str) -> None:
    """Print rows under their columns; a column whose name starts with `>` is to the right.

    `empty` says, on stderr, what to do when there are no rows.
    """
    if not rows:
        note(empty)
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    cells = [[_cell(value) for value in row] for row in rows]
    for place, column in enumerate(columns):
        # Names and numbers are copied from here: only sentences may break, and nothing is cut.
        longest = max(row[place].cell_len for row in cells)
        justify: Literal["left", "right"] = "right" if column.startswith(">") else "left"
        name = column.lstrip(">")
        whole = None if column in _SENTENCES else max(longest, len(name))
        table.add_column(name, justify=justify, overflow="fold", min_width=whole)
    for row in cells:
        table.add_row(*row)
    shown = console()
    # Where the terminal is narrower than the names, the terminal itself breaks the lines.
    needed = Console(width=_ANY_WIDTH).measure(table).minimum
    shown.width = max(shown.width, needed)
    shown.print(table)


def write_page(path: Path, page: str) -> None:
    """Write an HTML page for people, whole or not at all. Raises Invalid when it cannot be."""
    try:
        write_atomic(path, page.encode(), mode=0o644)
    except OSError as err:
        raise Invalid(
            f"`{path}` cannot be written: {err.strerror}", hint="its folder must exist"
        ) from err


def counted(number: int, noun: str) -> str:
    """Return `1 job`, `2 jobs`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def note(text: str) -> None:
    """Say something that is not data."""
    typer.echo(text, err=True)


def console(*, to_stderr: bool = False) -> Console:
    """Return a console; wide when nobody looks, so that no line is cut for a program."""
    plain = Console(stderr=to_stderr, highlight=False)
    return plain if plain.is_terminal else Console(stderr=to_stderr, highlight=False, width=200)


def words(code: str) -> str:
    """Return a reason such as `DeploymentFailed` for people: `deployment failed`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", code).lower()


def age(since: str | None, until: str | None = None) -> str:
    """Return how long it is from one ISO time to another (or to now), for people."""
    if since is None:
        return "-"
    end = datetime.fromisoformat(until) if until else datetime.now(UTC)
    return format_duration(max(0.0, (end - datetime.fromisoformat(since)).total_seconds()))


def _cell(value: Any) -> Text:
    text = "-" if value is None else str(value)
    return Text(text, style=_PHASE_STYLES.get(text, ""))
