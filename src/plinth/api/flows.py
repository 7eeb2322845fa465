"""Flows: apply them, evaluate them over rows, look at what their requests did."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse
from pydantic import Field

from plinth.api.caller import Caller, CallerDep, ContextDep, needs, no_team, require_team
from plinth.api.endpoint_view import describe
from plinth.api.endpoints import GatewayDep, no_endpoint
from plinth.api.runs import describe as describe_run
from plinth.api.runs import require_output
from plinth.control.batches.preparation import work_folder
from plinth.control.batches.run_folder import open_inside
from plinth.control.context import Context
from plinth.control.endpoints.service import apply_endpoint
from plinth.control.flows.evaluation import add_evaluation
from plinth.control.flows.resolution import resolve_evaluation, resolve_flow
from plinth.control.flows.traces import list_traces, read_trace
from plinth.control.identities import require_as_much_as_team
from plinth.control.lineage import resource_of
from plinth.domain.access import Action, Resource
from plinth.domain.base import Declared, Name
from plinth.domain.flow import RESULTS_FILE, FlowEvaluation, PromptFlow
from plinth.domain.model import CodeOrigin
from plinth.kit.errors import Invalid, NotFound
from plinth.kit.excerpt import excerpt
from plinth.store.endpoints import StoredEndpoint, find_endpoint
from plinth.store.runs import find_run, no_run

router = APIRouter(tags=["flows"])

_PIECE_BYTES = 1 << 18

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class AppliedFlow(Declared):
    """A flow to serve. `code_digest`: the SHA-256 of its folder, which was uploaded before."""

    workload: PromptFlow
    code_digest: Digest
    code: CodeOrigin | None = None


class EvaluationAsked(Declared):
    """A flow to evaluate. `code_digest`: of its folder with the rows in it, uploaded before."""

    workload: FlowEvaluation
    code_digest: Digest
    code: CodeOrigin | None = None


@router.put("/flows/{name}", **needs(Action.WRITE, "endpoint"))
def apply(
    name: Name, asked: AppliedFlow, context: ContextDep, caller: CallerDep, gateway: GatewayDep
) -> dict[str, Any]:
    """Check the flow, plan it, and write the intent to serve it."""
    if asked.workload.name != name:
        raise Invalid(
            f"the address says `{name}`, the flow's own `name` is `{asked.workload.name}`"
        )
    team = asked.workload.team or caller.actor.principal.team
    flow = asked.workload.model_copy(update={"team": team})
    resource = Resource(kind="endpoint", team=team, name=name)
    caller.require(Action.WRITE, resource, absent=no_team(team))
    require_team(context, team)
    # It unpacks the folder, so before the transaction.
    hosted = resolve_flow(context, flow, asked.code_digest, asked.code)
    with context.database.write() as connection:
        # The flow gets a key of the team, and does with it whatever its author wrote.
        require_as_much_as_team(connection, caller.actor, team)
        applied = apply_endpoint(connection, context, caller.actor, flow, {"main": hosted})
        if applied.changed:
            caller.note(
                connection,
                "apply",
                f"endpoint/{name}",
                team=team,
                deployment=applied.deployment,
                code=asked.code_digest,
            )
        stored = find_endpoint(connection, name)
        assert stored is not None
        answer = describe(connection, context, gateway.published, stored)
    context.hint()
    return {
        **answer,
        "deployment": applied.deployment,
        "applied": applied.deployments,
        "changed": applied.changed,
    }


@router.post("/flow-evaluations", status_code=201, **needs(Action.WRITE, "run"))
def evaluate(asked: EvaluationAsked, context: ContextDep, caller: CallerDep) -> dict[str, Any]:
    """Plan the evaluation of a flow over rows, and write the intent to run it."""
    team = asked.workload.team or caller.actor.principal.team
    workload = asked.workload.model_copy(update={"team": team})
    caller.require(Action.WRITE, Resource(kind="run", team=team), absent=no_team(team))
    require_team(context, team)
    plan = resolve_evaluation(context, workload, asked.code_digest)
    with context.database.write() as connection:
        run = add_evaluation(
            connection,
            context,
            caller.actor,
            workload,
            plan=plan,
            code_digest=asked.code_digest,
            code=asked.code,
        )
        subject = f"run/{run.id}"
        caller.note(connection, "evaluate", subject, team=team, workload=f"flow/{workload.name}")
        answer = describe_run(connection, caller, run)
    context.hint()
    return answer


@router.get("/flow-evaluations/{run_id}/results", **needs(Action.READ, "run"))
def results(run_id: str, context: ContextDep, caller: CallerDep) -> StreamingResponse:
    """Return what an evaluation has found so far, line by line in JSON.

    Each line is a row that `began`, or the `result` of one; the last one the `metrics` of each
    variant, or an `error`.
    """
    with context.database.read() as connection:
        run = find_run(connection, run_id)
        caller.require(Action.READ, resource_of(run), absent=no_run(run_id))
        require_output(caller, run)
    if not isinstance(run.workload, FlowEvaluation):
        raise NotFound(
            f"run `{excerpt(run_id)}` is no evaluation", hint="`plinth get` shows any run"
        )
    opened = open_inside(work_folder(context, run.id), RESULTS_FILE)
    stream = opened.__enter__()

    def pieces() -> Iterator[bytes]:
        try:
            while piece := stream.read(_PIECE_BYTES):
                yield piece
        finally:
            opened.__exit__(None, None, None)

    return StreamingResponse(pieces(), media_type="application/x-ndjson")


@router.get("/flows/{name}/traces", **needs(Action.READ, "flow"))
def traces(
    name: str,
    context: ContextDep,
    caller: CallerDep,
    *,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> list[dict[str, Any]]:
    """List what the flow's newest requests did, newest first, as MLflow keeps it."""
    flow = _find(context, caller, name)
    return [each.model_dump(mode="json") for each in list_traces(context, flow, limit)]


@router.get("/flows/{name}/traces/{trace_id}", **needs(Action.READ, "flow"))
def trace(name: str, trace_id: str, context: ContextDep, caller: CallerDep) -> dict[str, Any]:
    """Show what one request did, node by node."""
    flow = _find(context, caller, name)
    return read_trace(context, flow, trace_id).model_dump(mode="json")


def _find(context: Context, caller: Caller, name: str) -> StoredEndpoint:
    with context.database.read() as connection:
        found = find_endpoint(connection, name)
    if found is None:
        raise no_endpoint(name)
    # Not the endpoint: who may call it need not see what others asked.
    resource = Resource(kind="flow", team=found.team, name=name)
    caller.require(Action.READ, resource, absent=no_endpoint(name))
    if found.workload.kind != "flow":
        raise Invalid(
            f"`{name}` is an endpoint of models; a flow has traces",
            hint=f"`plinth gateway tail --endpoint {name}` shows its requests",
        )
    return found
