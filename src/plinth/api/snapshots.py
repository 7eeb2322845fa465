"""What a job's code was: snapshots and uncommitted differences, uploaded before it is submitted.

Each stands under its own SHA-256, for each team by itself: a digest that another team uploaded
opens nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
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
    require_again,
    require_team,
)
from plinth.api.uploads import Upload, Uploads
from plinth.control.context import Context
from plinth.control.preparation import code_key, diff_key
from plinth.domain.access import Action, Resource
from plinth.kit.errors import Invalid, NotFound
from plinth.kit.excerpt import excerpt

router = APIRouter(tags=["runs"])

MOST_CODE_BYTES = 60_000_000
# A little more than the client sends.
MOST_DIFF_BYTES = 21_000_000
_PIECE_BYTES = 262_144


@dataclass(frozen=True, slots=True)
class _Place:
    """Where what a team uploads under a digest is kept, and as what it is noted."""

    kind: str
    key: Callable[[str, str], str]
    team: str
    digest: str

    @property
    def stored_at(self) -> str:
        return self.key(self.team, self.digest)

    @property
    def resource(self) -> Resource:
        """What whoever uploads it must be allowed to write."""
        return Resource(kind="run", team=self.team)


@router.put("/code/{digest}", **needs(Action.WRITE, "run"))
async def put_code(
    digest: str,
    request: Request,
    context: ContextDep,
    caller: CallerDep,
    uploads: UploadsDep,
    *,
    team: str,
) -> dict[str, Any]:
    """Upload a team's code snapshot (tar.gz) under its own SHA-256; a second time changes nothing.

    Each team has its own: a digest that another team uploaded opens nothing.
    """
    place = _Place("code", code_key, team, digest)
    return await _put(place, request, context, caller, uploads, most_bytes=MOST_CODE_BYTES)


@router.put("/diffs/{digest}", **needs(Action.WRITE, "run"))
async def put_diff(
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
    place = _Place("diff", diff_key, team, digest)
    return await _put(place, request, context, caller, uploads, most_bytes=MOST_DIFF_BYTES)


@router.get("/diffs/{digest}", **needs(Action.READ, "run"))
def get_diff(
    digest: str, context: ContextDep, caller: CallerDep, *, team: str
) -> StreamingResponse:
    """Return a difference as it was uploaded, for `git apply`."""
    absent = NotFound(
        f"team `{excerpt(team)}` has no difference `{excerpt(digest)}`",
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


async def _put(
    place: _Place,
    request: Request,
    context: Context,
    caller: Caller,
    uploads: Uploads,
    *,
    most_bytes: int,
) -> dict[str, Any]:
    caller.require(Action.WRITE, place.resource, absent=no_team(place.team))
    if await asyncio.to_thread(_is_there, context, place):
        return {"digest": place.digest, "uploaded": False}
    async with uploads.receive(request, most_bytes=most_bytes) as upload:
        if upload.digest != place.digest:
            raise Invalid(
                f"the bytes have the digest {upload.digest}, the address says "
                f"`{excerpt(place.digest)}`",
                hint="upload them again",
            )
        await asyncio.to_thread(_keep, request, context, place, upload)
    return {"digest": place.digest, "uploaded": True}


def _is_there(context: Context, place: _Place) -> bool:
    """Tell whether it was uploaded. Raises NotFound for a team that is absent."""
    require_team(context, place.team)
    return context.storage.exists(place.stored_at)


def _keep(request: Request, context: Context, place: _Place, upload: Upload) -> None:
    absent = no_team(place.team)
    caller = require_again(request, context, Action.WRITE, place.resource, absent=absent)
    context.storage.put_file(upload.path, place.stored_at)
    with context.database.write() as connection:
        caller.note(connection, "upload", f"{place.kind}/{place.digest}", team=place.team)


def _pieces(stream: BinaryIO) -> Iterator[bytes]:
    with stream:
        while piece := stream.read(_PIECE_BYTES):
            yield piece
