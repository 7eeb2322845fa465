"""Show a batch: how far it is, how its model runs, and what became of its output."""

from __future__ import annotations

from typing import Any

from plinth.cli.output import console
from plinth.kit.units import format_duration

Json = dict[str, Any]


def show_batch(run: Json) -> None:
    """Print what is known of a batch beside its run."""
    batch = run["batch"]
    progress, model = batch["progress"], run["model"]
    form = batch["manifest"].get("form") or {}
    facts = [
        ("model", f"{model['name']}/{model['version']}" if model else None),
        ("runs as", _form(progress, form)),
        ("rows", batch["words"]),
        ("taken over", f"{progress['taken_over']:,} rows" if progress["taken_over"] else None),
        ("workers", progress["workers"] or None),
        ("output", batch["output"]),
        ("next", f"plinth batch output {run['id']} FOLDER" if progress["rows_done"] else None),
    ]
    console().print("\n[bold]Batch[/bold]")
    width = max(len(name) for name, _ in facts)
    for name, value in facts:
        if value is not None:
            console().print(f"  {name:<{width}}  {value}", markup=False)


def rate_of(progress: Json) -> str:
    """Say how fast a batch is, and what is left."""
    if not progress["rows_per_second"]:
        return ""
    left = progress["left_s"]
    return f"{progress['rows_per_second']:,.0f} rows/s" + (
        f", {format_duration(left)} left" if left else ""
    )


def _form(progress: Json, form: Json) -> str | None:
    kind = form.get("form") or progress["form"]
    if kind is None:
        return None
    compared = form.get("compared")
    tolerance = f" (tolerance {compared['tolerance']})" if compared else ""
    why = f": {form['why']}" if form.get("why") else ""
    return f"{kind}{why}{tolerance}"
