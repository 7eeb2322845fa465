"""The verb `usage`: what was used, by team and workload."""

from __future__ import annotations

from plinth.cli.output import print_json, print_table
from plinth.cli.session import HomeOption, JsonOption, connect
from plinth.cli.verb import verb


def usage(*, as_json: JsonOption = False, home: HomeOption = None) -> None:
    """Show what was used, by team and workload.

    Requests are the caller's team's; seconds are the team's that owns the workload. Seconds of
    what still runs are counted up to now.
    """
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


def _number(value: float, digits: int) -> str:
    return f"{value:,.{digits}f}" if value else ""


COMMANDS = {"usage": verb(usage, "usage")}
