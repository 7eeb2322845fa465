"""Change the intent of endpoints. Called by the API inside its transaction; never commits."""

from __future__ import annotations

from sqlalchemy import Connection

from plinth.control.context import Context
from plinth.control.runs.service import Sources, add_workload_run
from plinth.domain.access import Actor
from plinth.domain.base import Declared
from plinth.domain.model import Lineage, ModelVersion
from plinth.domain.plan import Plan
from plinth.domain.workload import Endpoint
from plinth.kit.errors import Conflict, Invalid
from plinth.kit.excerpt import excerpt
from plinth.store.endpoints import StoredEndpoint, add_endpoint, find_endpoint, want
from plinth.store.runs import StoredRun, find_run


class Applied(Declared):
    """What `apply` did: `deployment` is the run that serves or is to serve."""

    endpoint: StoredEndpoint
    deployment: str
    changed: bool


def check_runtime(context: Context, endpoint: Endpoint) -> None:
    """Raise Invalid when there is no runtime of the name that the file gives."""
    if endpoint.runtime not in context.runtimes:
        raise Invalid(
            f"`runtime` is `{excerpt(endpoint.runtime)}`; there are "
            f"{', '.join(sorted(context.runtimes))}"
        )


def apply_endpoint(
    connection: Connection,
    context: Context,
    actor: Actor,
    workload: Endpoint,
    *,
    model: ModelVersion,
    plan: Plan,
    lineage: Lineage | None = None,
) -> Applied:
    """Write the intent to serve `model` as the file says; `lineage` is what it came from.

    An alias was resolved to its version before. The same file and version as what serves (or is
    to serve) changes nothing. Raises Conflict when another team has an endpoint of that name.
    """
    now = context.clock.now()
    team = workload.team or ""
    endpoint = find_endpoint(connection, workload.name)
    if endpoint is not None and endpoint.team != team:
        raise Conflict(
            f"the endpoint name `{workload.name}` is taken; names are unique in Plinth",
            hint="choose another name",
            code="name_taken",
        )
    if endpoint is not None and endpoint.desired == "delete":
        raise Conflict(
            f"endpoint `{workload.name}` is being deleted", hint="apply it again in a moment"
        )
    current = _current(connection, endpoint)
    if endpoint is not None and current is not None and _is_same(current, workload, model):
        return Applied(endpoint=endpoint, deployment=current.id, changed=False)
    sources = Sources(model=model, lineage=lineage)
    run = add_workload_run(connection, context, actor, workload, plan=plan, sources=sources)
    if endpoint is None:
        endpoint = StoredEndpoint(
            name=workload.name,
            team=team,
            next=run.id,
            created_at=now,
            created_by=actor.principal.id,
            updated_at=now,
        )
        add_endpoint(connection, endpoint)
    else:
        want(connection, endpoint.name, desired="run", next_run=run.id, now=now)
    return Applied(endpoint=endpoint, deployment=run.id, changed=True)


def stop_endpoint(connection: Connection, context: Context, endpoint: StoredEndpoint) -> None:
    """Ask an endpoint to stop serving; its name and history stay, `apply` starts it again."""
    if endpoint.desired == "run":
        _want(connection, context, endpoint, "stop")


def remove_endpoint(connection: Connection, context: Context, endpoint: StoredEndpoint) -> None:
    """Ask an endpoint to stop and then to be forgotten; nothing happens the second time."""
    _want(connection, context, endpoint, "delete")


def _want(connection: Connection, context: Context, endpoint: StoredEndpoint, desired: str) -> None:
    now = context.clock.now()
    want(connection, endpoint.name, desired=desired, next_run=None, now=now)


def _current(connection: Connection, endpoint: StoredEndpoint | None) -> StoredRun | None:
    if endpoint is None or endpoint.desired != "run":
        return None
    run_id = endpoint.next or endpoint.serving
    run = find_run(connection, run_id) if run_id else None
    return None if run is None or run.phase.is_final else run


def _is_same(run: StoredRun, workload: Endpoint, model: ModelVersion) -> bool:
    # Two aliases of one version are the same model: what it is decides, not how it was called. A
    # model that was deleted and registered anew has the same version and another artifact.
    served = run.model
    return (
        served is not None
        and (served.name, served.version, served.artifact_uri)
        == (model.name, model.version, model.artifact_uri)
        and run.workload.model_dump(exclude={"model"}) == workload.model_dump(exclude={"model"})
    )
