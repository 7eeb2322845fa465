"""Runs and their attempts."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    and_,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)

from plinth.domain.access import Reach
from plinth.domain.base import STORED, Declared
from plinth.domain.model import CodeOrigin, DataVersion, Lineage, ModelVersion
from plinth.domain.plan import Plan
from plinth.domain.run import ACTIVE, FINAL, Observation, Phase, may_become
from plinth.domain.serving import MAIN
from plinth.domain.workload import (
    ENDING_KINDS,
    SERVED_KINDS,
    WORKLOAD,
    Workload,
)
from plinth.kit.errors import NotFound
from plinth.kit.excerpt import excerpt
from plinth.store import tables
from plinth.store.events import Event, add_event, clipped, delete_events
from plinth.store.leases import by_now, due_now


class StoredRun(Declared):
    """One execution of a workload: what was asked (never changes) and where it stands.

    `closed`: it ended, and everything that follows from that was done. `deployment`: what its
    endpoint's file called it when it was started; None for a job.
    """

    id: str
    team: str
    workload: Workload
    code_digest: str | None
    model: ModelVersion | None
    data: dict[str, DataVersion]
    plan: Plan
    principal: str
    created_by: str
    created_at: datetime
    desired: str = "run"
    phase: Phase = Phase.PENDING
    reason: str = "Accepted"
    message: str = "accepted"
    tracking_run: str | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    exit_code: int | None = None
    closed: bool = False
    code: CodeOrigin | None = None
    lineage: Lineage | None = None
    deleted_at: datetime | None = None
    deployment: str | None = None


class Attempt(Declared):
    """The nth start of one replica. `key`: the row of the key it got; None for a server.

    `workers`: how many of an elastic one ran when it was last seen running.
    """

    run: str
    replica: int
    number: int
    phase: Phase
    key: str | None = None
    handle: dict[str, Any]
    created_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    exit_code: int | None = None
    reason: str | None = None
    isolation: int | None = None
    seen_at: datetime | None = None
    metered: bool = False
    workers: int | None = None


class ActiveDeployment(Declared):
    """What the gateway must know of a deployment that has not ended."""

    id: str
    team: str
    endpoint: str
    deployment: str
    phase: Phase
    replicas: int


def add_run(connection: Connection, run: StoredRun) -> None:
    """Write the intent to run; it is due at once."""
    values = run.model_dump(mode="json", exclude={"created_at", "started_at", "ended_at"})
    # A size that was stated is a limit, a default is none: what was left out stays left out.
    stated = run.workload.resources.model_dump(mode="json", exclude_unset=True)
    values["workload"]["resources"] = stated
    connection.execute(
        insert(tables.run).values(
            **values,
            kind=run.workload.kind,
            name=run.workload.name,
            created_at=run.created_at,
            due_at=by_now(connection, run.created_at),
        )
    )
    event = Event(at=run.created_at, phase=run.phase, reason=run.reason, message=run.message)
    add_event(connection, f"run/{run.id}", event)


def find_run(connection: Connection, run_id: str) -> StoredRun:
    """Return the run. Raises NotFound, also for one that was deleted."""
    run = find_kept_run(connection, run_id)
    if run is None or run.deleted_at is not None:
        raise no_run(run_id)
    return run


def find_kept_run(connection: Connection, run_id: str) -> StoredRun | None:
    """Return the run, also one that was deleted and is kept for traces; else None."""
    row = connection.execute(select(tables.run).where(tables.run.c.id == run_id)).one_or_none()
    return run_of(row) if row else None


def no_run(run_id: str) -> NotFound:
    """Return the error for a run that is absent, or that the caller may not see."""
    return NotFound(f"there is no run `{excerpt(run_id)}`", hint="`plinth list` shows the runs")


def list_runs(
    connection: Connection,
    *,
    kind: str | None = None,
    active: bool = False,
    ends: bool = False,
    name: str | None = None,
    reach: Reach | None = None,
    limit: int = 1000,
) -> list[StoredRun]:
    """Return the newest `limit` runs, newest first.

    `active`: only those that have not ended. `ends`: only of kinds that run to their end. `reach`:
    only of what it holds; None: of everything.
    """
    table = tables.run
    query = select(table).order_by(table.c.created_at.desc(), table.c.id).limit(limit)
    query = query.where(table.c.deleted_at.is_(None))
    if kind is not None:
        query = query.where(table.c.kind == kind)
    if active:
        query = query.where(table.c.phase.in_(ACTIVE))
    if ends:
        query = query.where(table.c.kind.in_(ENDING_KINDS))
    if name is not None:
        query = query.where(table.c.name == name)
    if reach is not None:
        query = query.where(is_within(reach))
    return [run_of(row) for row in connection.execute(query)]


def names_of(connection: Connection, run_ids: Collection[str]) -> dict[str, str]:
    """Return the names of the workloads of these runs; one that is not there has none."""
    table = tables.run
    found = connection.execute(
        select(table.c.id, table.c.name).where(
            table.c.id.in_(run_ids), table.c.deleted_at.is_(None)
        )
    )
    return {row.id: row.name for row in found}


def is_within(reach: Reach) -> ColumnElement[bool]:
    """Return the condition for runs of what `reach` holds."""
    table = tables.run
    single = (
        and_(
            table.c.team == each.team,
            # A flow is granted as the endpoint that it is.
            table.c.kind.in_(SERVED_KINDS if each.kind == "endpoint" else (each.kind,)),
            table.c.name == each.name,
        )
        for each in reach.resources
    )
    return or_(table.c.team.in_(reach.teams), *single)


def list_endpoint_runs(
    connection: Connection,
    team: str,
    endpoint: str,
    *,
    active: bool = False,
    limit: int = 20,
) -> list[StoredRun]:
    """Return the newest `limit` runs of a team's endpoint, newest first; all if they are `active`.

    Another team may have had an endpoint of that name before; its runs are none of these.
    """
    table = tables.run
    query = select(table).where(
        table.c.kind.in_(SERVED_KINDS),
        table.c.team == team,
        table.c.name == endpoint,
        table.c.deleted_at.is_(None),
    )
    query = query.where(table.c.phase.in_(ACTIVE)) if active else query.limit(limit)
    rows = connection.execute(query.order_by(table.c.created_at.desc()))
    return [run_of(row) for row in rows]


def list_active_deployments(connection: Connection) -> list[ActiveDeployment]:
    """Return every deployment that has not ended, newest first."""
    table = tables.run
    query = (
        select(
            table.c.id,
            table.c.team,
            table.c.name.label("endpoint"),
            func.coalesce(table.c.deployment, MAIN).label("deployment"),
            table.c.phase,
            func.coalesce(table.c.workload["replicas"].as_integer(), 1).label("replicas"),
        )
        .where(
            table.c.kind.in_(SERVED_KINDS), table.c.deleted_at.is_(None), table.c.phase.in_(ACTIVE)
        )
        .order_by(table.c.created_at.desc(), table.c.id)
    )
    return [ActiveDeployment(**row._mapping) for row in connection.execute(query)]


def want_stop(connection: Connection, run_id: str, now: datetime) -> None:
    """Change the intent to `stop`; the reconciler does the rest."""
    connection.execute(
        update(tables.run)
        .where(tables.run.c.id == run_id, tables.run.c.phase.not_in(FINAL))
        .values(desired="stop", due_at=due_now(connection, tables.run, now))
    )


def rename_deployment(connection: Connection, run_id: str, name: str) -> None:
    """Note that the endpoint's file calls a deployment by another name now."""
    connection.execute(update(tables.run).where(tables.run.c.id == run_id).values(deployment=name))


