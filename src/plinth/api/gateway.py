"""The gateway as people watch it: how it stands, what goes where, each request as it comes."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from plinth.api.caller import Caller, CallerDep, ContextDep, needs, no_team, require_team
from plinth.api.endpoints import no_endpoint
from plinth.control.comparison import compare
from plinth.control.context import Context
from plinth.control.gateway_routes import route_json
from plinth.control.gateway_status import gateway_status
from plinth.control.metering import access_log
from plinth.control.published import Record
from plinth.control.recent import read_on, to_json
from plinth.control.status import Parts
from plinth.domain.access import Action, Resource
from plinth.gateway.access_log import AccessRecord
from plinth.store.endpoints import find_endpoint

router = APIRouter(tags=["gateway"])

# PostgreSQL takes no zero byte in a text.
Text = Annotated[str | None, Query(max_length=100, pattern=r"^[^\x00]*$")]


@router.get("/gateway", **needs(Action.READ, "self"))
def status(request: Request, context: ContextDep, caller: CallerDep) -> dict[str, Any]:
    """Show how the gateway stands, and the traffic of the last minute that the caller may see."""
    parts: Parts = request.app.state.parts
    return gateway_status(
        context,
        parts,
        lambda team, name: _sees_endpoint(caller, team, name),
        lambda record: _sees(caller, record),
    )


@router.get("/gateway/routes", **needs(Action.READ, "endpoint"))
def routes(context: ContextDep, caller: CallerDep) -> list[dict[str, Any]]:
    """List which address goes where, of the endpoints that the caller may see."""
    found = Record(context.home).routes()
    return [route_json(each) for each in found if _sees_endpoint(caller, each.team, each.name)]


@router.get("/gateway/tail", **needs(Action.READ, "usage"))
def tail(
    context: ContextDep,
    caller: CallerDep,
    *,
    endpoint: Text = None,
    team: Text = None,
    after: Text = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 1000,
) -> dict[str, Any]:
    """List requests to endpoints, and refused ones, as the gateway wrote them down; newest last.

    One that was refused is of no endpoint: whoever sent it must not learn what there is.
    `after`: what the answer before called `cursor`; without it, the newest lines. Of more than
    `limit` lines the older ones are left out. 404 for an endpoint that there is not, or that the
    caller neither sees nor has a line of.
    """
    if team is not None:
        resource = Resource(kind="usage", team=team)
        caller.require(Action.READ, resource, absent=no_team(team))
        require_team(context, team)
    page = read_on(access_log(context.home), after)
    found = [
        to_json(record)
        for record in page.records
        if (record.endpoint is not None or record.refusal is not None)
        and endpoint in (None, record.endpoint)
        and team in (None, record.team)
        and _sees(caller, record)
    ]
    if endpoint is not None and after is None and not found:
        _require_endpoint(context, caller, endpoint)
    return {"requests": found[-limit:], "cursor": page.cursor}


@router.get("/gateway/pairs/{endpoint}", **needs(Action.WRITE, "endpoint"))
def pairs(endpoint: str, context: ContextDep, caller: CallerDep) -> list[dict[str, Any]]:
    """List the sampled answers of an endpoint beside those that copies of the requests got.

    They hold what callers sent, so only who may change the endpoint is shown them.
    """
    absent = no_endpoint(endpoint)
    with context.database.read() as connection:
        found = find_endpoint(connection, endpoint)
    if found is None:
        raise absent
    resource = Resource(kind="endpoint", team=found.team, name=found.name)
    caller.require(Action.WRITE, resource, absent=absent)
    return [each.to_json() for each in compare(context.home.gateway, found.name)]


def _require_endpoint(context: Context, caller: Caller, name: str) -> None:
    """Raise NotFound for an endpoint that is not there, or that the caller may not see or call."""
    with context.database.read() as connection:
        found = find_endpoint(connection, name)
    seen = False
    if found is not None:
        resource = Resource(kind="endpoint", team=found.team, name=found.name)
        seen = caller.may(Action.READ, resource) or caller.may(Action.INVOKE, resource)
    if not seen:
        raise no_endpoint(name)


def _sees(caller: Caller, record: AccessRecord) -> bool:
    """Tell whether the caller may see a request: of a team they see the usage of.

    What the gate took no key of is of no team, and the whole platform's.
    """
    return caller.may(Action.READ, Resource(kind="usage", team=record.team))


def _sees_endpoint(caller: Caller, team: str, name: str) -> bool:
    return caller.may(Action.READ, Resource(kind="endpoint", team=team, name=name))
