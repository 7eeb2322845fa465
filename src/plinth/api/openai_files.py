"""Files of OpenAI's API: what batches read, and what they gave. `/v1/files` at the gateway."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Literal

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import StreamingResponse

from plinth.api.caller import (
    Caller,
    CallerDep,
    ContextDep,
    UploadsDep,
    needs,
    no_team,
    require_again,
    require_team,
)
from plinth.api.multipart import Form, copy_file, read_form
from plinth.control.context import Context
from plinth.control.openai_batches.limits import MOST_FILE_BYTES, Expiry
from plinth.control.openai_batches.preparation import file_key
from plinth.control.openai_batches.service import (
    BATCH_PURPOSE,
    NewFile,
    keep_file,
    new_file_id,
    remove_bytes,
    remove_file,
    require_room,
)
from plinth.domain.access import Action, Resource
from plinth.kit.errors import Invalid, TooLarge
from plinth.kit.excerpt import excerpt
from plinth.kit.units import format_bytes
from plinth.store.openai_files import StoredFile, find_file, list_files, no_file

router = APIRouter(tags=["files"])

# What OpenAI's clients send as `project`: here the team, if it is not the key's own.
Project = Annotated[str | None, Header(alias="openai-project")]

# What stands around a file in a form.
_FORM_BYTES = 65_536
_PURPOSES = (BATCH_PURPOSE, "user_data", "evals")
_PIECE_BYTES = 262_144
_EXPIRY = "expires_after"


@router.post("/openai/files", **needs(Action.WRITE, "file"))
async def create(
    request: Request,
    context: ContextDep,
    caller: CallerDep,
    uploads: UploadsDep,
    *,
    project: Project = None,
) -> dict[str, Any]:
    """Keep a file for a team, the caller's own if none is named.

    The form has `purpose` and `file`.
    """
    team = project or caller.actor.principal.team
    caller.require(Action.WRITE, _resource(team), absent=no_team(team))
    await asyncio.to_thread(require_team, context, team)
    async with uploads.receive(request, most_bytes=MOST_FILE_BYTES + _FORM_BYTES) as upload:
        return await asyncio.to_thread(_store, request, context, team, upload.path)


@router.get("/openai/files", **needs(Action.READ, "file"))
def list_all(
    context: ContextDep,
    caller: CallerDep,
    *,
    project: Project = None,
    purpose: str | None = None,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 10_000,
    order: Literal["asc", "desc"] = "desc",
    after: str | None = None,
) -> dict[str, Any]:
    """List the files of a team, the caller's own if none is named."""
    team, now = project or caller.actor.principal.team, context.clock.now()
    caller.require(Action.READ, _resource(team), absent=no_team(team))
    with context.database.read() as connection:
        behind = None
        if after is not None:
            behind = find_file(connection, after, now)
            if behind is None or behind.team != team:
                raise no_file(after)
        found = list_files(
            connection,
            team,
            now,
            limit=limit + 1,
            after=behind,
            purpose=purpose,
            newest_first=order == "desc",
        )
    shown = [_shown(file) for file in found[:limit]]
    return {
        "object": "list",
        "data": shown,
        "first_id": shown[0]["id"] if shown else None,
        "last_id": shown[-1]["id"] if shown else None,
        "has_more": len(found) > limit,
    }


@router.get("/openai/files/{file_id}", **needs(Action.READ, "file"))
def get(file_id: str, context: ContextDep, caller: CallerDep) -> dict[str, Any]:
    """Show a file."""
    return _shown(readable_file(context, caller, file_id, Action.READ))


@router.get("/openai/files/{file_id}/content", **needs(Action.READ, "file"))
def content(file_id: str, context: ContextDep, caller: CallerDep) -> StreamingResponse:
    """Give what is in a file."""
    file = readable_file(context, caller, file_id, Action.READ)
    stream = context.storage.open(file_key(file.team, file.id))
    headers = {"content-length": str(file.size_bytes), "x-content-type-options": "nosniff"}
    return StreamingResponse(
        _pieces(stream), media_type="application/octet-stream", headers=headers
    )


