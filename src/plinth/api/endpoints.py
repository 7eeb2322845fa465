"""Endpoints: apply, look at, stop and delete them."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from sqlalchemy import Connection

from plinth.api.caller import Caller, CallerDep, ContextDep, needs, no_team, require_team
from plinth.api.endpoint_view import describe, summary
from plinth.control.endpoints.resolution import check, resolve
from plinth.control.endpoints.service import apply_endpoint, remove_endpoint, stop_endpoint
from plinth.control.gateway import GatewayReconciler
from plinth.control.status import Parts
from plinth.domain.access import Action, Resource
from plinth.domain.base import Name
from plinth.domain.workload import Endpoint
from plinth.kit.errors import Invalid, NotFound
from plinth.kit.excerpt import excerpt
from plinth.store.endpoints import StoredEndpoint, find_endpoint, list_endpoints

router = APIRouter(tags=["endpoints"])


def get_gateway(request: Request) -> GatewayReconciler:
    """Return what knows which deployments Envoy sends requests to."""
    parts: Parts = request.app.state.parts
    return parts.gateway


GatewayDep = Annotated[GatewayReconciler, Depends(get_gateway)]


@router.put("/endpoints/{name}", **needs(Action.WRITE, "endpoint"))
def apply(
    name: Name, workload: Endpoint, context: ContextDep, caller: CallerDep, gateway: GatewayDep
) -> dict[str, Any]:
    """Check the file, resolve what it names, plan, and write the intent to serve it."""
    workload = _of_caller(name, workload, context, caller)
    team = workload.team or ""
    # Over the network, so before the transaction.
    resolved = resolve(context, workload)
    hosted = resolved.hosted
    models = {
        name: f"{one.model.name}/{one.model.version}"
        for name, one in hosted.items()
        if one.model is not None
    }
    with context.database.write() as connection:
        applied = apply_endpoint(connection, context, caller.actor, workload, hosted)
        if applied.changed:
            caller.note(
                connection,
                "apply",
                f"endpoint/{name}",
                team=team,
                deployment=applied.deployment,
                model=", ".join(models.values()),
                deployments={**dict.fromkeys(workload.by_name(), "external"), **models},
            )
        answer = describe(connection, context, gateway.published, _get(connection, name))
    context.hint()
    return {
        **answer,
        "deployment": applied.deployment,
        "applied": applied.deployments,
        "changed": applied.changed,
        "warnings": resolved.warnings,
    }


@router.post("/endpoints/{name}/check", **needs(Action.WRITE, "endpoint"))
def check_only(
    name: Name, workload: Endpoint, context: ContextDep, caller: CallerDep
) -> dict[str, Any]:
    """Refuse what applying the file would refuse, but for what Plinth itself is to serve.

    Changes nothing, and opens no secret: whether its value can be sent is seen when it is applied.
    """
    workload = _of_caller(name, workload, context, caller)
    warnings = check(context, workload)
    return {"name": name, "team": workload.team, "warnings": warnings}


@router.get("/endpoints", **needs(Action.READ, "endpoint"))
def list_all(context: ContextDep, caller: CallerDep, gateway: GatewayDep) -> list[dict[str, Any]]:
    """List the endpoints that the caller may see."""
    published = gateway.published
    with context.database.read() as connection:
        return [
            summary(connection, context, published, endpoint)
            for endpoint in list_endpoints(connection)
            if caller.may(Action.READ, _resource(endpoint))
        ]


@router.get("/endpoints/{name}", **needs(Action.READ, "endpoint"))
def get(name: str, context: ContextDep, caller: CallerDep, gateway: GatewayDep) -> dict[str, Any]:
    """Show an endpoint with its deployments and what happened to it."""
    with context.database.read() as connection:
        endpoint = _find(connection, caller, name, Action.READ)
        return describe(connection, context, gateway.published, endpoint)


@router.post("/endpoints/{name}/stop", **needs(Action.STOP, "endpoint"))
def stop(name: str, context: ContextDep, caller: CallerDep, gateway: GatewayDep) -> dict[str, Any]:
    """Ask an endpoint to stop serving; `apply` starts it again."""
    with context.database.write() as connection:
        endpoint = _find(connection, caller, name, Action.STOP)
        if endpoint.desired == "run":
            caller.note(connection, "stop", f"endpoint/{name}", team=endpoint.team)
        stop_endpoint(connection, context, endpoint)
        answer = describe(connection, context, gateway.published, _get(connection, name))
    context.hint()
    return answer


@router.delete("/endpoints/{name}", **needs(Action.DELETE, "endpoint"))
def delete(
    name: str, context: ContextDep, caller: CallerDep, gateway: GatewayDep
) -> dict[str, Any]:
    """Ask an endpoint to stop and to be forgotten."""
    with context.database.write() as connection:
        endpoint = _find(connection, caller, name, Action.DELETE)
        if endpoint.desired != "delete":
            caller.note(connection, "delete", f"endpoint/{name}", team=endpoint.team)
        remove_endpoint(connection, context, endpoint)
        answer = describe(connection, context, gateway.published, _get(connection, name))
    context.hint()
    return answer


def _of_caller(name: str, workload: Endpoint, context: ContextDep, caller: Caller) -> Endpoint:
    """Return the file with its team, which the caller may change endpoints of."""
    if workload.name != name:
        raise Invalid(f"the address says `{name}`, the endpoint's own `name` is `{workload.name}`")
    team = workload.team or caller.actor.principal.team
    resource = Resource(kind="endpoint", team=team, name=name)
    caller.require(Action.WRITE, resource, absent=no_team(team))
    require_team(context, team)
    return workload.model_copy(update={"team": team})


def _resource(endpoint: StoredEndpoint) -> Resource:
    return Resource(kind="endpoint", team=endpoint.team, name=endpoint.name)


def _get(connection: Connection, name: str) -> StoredEndpoint:
    endpoint = find_endpoint(connection, name)
    if endpoint is None:
        raise no_endpoint(name)
    return endpoint


def no_endpoint(name: str) -> NotFound:
    """Return what is said where there is none, or none that the caller may see."""
    return NotFound(
        f"there is no endpoint `{excerpt(name)}`", hint="`plinth list` shows the endpoints"
    )


def _find(connection: Connection, caller: Caller, name: str, action: Action) -> StoredEndpoint:
    endpoint = _get(connection, name)
    caller.require(action, _resource(endpoint), absent=no_endpoint(name))
    return endpoint
