"""From a response back to all that made it: deployment, model, job, code, data, people."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import Connection

from plinth.control.context import Context
from plinth.control.lineage import Person, person
from plinth.domain.base import Declared
from plinth.domain.model import CodeOrigin, Lineage, ModelVersion
from plinth.domain.usage import UsageRecord
from plinth.kit.errors import NotFound
from plinth.kit.excerpt import excerpt
from plinth.store.runs import StoredRun, find_attempt_at, find_kept_run


class Trace(Declared):
    """What made one response. What nobody knows is None.

    `id`: the `x-plinth-id` that the caller got. `team`: whose endpoint it is. `deployment`: the run
    that served, `unit`: its replica's process, `RUN.REPLICA.ATTEMPT`. `deleted_at`: when the
    deployment was deleted. `approved_by` None: no approval was asked. `run_by`: who submitted the
    job of `lineage.run`. `code`, `code_digest`: of a flow, which has no model.
    """

    id: str
    answered_at: datetime
    called_by: Person | None
    endpoint: str
    team: str
    deployment: str
    deployed_by: Person
    deployed_at: datetime
    deleted_at: datetime | None
    approved_by: Person | None = None
    replica: int | None
    attempt: int | None
    unit: str | None
    model: ModelVersion | None
    lineage: Lineage | None
    code_digest: str | None = None
    code: CodeOrigin | None = None
    run_by: Person | None


def no_response(response_id: str) -> NotFound:
    """Return the error for a response that is absent, or that the caller may not trace."""
    return NotFound(
        f"there is no response `{excerpt(response_id, 60)}`",
        hint="its `x-plinth-id` names it; what was answered just now can be traced in a second",
    )


def find_trace(
    context: Context,
    response_id: str,
    sees: Callable[[UsageRecord, StoredRun | None], bool],
) -> Trace:
    """Return what made the response of that id.

    `sees` tells whether the caller may know; the deployment is None when its row is gone. Raises
    NotFound, with the code `trace_expired` for one that is older than what is kept, and
    `trace_elsewhere` for one that another than Plinth made.
    """
    record = context.ledger.find_request(response_id)
    if record is not None and record.deployment is not None and sees(record, None):
        raise _elsewhere(record)
    if record is None or record.run is None:
        raise no_response(response_id)
    with context.database.read() as connection:
        run = find_kept_run(connection, record.run)
        if not sees(record, run):
            raise no_response(response_id)
        since = context.clock.now() - timedelta(days=context.settings.trace_days)
        if run is None or record.started_at < since:
            raise _expired(record, context.settings.trace_days)
        return _trace(connection, record, run)


def _elsewhere(record: UsageRecord) -> NotFound:
    model = f" with the model `{excerpt(record.model)}`" if record.model else ""
    return NotFound(
        f"response `{record.request_id}` was given by `{record.deployment}` of "
        f"`{record.workload}`{model}, which another than Plinth runs; what made it is not known",
        hint="`plinth gateway routes` shows where that is",
        code="trace_elsewhere",
    )


def _expired(record: UsageRecord, days: float) -> NotFound:
    return NotFound(
        f"response `{record.request_id}` is of {record.started_at:%Y-%m-%d}, and what it came from "
        f"is not kept any more; responses of the last {days:g} days can be traced",
        hint="`trace_days` in `settings.toml` says for how long",
        code="trace_expired",
    )


def _trace(connection: Connection, record: UsageRecord, run: StoredRun) -> Trace:
    replica = _replica(record, run)
    attempt = None
    if replica is not None:
        # The one that answered was running at the end of the answer.
        attempt = find_attempt_at(connection, run.id, replica, record.ended_at)
    run_by = run.lineage.run_by if run.lineage is not None else None
    return Trace(
        id=record.request_id or "",
        answered_at=record.ended_at,
        called_by=person(connection, record.principal) if record.principal else None,
        endpoint=run.workload.name,
        team=run.team,
        deployment=run.id,
        deployed_by=person(connection, run.created_by),
        deployed_at=run.created_at,
        deleted_at=run.deleted_at,
        replica=replica,
        attempt=attempt.number if attempt else None,
        unit=f"{run.id}.{replica}.{attempt.number}" if attempt else None,
        model=run.model,
        lineage=run.lineage,
        code_digest=run.code_digest,
        code=run.code,
        run_by=person(connection, run_by) if run_by else None,
    )


def _replica(record: UsageRecord, run: StoredRun) -> int | None:
    if record.replica is not None:
        return record.replica
    # Logs of an earlier version do not say which; where there was one, it was that.
    is_alone = not run.workload.ends and run.workload.instances == 1
    return 0 if is_alone else None
