"""The audit log: who did what, when, from where, and what was refused."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import AwareDatetime, Field

from plinth.api.caller import Caller, CallerDep, ContextDep, needs, no_team, require_team
from plinth.control.context import Context
from plinth.domain.access import Action, Resource
from plinth.domain.base import Declared
from plinth.store.audit import Filter, Outcome, list_entries
from plinth.store.identities import list_teams

router = APIRouter(tags=["audit"])

# An id is a 32-bit number on PostgreSQL.
MOST_ID = 2**31 - 1

# PostgreSQL takes no zero byte in a text.
Text = Annotated[str | None, Field(max_length=200, pattern=r"^[^\x00]*$")]


class Wanted(Declared):
    """Which entries are asked for.

    `who`: a principal's id or name. `before`: only entries with a smaller id, for the page before.
    """

    since: AwareDatetime | None = None
    until: AwareDatetime | None = None
    who: Text = None
    team: Text = None
    action: Text = None
    subject: Text = None
    outcome: Outcome | None = None
    before: Annotated[int | None, Field(ge=1, le=MOST_ID)] = None
    limit: Annotated[int, Field(ge=1, le=1000)] = 100


@router.get("/audit-log", **needs(Action.OPERATE, "audit"))
def audit_log(
    wanted: Annotated[Wanted, Query()], context: ContextDep, caller: CallerDep
) -> list[dict[str, Any]]:
    """List the newest entries of the teams that the caller operates, the newest last."""
    chosen = Filter(
        since=wanted.since,
        until=wanted.until,
        principal=wanted.who,
        teams=_teams(context, caller, wanted.team),
        action=wanted.action,
        subject=wanted.subject,
        outcome=wanted.outcome,
        before_id=wanted.before,
    )
    with context.database.read() as connection:
        found = list_entries(connection, chosen, limit=wanted.limit)
    return [entry.model_dump(mode="json") for entry in found]


def _teams(context: Context, caller: Caller, chosen: str | None) -> tuple[str, ...] | None:
    """Return the teams whose entries the caller reads; None: all, and the platform's own."""
    if chosen is not None:
        caller.require(Action.OPERATE, Resource(kind="audit", team=chosen), absent=no_team(chosen))
        require_team(context, chosen)
        return (chosen,)
    if caller.may(Action.OPERATE, Resource(kind="audit")):
        return None
    with context.database.read() as connection:
        teams = list_teams(connection)
    return tuple(
        team.name
        for team in teams
        if caller.may(Action.OPERATE, Resource(kind="audit", team=team.name))
    )
