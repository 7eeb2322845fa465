"""The verb `audit-log`: who did what, when, from where."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any

import typer

from plinth.cli.output import note, print_json, print_table
from plinth.cli.session import HomeOption, JsonOption, connect
from plinth.cli.verb import verb
from plinth.kit.errors import Invalid
from plinth.kit.excerpt import excerpt
from plinth.kit.units import parse_duration


class Outcome(StrEnum):
    """How a call ended."""

    DONE = "done"
    DENIED = "denied"


_TIME = "a time like `2026-11-23T14:00`, or how long ago, like `2h` or `7d`"
_COLUMNS = [">ENTRY", "TIME", "WHO", "ACTION", "SUBJECT", "TEAM", "OUTCOME", "FROM", "MESSAGE"]


def audit_log(  # noqa: PLR0913 - one for each option
    *,
    since: Annotated[str | None, typer.Option(help=f"Only from then on: {_TIME}")] = None,
    until: Annotated[str | None, typer.Option(help=f"Only before: {_TIME}")] = None,
    who: Annotated[str | None, typer.Option(help="Only of this name or principal")] = None,
    team: Annotated[str | None, typer.Option(help="Only of this team")] = None,
    action: Annotated[str | None, typer.Option(help="Only this, such as `revoke`")] = None,
    subject: Annotated[str | None, typer.Option(help="Only of `KIND/NAME`")] = None,
    outcome: Annotated[Outcome | None, typer.Option(help="Only what ended so")] = None,
    before: Annotated[int | None, typer.Option(min=1, help="Only older than this entry")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many")] = 100,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Show who did what and what was refused, of the teams that you operate; the newest last."""
    with connect(home) as client:
        entries = client.audit_log(
            since=_time(since),
            until=_time(until),
            who=who,
            team=team,
            action=action,
            subject=subject,
            outcome=outcome.value if outcome else None,
            before=before,
            limit=limit,
        )
    if as_json:
        print_json(entries)
        return
    print_table(_COLUMNS, [_row(entry) for entry in entries], empty="no entries that you may read")
    if len(entries) == limit:
        note(f"there may be older ones: add `--before {entries[0]['id']}`")


def _row(entry: Mapping[str, Any]) -> list[Any]:
    return [
        entry["id"],
        entry["at"][:19].replace("T", " "),
        entry["name"],
        entry["action"],
        entry["subject"],
        entry["team"],
        entry["outcome"],
        entry["origin"],
        _said(entry["detail"]),
    ]


def _said(detail: Mapping[str, Any]) -> str:
    """Write the detail for people: the reason of a refusal as it is, all else as `name=value`."""
    if "reason" in detail:
        return f"{detail['reason']} ({detail['rule']})"
    return ", ".join(f"{name}={value}" for name, value in detail.items() if value is not None)


def _time(text: str | None) -> str | None:
    """Read a time, or how long ago; a time without a zone is in UTC, as all that is printed."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return _ago(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).isoformat()


def _ago(text: str) -> str:
    try:
        return (datetime.now(UTC) - timedelta(seconds=parse_duration(text))).isoformat()
    except (ValueError, OverflowError) as err:
        raise Invalid(f"`{excerpt(text)}` is not a time", hint=f"write {_TIME}") from err


COMMANDS = {"audit-log": verb(audit_log, "audit-log")}
