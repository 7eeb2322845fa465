"""From a response to what made it, and lineage both ways."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query

from plinth.api.caller import Caller, CallerDep, ContextDep, needs
from plinth.api.datasets import MOST_VERSIONS, find_data
from plinth.control.lineage import lineage_of_data, lineage_of_model, resource_of
from plinth.control.trace import find_trace, no_response
from plinth.domain.access import Action, Resource
from plinth.domain.usage import UsageRecord
from plinth.domain.workload_fields import parse_model
from plinth.kit.errors import Invalid, NotFound
from plinth.kit.excerpt import excerpt
from plinth.store.runs import StoredRun

router = APIRouter(tags=["traces"])


@router.get("/trace/{response_id}", **needs(Action.READ, "endpoint"))
def trace(response_id: str, context: ContextDep, caller: CallerDep) -> dict[str, Any]:
    """Show what made a response; for who may read its endpoint, and for who got it.

    Who only got it is not told where the model's files are.
    """
    wanted = response_id.strip().lower()

    def sees(record: UsageRecord, run: StoredRun | None) -> bool:
        if record.principal == caller.actor.principal.id:
            return True
        # Of a deployment that is gone nobody knows the team: those who may read all are left.
        resource = Resource(kind="endpoint") if run is None else resource_of(run)
        caller.require(Action.READ, resource, absent=no_response(wanted))
        return True

    found = find_trace(context, wanted, sees)
    hidden = caller.hidden_of(found.lineage.data) if found.lineage is not None else {}
    endpoint = Resource(kind="endpoint", team=found.team, name=found.endpoint)
    places = set() if caller.may(Action.READ, endpoint) else {"artifact_uri"}
    return found.model_dump(mode="json", exclude={"lineage": {"data": hidden}, "model": places})


@router.get("/lineage/models/{name}", **needs(Action.READ, "model"))
def model_lineage(
    name: str,
    context: ContextDep,
    caller: CallerDep,
    *,
    alias: str | None = None,
    version: Annotated[int | None, Query(ge=1, le=MOST_VERSIONS)] = None,
    team: str | None = None,
) -> dict[str, Any]:
    """Show what a model version came from, and where it serves or served."""
    owner = team or caller.actor.principal.team
    absent = NotFound(
        f"team `{excerpt(owner)}` has no model `{excerpt(name)}`", hint="`plinth models` lists all"
    )
    caller.require(Action.READ, Resource(kind="model", team=owner, name=name), absent=absent)
    if (alias is None) == (version is None):
        raise Invalid("give one of `alias` and `version`")
    try:
        wanted = parse_model(f"models:/{name}/{version}" if version else f"models:/{name}@{alias}")
    except ValueError as err:
        raise Invalid(str(err)) from err
    found = lineage_of_model(context, owner, wanted, _reading(caller))
    hidden = caller.hidden_of(found.came_from.data)
    return found.model_dump(mode="json", exclude={"came_from": {"data": hidden}})


@router.get("/lineage/data/{name}", **needs(Action.READ, "data"))
def data_lineage(
    name: str,
    context: ContextDep,
    caller: CallerDep,
    *,
    version: Annotated[int | None, Query(ge=1, le=MOST_VERSIONS)] = None,
    team: str | None = None,
) -> dict[str, Any]:
    """Show which runs read a data version, the newest if none is given, and what came of them."""
    owner = team or caller.actor.principal.team
    data = find_data(context, caller, owner, name, version)
    found = lineage_of_data(context, data, _reading(caller))
    return found.model_dump(mode="json")


def _reading(caller: Caller) -> Callable[[Resource], bool]:
    return partial(caller.may, Action.READ)
