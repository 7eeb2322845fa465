"""Runs: submit a job, look at runs, stop and delete them, read what they print."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from sqlalchemy import Connection

from plinth.api.caller import (
    Caller,
    CallerDep,
    ContextDep,
    needs,
    no_team,
    require_team,
)
from plinth.control.lineage import resource_of
from plinth.control.planning import plan_or_refuse
from plinth.control.runs.service import (
    forget_files,
    removable,
    remove_run,
    stop_run,
    submit_job,
)
from plinth.domain.access import Action, Resource
from plinth.domain.base import Declared
from plinth.domain.model import CodeOrigin
from plinth.domain.workload import Job
from plinth.kit.errors import NotFound
from plinth.kit.excerpt import excerpt
from plinth.store.events import list_events
from plinth.store.runs import (
    StoredRun,
    find_run,
    list_attempts,
    list_newest_attempts,
    list_runs,
    no_run,
)

router = APIRouter(tags=["runs"])

MOST_LOG_BYTES = 1_000_000
_MOST_ATTEMPTS = 20


class Submission(Declared):
    """A job to run. `code_digest`: the SHA-256 of the snapshot that was uploaded before.

    `code`: where that came from; the difference that it names was uploaded before, too.
    """

    workload: Job
    code_digest: str | None = None
    code: CodeOrigin | None = None


@router.post("/runs", status_code=201, **needs(Action.WRITE, "run"))
def submit(submission: Submission, context: ContextDep, caller: CallerDep) -> dict[str, Any]:
    """Plan a job, and write the intent to run it."""
    team = submission.workload.team or caller.actor.principal.team
    job = submission.workload.model_copy(update={"team": team})
    caller.require(Action.WRITE, Resource(kind="run", team=team), absent=no_team(team))
    require_team(context, team)
    plan = plan_or_refuse(context, job)
    with context.database.write() as connection:
        run = submit_job(
            connection,
            context,
            caller.actor,
            job,
            plan=plan,
            code_digest=submission.code_digest,
            code=submission.code,
        )
        caller.note(
            connection,
            "run",
            f"run/{run.id}",
            team=team,
            workload=f"job/{job.name}",
            code=submission.code_digest,
        )
        answer = describe(connection, caller, run)
    context.hint()
    return answer


@router.get("/runs", **needs(Action.READ, "run"))
def list_all(
    context: ContextDep,
    caller: CallerDep,
    *,
    kind: str | None = None,
    active: bool = False,
    ends: bool = False,
    name: Annotated[str | None, Query(max_length=100)] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> list[dict[str, Any]]:
    """List the runs that the caller may see, newest first; `ends`: of jobs and their like only."""
    with context.database.read() as connection:
        runs = list_runs(
            connection,
            kind=kind,
            active=active,
            ends=ends,
            name=name,
            reach=caller.reach,
            limit=limit,
        )
    return [summary(run) for run in runs if caller.may(Action.READ, resource_of(run))]


@router.get("/runs/{run_id}", **needs(Action.READ, "run"))
def get(run_id: str, context: ContextDep, caller: CallerDep) -> dict[str, Any]:
    """Show a run with its plan, its attempts and what happened to it."""
    with context.database.read() as connection:
        run = _find(connection, caller, run_id, Action.READ)
        return describe(connection, caller, run)


@router.post("/runs/{run_id}/stop", **needs(Action.STOP, "run"))
def stop(run_id: str, context: ContextDep, caller: CallerDep) -> dict[str, Any]:
    """Ask a run to stop; nothing happens when it has ended."""
    with context.database.write() as connection:
        run = _find(connection, caller, run_id, Action.STOP)
        if run.desired != "stop" and not run.phase.is_final:
            caller.note(connection, "stop", f"run/{run.id}", team=run.team, workload=_workload(run))
        run = stop_run(connection, context, run)
        answer = describe(connection, caller, run)
    context.hint()
    return answer


@router.delete("/runs/{run_id}", **needs(Action.DELETE, "run"))
def delete(run_id: str, context: ContextDep, caller: CallerDep) -> dict[str, Any]:
    """Delete a run that has ended: its row, its files and its output. Its usage stays."""
    with context.database.read() as connection:
        run = _find(connection, caller, run_id, Action.DELETE)
        attempts = removable(connection, run)
    # Whoever is killed in between leaves the row, and the next call does the rest.
    forget_files(context, run.id, attempts)
    with context.database.write() as connection:
        run = _find(connection, caller, run_id, Action.DELETE)
        remove_run(connection, context, run)
        caller.note(connection, "delete", f"run/{run_id}", team=run.team, workload=_workload(run))
    return {"deleted": run.id}


@router.get("/runs/{run_id}/logs", **needs(Action.READ, "run"))
def logs(
    run_id: str,
    context: ContextDep,
    caller: CallerDep,
    *,
    offset: Annotated[int, Query(ge=-MOST_LOG_BYTES)] = 0,
    limit: Annotated[int, Query(ge=1, le=MOST_LOG_BYTES)] = MOST_LOG_BYTES,
    replica: Annotated[int, Query(ge=0)] = 0,
    attempt: Annotated[int | None, Query(ge=1)] = None,
) -> Response:
    """Return what an attempt (the newest if none is given) printed, from byte `offset`.

    Below 0 it counts from the end, and the first line is a whole one. The header
    `x-plinth-next-offset` says where to go on, `x-plinth-attempt` of which attempt it is,
    `x-plinth-attempts` which is the newest, `x-plinth-phase` how the run stands.
    """
    with context.database.read() as connection:
        run = _find(connection, caller, run_id, Action.READ)
        require_output(caller, run)
        attempts = [a for a in list_attempts(connection, [run.id]) if a.replica == replica]
    chosen = [a for a in attempts if attempt is None or a.number == attempt]
    if attempt is not None and not chosen:
        raise NotFound(f"replica {replica} of run `{run_id}` has no attempt {attempt}")
    content, following = b"", max(0, offset)
    if chosen:
        content, following = context.engine.logs(chosen[-1].handle, offset, limit)
    headers = {
        "x-plinth-next-offset": str(following),
        "x-plinth-phase": run.phase.value,
        "x-plinth-attempt": str(chosen[-1].number if chosen else 0),
        "x-plinth-attempts": str(attempts[-1].number if attempts else 0),
    }
    return Response(content, media_type="text/plain; charset=utf-8", headers=headers)


def summary(run: StoredRun) -> dict[str, Any]:
    """Return a run as lists show it."""
    fields = {"id", "team", "phase", "reason", "message", "created_by", "created_at"}
    fields |= {"started_at", "ended_at", "exit_code", "tracking_run", "desired"}
    shown = run.model_dump(mode="json", include=fields)
    return {**shown, "kind": run.workload.kind, "name": run.workload.name}


def describe(connection: Connection, caller: Caller, run: StoredRun) -> dict[str, Any]:
    """Return a run with all that belongs to it; of each replica the newest attempts."""
    replicas = run.workload.instances
    attempts = list_newest_attempts(connection, run.id, replicas=replicas, newest=_MOST_ATTEMPTS)
    shown = {"replica", "number", "phase", "started_at", "ended_at"}
    shown |= {"exit_code", "reason", "isolation"}
    came_from = run.lineage.data if run.lineage else {}
    return {
        **summary(run),
        "workload": run.workload.model_dump(mode="json"),
        "model": run.model.model_dump(mode="json") if run.model else None,
        # As whom its requests stand in usage and bill.
        "principal": run.principal,
        "code_digest": run.code_digest,
        "code": run.code.model_dump(mode="json") if run.code else None,
        **run.model_dump(
            mode="json",
            include={"data", "lineage"},
            exclude={
                "data": caller.hidden_of(run.data),
                "lineage": {"data": caller.hidden_of(came_from)},
            },
        ),
        "plan": run.plan.model_dump(mode="json"),
        "attempts": [attempt.model_dump(mode="json", include=shown) for attempt in attempts],
        "events": [e.model_dump(mode="json") for e in list_events(connection, f"run/{run.id}")],
    }


def require_output(caller: Caller, run: StoredRun) -> None:
    """Return if the caller may read what the run prints. Raises NotFound.

    A flow may print what others asked, which who may only call it need not see; so do its traces
    have a kind of their own.
    """
    asked = Resource(kind=run.workload.kind, team=run.team, name=run.workload.name)
    caller.require(Action.READ, asked, absent=no_output(run.id))


def no_output(run_id: str) -> NotFound:
    """Return the error for output that the caller may not read."""
    return NotFound(
        f"what run `{excerpt(run_id)}` prints is for members of its team",
        hint="an operator of the team can grant the role `viewer` on it",
    )


def _workload(run: StoredRun) -> str:
    return f"{run.workload.kind}/{run.workload.name}"


def _find(connection: Connection, caller: Caller, run_id: str, action: Action) -> StoredRun:
    run = find_run(connection, run_id)
    caller.require(action, resource_of(run), absent=no_run(run_id))
    return run
