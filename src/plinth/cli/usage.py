"""The verb `usage`: what was used, by team and workload."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from plinth.cli.output import note, print_json, print_table
from plinth.cli.session import HomeOption, JsonOption, connect
from plinth.cli.show import sleeps
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

    Requests and tokens are the caller's team's; seconds, and copies of requests (`shadow`), are
    the team's that owns the workload. Seconds of what still runs are counted up to now.
    """
    if gaps:
        _show_gaps(home, as_json=as_json)
        return
    with connect(home) as client:
        rows = client.usage()
        asleep = [] if as_json else [each["name"] for each in client.endpoints() if sleeps(each)]
    if as_json:
        print_json(rows)
        return
    shown = [
        [
            row["team"],
            f"{row['workload']} (shadow)" if row["shadow"] else row["workload"],
            _number(row["training_seconds"], 1),
            _number(row["serving_seconds"], 1),
            _number(row["requests"], 0),
            _tokens(row, "input_tokens", "cached_input_tokens", "cached"),
            _tokens(row, "output_tokens", "reasoning_tokens", "reasoning"),
        ]
        for row in rows
    ]
    print_table(
        [
            *("TEAM", "WORKLOAD", ">TRAINING S", ">SERVING S", ">REQUESTS"),
            *(">INPUT TOKENS", ">OUTPUT TOKENS"),
        ],
        shown,
        empty="nothing was used yet; `plinth run FILE` runs a job",
    )
    for name in asleep:
        note(f"flow `{name}` is asleep: none of its workers runs, which costs nothing")
    estimated = sum(row["estimated_tokens"] for row in rows)
    if estimated:
        note(f"{estimated:,.0f} of the tokens are estimates: nobody reported them")


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


def _tokens(row: dict[str, Any], whole: str, part: str, name: str) -> str:
    """Write how many tokens, and how many of them are of a part that is told apart."""
    of_it = f" ({row[part]:,.0f} {name})" if row[part] else ""
    return f"{row[whole]:,.0f}{of_it}" if row[whole] else ""


def _number(value: float, digits: int) -> str:
    return f"{value:,.{digits}f}" if value else ""


COMMANDS = {"usage": verb(usage, "usage")}
