"""Batches: submit one, see how far it is, fetch what it wrote."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fastapi import APIRouter
from fastapi.responses import StreamingResponse
from sqlalchemy import Connection

from plinth.api.caller import Caller, CallerDep, ContextDep, needs, no_team, require_team
from plinth.api.runs import describe
from plinth.control.batches.batch_view import FOLDERS, describe_batch, list_files
from plinth.control.batches.preparation import work_folder
from plinth.control.batches.publication import MANIFEST, PART_NAME
from plinth.control.batches.run_folder import open_inside
from plinth.control.batches.service import submit_batch
from plinth.control.context import Context
from plinth.control.lineage import find_lineage
from plinth.control.planning import plan_or_refuse
from plinth.domain.access import Action, Resource
from plinth.domain.batch import BatchInference
from plinth.domain.workload_fields import parse_model
from plinth.kit.errors import NotFound
from plinth.kit.excerpt import excerpt
from plinth.store.runs import StoredRun, find_run, no_run

router = APIRouter(tags=["batches"])

_PIECE_BYTES = 1 << 18


@router.post("/batches", status_code=201, **needs(Action.WRITE, "batch"))
def submit(batch: BatchInference, context: ContextDep, caller: CallerDep) -> dict[str, Any]:
    """Plan a batch, resolve its model, and write the intent to run it."""
    team = batch.team or caller.actor.principal.team
    batch = batch.model_copy(update={"team": team})
    caller.require(Action.WRITE, Resource(kind="batch", team=team), absent=no_team(team))
    require_team(context, team)
    plan = plan_or_refuse(context, batch)
    model = context.tracking.resolve_model(team, parse_model(batch.model))
    lineage = find_lineage(context, batch.model, model)
    with context.database.write() as connection:
        run = submit_batch(
            connection, context, caller.actor, batch, plan=plan, model=model, lineage=lineage
        )
        workload = f"batch/{batch.name}"
        caller.note(connection, "run", f"run/{run.id}", team=team, workload=workload)
        answer = describe(connection, caller, run)
    context.hint()
    return answer


@router.get("/batches/{run_id}", **needs(Action.READ, "batch"))
def get(run_id: str, context: ContextDep, caller: CallerDep) -> dict[str, Any]:
    """Show a batch with its run: how far it is, how its model runs, what became of it."""
    with context.database.read() as connection:
        run = _find(connection, caller, run_id)
        shown = describe(connection, caller, run)
        return {**shown, "batch": describe_batch(connection, context, run)}


@router.get("/batches/{run_id}/files", **needs(Action.READ, "batch"))
def files(run_id: str, context: ContextDep, caller: CallerDep) -> dict[str, Any]:
    """List the files that a batch has finished so far."""
    run = _found(context, caller, run_id)
    return {"phase": run.phase.value, "files": list_files(context, run)}


@router.get("/batches/{run_id}/files/{name:path}", **needs(Action.READ, "batch"))
def file(run_id: str, name: str, context: ContextDep, caller: CallerDep) -> StreamingResponse:
    """Return one file of a batch."""
    run = _found(context, caller, run_id)
    folder, _, part = name.rpartition("/")
    is_part = folder in FOLDERS and PART_NAME.fullmatch(part) is not None
    if not is_part and name != MANIFEST:
        raise NotFound(f"a batch has no file `{excerpt(name)}`")
    opened = open_inside(work_folder(context, run.id), *name.split("/"))
    stream = opened.__enter__()

    def pieces() -> Iterator[bytes]:
        try:
            while piece := stream.read(_PIECE_BYTES):
                yield piece
        finally:
            opened.__exit__(None, None, None)

    return StreamingResponse(pieces(), media_type="application/octet-stream")


def _found(context: Context, caller: Caller, run_id: str) -> StoredRun:
    with context.database.read() as connection:
        return _find(connection, caller, run_id)


def _find(connection: Connection, caller: Caller, run_id: str) -> StoredRun:
    run = find_run(connection, run_id)
    resource = Resource(kind="batch", team=run.team, name=run.workload.name)
    caller.require(Action.READ, resource, absent=no_run(run_id))
    if not isinstance(run.workload, BatchInference):
        raise NotFound(f"run `{excerpt(run_id)}` is no batch", hint="`plinth get` shows any run")
    return run
