"""Batches of OpenAI's API: many requests that are sent when there is room. `/v1/batches`."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query

from plinth.api.caller import Caller, CallerDep, ContextDep, needs, no_team
from plinth.api.openai_files import Project, readable_file
from plinth.control.context import Context
from plinth.control.openai_batches.service import NewBatch, cancel_batch, create_batch
from plinth.domain.access import Action, Resource
from plinth.store.openai_batches import StoredBatch, find_batch, list_batches, no_batch

router = APIRouter(tags=["batches"])

KIND = "requests"
# When it came into a status, as the API names the time.
_TIMES = (
    *("in_progress", "finalizing", "completed", "failed"),
    *("expired", "cancelling", "cancelled"),
)


@router.post("/openai/batches", **needs(Action.WRITE, KIND))
def create(asked: NewBatch, context: ContextDep, caller: CallerDep) -> dict[str, Any]:
    """Have the requests of a file sent; its lines are checked right after."""
    file = readable_file(context, caller, asked.input_file_id, Action.READ)
    caller.require(Action.WRITE, Resource(kind=KIND, team=file.team), absent=no_team(file.team))
    with context.database.write() as connection:
        batch = create_batch(connection, context, caller.actor, asked, file)
        caller.note(connection, "run", f"batch/{batch.id}", team=batch.team, file=file.id)
    context.hint()
    return _shown(batch)


@router.get("/openai/batches", **needs(Action.READ, KIND))
def list_all(
    context: ContextDep,
    caller: CallerDep,
    *,
    project: Project = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    after: str | None = None,
) -> dict[str, Any]:
    """List the batches of a team, the caller's own if none is named, newest first."""
    team = project or caller.actor.principal.team
    caller.require(Action.READ, Resource(kind=KIND, team=team), absent=no_team(team))
    with context.database.read() as connection:
        behind = None
        if after is not None:
            behind = find_batch(connection, after)
            if behind is None or behind.team != team:
                raise no_batch(after)
        found = list_batches(connection, team, limit=limit + 1, after=behind)
    shown = [_shown(batch) for batch in found[:limit]]
    return {
        "object": "list",
        "data": shown,
        "first_id": shown[0]["id"] if shown else None,
        "last_id": shown[-1]["id"] if shown else None,
        "has_more": len(found) > limit,
    }


@router.get("/openai/batches/{batch_id}", **needs(Action.READ, KIND))
def get(batch_id: str, context: ContextDep, caller: CallerDep) -> dict[str, Any]:
    """Show a batch."""
    return _shown(_find(context, caller, batch_id, Action.READ))


@router.post("/openai/batches/{batch_id}/cancel", **needs(Action.STOP, KIND))
def cancel(batch_id: str, context: ContextDep, caller: CallerDep) -> dict[str, Any]:
    """Send nothing more of a batch; what was answered until then is kept."""
    _find(context, caller, batch_id, Action.STOP)
    with context.database.write() as connection:
        # As it stands now: it may have ended since.
        found = find_batch(connection, batch_id)
        if found is None:
            raise no_batch(batch_id)
        batch = cancel_batch(connection, context, found)
        if batch.status != found.status:
            caller.note(connection, "stop", f"batch/{batch.id}", team=batch.team)
    context.hint()
    return _shown(batch)


def _find(context: Context, caller: Caller, batch_id: str, action: Action) -> StoredBatch:
    absent = no_batch(batch_id)
    with context.database.read() as connection:
        batch = find_batch(connection, batch_id)
    if batch is None:
        raise absent
    resource = Resource(kind=KIND, team=batch.team, name=batch.id.replace("_", "-"))
    caller.require(action, resource, absent=absent)
    return batch


def _shown(batch: StoredBatch) -> dict[str, Any]:
    """Return a batch in OpenAI's shape; its files when they are there."""
    has_files = batch.has_ended
    errors = {"object": "list", "data": batch.errors} if batch.errors else None
    counts = {"total": batch.total, "completed": batch.completed, "failed": batch.failed}
    return {
        "id": batch.id,
        "object": "batch",
        "endpoint": batch.endpoint,
        "model": batch.model,
        "errors": errors,
        "input_file_id": batch.input_file,
        "completion_window": batch.window,
        "status": batch.status,
        "output_file_id": batch.output_file if has_files else None,
        "error_file_id": batch.error_file if has_files else None,
        "created_at": int(batch.created_at.timestamp()),
        "expires_at": int(batch.expires_at.timestamp()),
        **{f"{status}_at": batch.times.get(status) for status in _TIMES},
        "request_counts": counts,
        "usage": batch.usage,
        "metadata": batch.metadata,
    }
