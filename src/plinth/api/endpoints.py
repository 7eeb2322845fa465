"""Endpoints: apply, look at, stop and delete them."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from sqlalchemy import Connection

from plinth.api.caller import Caller, CallerDep, ContextDep, needs, no_team, require_team
from plinth.api.runs import summary as run_summary
from plinth.control.context import Context
from plinth.control.endpoints.service import (
    apply_endpoint,
    check_runtime,
    remove_endpoint,
    stop_endpoint,
)
from plinth.control.gateway import GatewayReconciler
from plinth.control.lineage import find_lineage
from plinth.control.planning import plan_or_refuse
from plinth.control.status import Parts
from plinth.domain.access import Action, Resource
from plinth.domain.base import Name
from plinth.domain.workload import Endpoint, parse_model
from plinth.kit.errors import Invalid, NotFound
from plinth.kit.excerpt import excerpt
from plinth.store.endpoints import StoredEndpoint, find_endpoint, list_endpoints
from plinth.store.events import list_events
from plinth.store.runs import find_run, list_endpoint_runs

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
    """Resolve the model's alias, plan, and write the intent to serve it."""
    if workload.name != name:
        raise Invalid(f"the address says `{name}`, the endpoint's own `name` is `{workload.name}`")
    team = workload.team or caller.actor.principal.team
    workload = workload.model_copy(update={"team": team})
    caller.require(
        Action.WRITE,
        Resource(kind="endpoint", team=team, name=name),
        absent=no_team(team),
    )
    require_team(context, team)
    check_runtime(context, workload)
    plan = plan_or_refuse(context, workload)
    # Over the network, so before the transaction.
    model = context.tracking.resolve_model(team, parse_model(workload.model))
    lineage = find_lineage(context, workload.model, model)
    with context.database.write() as connection:
        applied = apply_endpoint(
            connection, context, caller.actor, workload, model=model, plan=plan, lineage=lineage
        )
        if applied.changed:
            caller.note(
                connection,
                "apply",
                f"endpoint/{name}",
                team=team,
                deployment=applied.deployment,
                model=f"{model.name}/{model.version}",
            )
        answer = _describe(connection, context, gateway, _get(connection, name))
    context.hint()
    return {**answer, "deployment": applied.deployment, "changed": applied.changed}


@router.get("/endpoints", **needs(Action.READ, "endpoint"))
def list_all(context: ContextDep, caller: CallerDep, gateway: GatewayDep) -> list[dict[str, Any]]:
    """List the endpoints that the caller may see."""
    with context.database.read() as connection:
        return [
            _summary(connection, context, gateway, endpoint)
            for endpoint in list_endpoints(connection)
            if caller.may(Action.READ, _resource(endpoint))
        ]


@router.get("/endpoints/{name}", **needs(Action.READ, "endpoint"))
def get(name: str, context: ContextDep, caller: CallerDep, gateway: GatewayDep) -> dict[str, Any]:
    """Show an endpoint with its deployments and what happened to it."""
    with context.database.read() as connection:
        return _describe(connection, context, gateway, _find(connection, caller, name, Action.READ))


@router.post("/endpoints/{name}/stop", **needs(Action.STOP, "endpoint"))
def stop(name: str, context: ContextDep, caller: CallerDep, gateway: GatewayDep) -> dict[str, Any]:
    """Ask an endpoint to stop serving; `apply` starts it again."""
    with context.database.write() as connection:
        endpoint = _find(connection, caller, name, Action.STOP)
        if endpoint.desired == "run":
            caller.note(connection, "stop", f"endpoint/{name}", team=endpoint.team)
        stop_endpoint(connection, context, endpoint)
        answer = _describe(connection, context, gateway, _get(connection, name))
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
        answer = _describe(connection, context, gateway, _get(connection, name))
    context.hint()
    return answer


def _resource(endpoint: StoredEndpoint) -> Resource:
    return Resource(kind="endpoint", team=endpoint.team, name=endpoint.name)


def _get(connection: Connection, name: str) -> StoredEndpoint:
    endpoint = find_endpoint(connection, name)
    if endpoint is None:
        raise _no_endpoint(name)
    return endpoint


def _no_endpoint(name: str) -> NotFound:
    return NotFound(
        f"there is no endpoint `{excerpt(name)}`", hint="`plinth list` shows the endpoints"
    )


def _find(connection: Connection, caller: Caller, name: str, action: Action) -> StoredEndpoint:
    endpoint = _get(connection, name)
    caller.require(action, _resource(endpoint), absent=_no_endpoint(name))
    return endpoint


def _summary(
    connection: Connection, context: Context, gateway: GatewayReconciler, endpoint: StoredEndpoint
) -> dict[str, Any]:
    current = endpoint.serving or endpoint.next
    run = find_run(connection, current) if current else None
    published = gateway.published
    # Running is not enough: whoever reads "ready" calls it next, so Envoy must send it requests.
    routed = published.serving.get(endpoint.name) if published is not None else None
    return {
        **endpoint.model_dump(mode="json"),
        "ready": run is not None and run.phase == "running" and run.id == routed,
        "model": run.model.model_dump(mode="json") if run and run.model else None,
        "url": f"{context.address}/v2/models/{endpoint.name}",
    }


def _describe(
    connection: Connection, context: Context, gateway: GatewayReconciler, endpoint: StoredEndpoint
) -> dict[str, Any]:
    runs = list_endpoint_runs(connection, endpoint.team, endpoint.name)
    events = list_events(connection, f"endpoint/{endpoint.name}")
    newest = runs[0] if runs else None
    return {
        **_summary(connection, context, gateway, endpoint),
        "deployments": [
            {**run_summary(run), "model": run.model.model_dump(mode="json") if run.model else None}
            for run in runs[:20]
        ],
        "workload": newest.workload.model_dump(mode="json") if newest else None,
        "plan": newest.plan.model_dump(mode="json") if newest else None,
        "events": [event.model_dump(mode="json") for event in events],
    }
