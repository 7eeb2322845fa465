"""Uncommitted differences of code: uploaded before a job is submitted, and kept for traces."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, BinaryIO

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse

from plinth.api.caller import (
    Caller,
    CallerDep,
    ContextDep,
    UploadsDep,
    needs,
    no_team,
    require_team,
)
from plinth.api.uploads import Upload
from plinth.control.context import Context
from plinth.control.preparation import diff_key
from plinth.domain.access import Action, Resource
from plinth.kit.errors import Invalid, NotFound

router = APIRouter(tags=["runs"])

# A little more than the client sends.
MOST_DIFF_BYTES = 21_000_000
_PIECE_BYTES = 262_144


@router.put("/diffs/{digest}", **needs(Action.WRITE, "run"))
async def put(
    digest: str,
    request: Request,
    context: ContextDep,
    caller: CallerDep,
    uploads: UploadsDep,
    *,
    team: str,
) -> dict[str, Any]:
    """Upload what `git diff` said under its own SHA-256; a second time changes nothing.

    Each team has its own, as with code.
    """
    caller.require(Action.WRITE, Resource(kind="run", team=team), absent=no_team(team))
    if await asyncio.to_thread(_has_diff, context, team, digest):
        return {"digest": digest, "uploaded": False}
    async with uploads.receive(request, most_bytes=MOST_DIFF_BYTES) as upload:
        if upload.digest != digest:
            raise Invalid(
                f"the bytes have the digest {upload.digest}, the address says {digest}",
                hint="upload the difference again",
            )
        await asyncio.to_thread(_keep, context, caller, team, upload)
    return {"digest": digest, "uploaded": True}


@router.get("/diffs/{digest}", **needs(Action.READ, "run"))
def get(digest: str, context: ContextDep, caller: CallerDep, *, team: str) -> StreamingResponse:
    """Return a difference as it was uploaded, for `git apply`."""
    absent = NotFound(
        f"team `{team}` has no difference `{digest}`",
        hint="`plinth get RUN` shows the digest of a run's",
    )
    caller.require(Action.READ, Resource(kind="run", team=team), absent=absent)
    try:
        stream = context.storage.open(diff_key(team, digest))
    except (NotFound, Invalid) as err:
        raise absent from err
    # It is somebody's text, whatever a browser would make of it.
    headers = {"x-content-type-options": "nosniff"}
    return StreamingResponse(_pieces(stream), media_type="text/plain", headers=headers)


def _keep(context: Context, caller: Caller, team: str, upload: Upload) -> None:
    context.storage.put_file(upload.path, diff_key(team, upload.digest))
    with context.database.write() as connection:
        caller.note(connection, "upload", f"diff/{upload.digest}", team=team)


def _pieces(stream: BinaryIO) -> Iterator[bytes]:
    with stream:
        while piece := stream.read(_PIECE_BYTES):
            yield piece


def _has_diff(context: Context, team: str, digest: str) -> bool:
    """Tell whether it was uploaded. Raises NotFound for a team that is absent."""
    require_team(context, team)
    return context.storage.exists(diff_key(team, digest))
