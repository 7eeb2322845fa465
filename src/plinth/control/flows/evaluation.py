"""Write the intent to evaluate a flow. Called by the API inside its transaction; never commits."""

from __future__ import annotations

from sqlalchemy import Connection

from plinth.control.context import Context
from plinth.control.identities import require_as_much_as_team
from plinth.control.runs.service import Sources, add_workload_run
from plinth.domain.access import Actor
from plinth.domain.flow import FlowEvaluation
from plinth.domain.model import CodeOrigin
from plinth.domain.plan import Plan
from plinth.store.runs import StoredRun


def add_evaluation(
    connection: Connection,
    context: Context,
    actor: Actor,
    workload: FlowEvaluation,
    *,
    plan: Plan,
    code_digest: str,
    code: CodeOrigin | None = None,
) -> StoredRun:
    """Write the run's row. `workload.team` is set, and the actor was allowed to.

    Raises Denied when the team was given more than the actor holds: it gets a key of the team.
    """
    require_as_much_as_team(connection, actor, workload.team or "")
    sources = Sources(code_digest=code_digest, code=code)
    return add_workload_run(connection, context, actor, workload, plan=plan, sources=sources)