def change_of(run: StoredRun, phase: Phase, reason: str, message: str) -> dict[str, Any]:
    """Return the columns that take the run to `phase`; an illegal transition is our own bug."""
    if not may_become(run.phase, phase):
        raise AssertionError(f"run {run.id} may not go from {run.phase} to {phase}")
    return {"phase": phase.value, "reason": reason, "message": clipped(message)}


def note_change(
    connection: Connection, run: StoredRun, changes: Mapping[str, Any], now: datetime
) -> None:
    """Write an event when `changes` gives the run another phase or reason."""
    phase, reason = changes.get("phase", run.phase), changes.get("reason", run.reason)
    if (phase, reason) != (run.phase.value, run.reason):
        event = Event(at=now, phase=phase, reason=reason, message=changes.get("message", ""))
        add_event(connection, f"run/{run.id}", event)


def add_attempt(connection: Connection, attempt: Attempt) -> None:
    """Write the intent to start: before the engine is called, so that none is lost."""
    connection.execute(insert(tables.attempt).values(**attempt.model_dump()))


def list_attempts(connection: Connection, run_ids: Sequence[str]) -> list[Attempt]:
    """Return the attempts of these runs by run, replica and number."""
    table = tables.attempt
    rows = connection.execute(
        select(table)
        .where(table.c.run.in_(run_ids))
        .order_by(table.c.run, table.c.replica, table.c.number)
    )
    return [Attempt(**row._mapping) for row in rows]


