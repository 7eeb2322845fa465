"""The verb `usage`: what was used, by team and workload."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from plinth.cli.output import print_json, print_table
from plinth.cli.session import HomeOption, JsonOption, connect
from plinth.cli.verb import verb


def usage(
    *,
    gaps: Annotated[
        bool, typer.Option("--gaps", help="Show the times whose requests may be missing instead")
    ] = False,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Show what was used, by team and workload.

    Requests are the caller's team's; seconds are the team's that owns the workload. Seconds of
    what still runs are counted up to now.
    """
    if gaps:
        _show_gaps(home, as_json=as_json)
        return
    with connect(home) as client:
        rows = client.usage()
    if as_json:
        print_json(rows)
        return
    shown = [
        [
            row["team"],
            row["workload"],
            _number(row["training_seconds"], 1),
            _number(row["serving_seconds"], 1),
            _number(row["requests"], 0),
        ]
        for row in rows
    ]
    print_table(
        ["TEAM", "WORKLOAD", ">TRAINING S", ">SERVING S", ">REQUESTS"],
        shown,
        empty="nothing was used yet; `plinth run FILE` runs a job",
    )


def _show_gaps(home: Path | None, *, as_json: bool) -> None:
    with connect(home) as client:
        rows = client.usage_gaps()
    if as_json:
        print_json(rows)
        return
    print_table(
        ["FROM", "TO", "WHY"],
        [[row["started_at"], row["ended_at"], row["reason"]] for row in rows],
        empty="no request is missing: the gateway was never killed",
    )


def _number(value: float, digits: int) -> str:
    return f"{value:,.{digits}f}" if value else ""


COMMANDS = {"usage": verb(usage, "usage")}