@router.delete("/openai/files/{file_id}", **needs(Action.WRITE, "file"))
def delete(file_id: str, context: ContextDep, caller: CallerDep) -> dict[str, Any]:
    """Delete a file that no batch reads any more."""
    file = readable_file(context, caller, file_id, Action.WRITE)
    with context.database.write() as connection:
        remove_file(connection, file)
        caller.note(connection, "delete", f"file/{file.id}", team=file.team)
    remove_bytes(context, file)
    return {"id": file.id, "object": "file", "deleted": True}


def readable_file(context: Context, caller: Caller, file_id: str, action: Action) -> StoredFile:
    """Return a file that the caller may do this to. Raises NotFound, also when it is hidden."""
    absent = no_file(file_id)
    with context.database.read() as connection:
        file = find_file(connection, file_id, context.clock.now())
    if file is None:
        raise absent
    caller.require(action, _resource(file.team, file.id), absent=absent)
    return file


def _store(request: Request, context: Context, team: str, received: Path) -> dict[str, Any]:
    form = read_form(received, request.headers.get("content-type", ""))
    purpose, expiry = form.fields.get("purpose"), _expiry(form)
    sent = form.files.get("file")
    if sent is None:
        raise Invalid("the form has no `file`", hint="send it as a part with a `filename`")
    if purpose not in _PURPOSES:
        raise Invalid(
            f"`purpose` is `{excerpt(str(purpose))}`; {', '.join(_PURPOSES)} are accepted"
        )
    size = sent.end - sent.start
    if size > MOST_FILE_BYTES:
        raise TooLarge(
            f"the file has {format_bytes(size)}; {format_bytes(MOST_FILE_BYTES)} is the most"
        )
    caller = require_again(request, context, Action.WRITE, _resource(team), absent=no_team(team))
    with context.database.read() as connection:
        require_room(connection, team, size)
    file_id = new_file_id()
    with tempfile.NamedTemporaryFile(dir=received.parent) as copy:
        digest = copy_file(received, sent, Path(copy.name))
        context.storage.put_file(Path(copy.name), file_key(team, file_id))
    new = NewFile(
        id=file_id,
        team=team,
        purpose=str(purpose),
        name=sent.name,
        size_bytes=size,
        digest=digest,
        expiry_s=expiry,
    )
    with context.database.write() as connection:
        file = keep_file(connection, context, caller.actor, new)
        caller.note(connection, "add", f"file/{file.id}", team=team, digest=digest)
    return _shown(file)


def _expiry(form: Form) -> int | None:
    """Return `expires_after`, as the clients spell it in a form: `expires_after[seconds]`."""
    said = {
        name.removeprefix(f"{_EXPIRY}[").removesuffix("]"): value
        for name, value in form.fields.items()
        if name.startswith(f"{_EXPIRY}[")
    }
    if not said:
        return None
    try:
        expiry = Expiry(anchor=said.get("anchor", ""), seconds=int(said.get("seconds", "")))
    except ValueError as err:
        raise Invalid(f"`{_EXPIRY}[seconds]` is no whole number") from err
    return expiry.checked(_EXPIRY)


def _resource(team: str, name: str | None = None) -> Resource:
    return Resource(kind="file", team=team, name=name)


def _pieces(stream: BinaryIO) -> Iterator[bytes]:
    with stream:
        while piece := stream.read(_PIECE_BYTES):
            yield piece


def _shown(file: StoredFile) -> dict[str, Any]:
    expires_at = None if file.expires_at is None else int(file.expires_at.timestamp())
    return {
        "id": file.id,
        "object": "file",
        "bytes": file.size_bytes,
        "created_at": int(file.created_at.timestamp()),
        "filename": file.name,
        "purpose": file.purpose,
        "status": "processed",
        **({} if expires_at is None else {"expires_at": expires_at}),
    }