def list_newest_attempts(
    connection: Connection, run_id: str, *, replicas: int, newest: int
) -> list[Attempt]:
    """Return the `newest` attempts of each replica of a run by replica and number."""
    table = tables.attempt
    found = []
    # One short search each: a server that crashes for days has thousands of attempts.
    for replica in range(replicas):
        query = (
            select(table)
            .where(table.c.run == run_id, table.c.replica == replica)
            .order_by(table.c.number.desc())
            .limit(newest)
        )
        found += [Attempt(**row._mapping) for row in reversed(connection.execute(query).all())]
    return found


def list_unmetered(connection: Connection) -> list[Attempt]:
    """Return the attempts that ran and whose usage is not wholly in the ledger."""
    table = tables.attempt
    rows = connection.execute(
        select(table)
        .where(table.c.started_at.is_not(None), table.c.metered.is_(False))
        .order_by(table.c.run, table.c.replica, table.c.number)
    )
    return [Attempt(**row._mapping) for row in rows]


def list_started(connection: Connection) -> list[Attempt]:
    """Return every attempt that ran, also those of deleted runs that are kept for traces."""
    table = tables.attempt
    rows = connection.execute(
        select(table)
        .where(table.c.started_at.is_not(None))
        .order_by(table.c.run, table.c.replica, table.c.number)
    )
    return [Attempt(**row._mapping) for row in rows]


def note_metered(connection: Connection, attempt: Attempt) -> None:
    """Remember that the whole usage of an attempt stands in the ledger."""
    connection.execute(update(tables.attempt).where(*_is_attempt(attempt)).values(metered=True))


def note_observed(
    connection: Connection, attempt: Attempt, seen: Observation, at: datetime
) -> None:
    """Write what the engine saw of an attempt, and when; what was seen of its end stays."""
    table = tables.attempt
    connection.execute(
        update(table)
        .where(*_is_attempt(attempt), table.c.phase.not_in(FINAL))
        .values(
            phase=seen.phase.value,
            started_at=seen.started_at,
            ended_at=seen.ended_at,
            exit_code=seen.exit_code,
            reason=None if seen.reason is None else clipped(seen.reason),
            isolation=seen.isolation,
            workers=seen.workers,
            seen_at=at,
        )
    )


def find_attempt_at(
    connection: Connection, run_id: str, replica: int, at: datetime
) -> Attempt | None:
    """Return the attempt of a replica that ran at a time: the newest that had started then."""
    table = tables.attempt
    # What was started and not seen since has no `started_at` yet; what never was, has ended.
    started_at = func.coalesce(table.c.started_at, table.c.created_at)
    row = connection.execute(
        select(table)
        .where(table.c.run == run_id, table.c.replica == replica, started_at <= at)
        .where(or_(table.c.started_at.is_not(None), table.c.phase.not_in(FINAL)))
        .order_by(table.c.number.desc())
        .limit(1)
    ).one_or_none()
    return Attempt(**row._mapping) if row else None


def delete_run(connection: Connection, run_id: str, now: datetime) -> None:
    """Hide an ended run from all but traces, and forget its events. See `purge_runs`."""
    connection.execute(
        update(tables.run)
        .where(tables.run.c.id == run_id, tables.run.c.deleted_at.is_(None))
        .values(deleted_at=now, due_at=None)
    )
    delete_events(connection, f"run/{run_id}")


def any_deleted(connection: Connection, before: datetime) -> bool:
    """Tell whether there is a run that was deleted before then."""
    query = select(tables.run.c.id).where(tables.run.c.deleted_at < before).limit(1)
    return connection.execute(query).first() is not None


def purge_runs(connection: Connection, before: datetime, limit: int) -> int:
    """Remove up to `limit` runs that were deleted before then, with their attempts; return how
    many. Their usage stays in the ledger.
    """
    run, attempt = tables.run, tables.attempt
    query = select(run.c.id).where(run.c.deleted_at < before).order_by(run.c.deleted_at)
    ids = connection.execute(query.limit(limit)).scalars().all()
    connection.execute(delete(attempt).where(attempt.c.run.in_(ids)))
    connection.execute(delete(run).where(run.c.id.in_(ids)))
    return len(ids)


def _is_attempt(attempt: Attempt) -> tuple[Any, ...]:
    table = tables.attempt
    return (
        table.c.run == attempt.run,
        table.c.replica == attempt.replica,
        table.c.number == attempt.number,
    )


def run_of(row: Row[Any]) -> StoredRun:
    """Return the run that a row of its table holds."""
    fields = {name: row._mapping[name] for name in StoredRun.model_fields}
    fields["workload"] = WORKLOAD.validate_python(fields["workload"], context=STORED)
    if fields["workload"].kind in SERVED_KINDS:
        # Endpoints of an earlier version had one deployment, without a name.
        fields["deployment"] = fields["deployment"] or MAIN
    return StoredRun(**fields)
