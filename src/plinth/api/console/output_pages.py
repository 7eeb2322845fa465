"""What a run prints: pieces of it for its page, which follows the end, and all of it as a file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from fastapi import APIRouter, Query, Response
from fastapi.responses import StreamingResponse

from plinth.api import runs
from plinth.api.console.visitor import Visitor, VisitorDep
from plinth.kit.page import HEADERS

router = APIRouter()

Attempt = Annotated[int | None, Query(ge=1)]
Replica = Annotated[int, Query(ge=0)]


@router.get("/runs/{run_id}/logs")
def logs(
    run_id: str,
    visitor: VisitorDep,
    *,
    offset: Annotated[int, Query(ge=-runs.MOST_LOG_BYTES)] = 0,
    limit: Annotated[int, Query(ge=1, le=runs.MOST_LOG_BYTES)] = runs.MOST_LOG_BYTES,
    replica: Replica = 0,
    attempt: Attempt = None,
) -> Response:
    """Return what an attempt (the newest if none is given) printed, as plain text.

    As the API does; the header `x-plinth-offset` says where the piece begins.
    """
    answer = runs.logs(
        run_id,
        visitor.context,
        visitor.caller,
        offset=offset,
        limit=limit,
        replica=replica,
        attempt=attempt,
    )
    begins = int(answer.headers["x-plinth-next-offset"]) - len(answer.body)
    answer.headers.update({**HEADERS, "x-plinth-offset": str(begins)})
    return answer


@router.get("/runs/{run_id}/output")
def output(
    run_id: str, visitor: VisitorDep, *, replica: Replica = 0, attempt: Attempt = None
) -> Response:
    """Return all that is kept of what an attempt printed, as a file to keep."""
    first = _piece(visitor, run_id, 0, replica, attempt)
    number = int(first.headers["x-plinth-attempt"])

    def pieces() -> Iterator[bytes]:
        piece = first
        while piece.body:
            yield bytes(piece.body)
            following = int(piece.headers["x-plinth-next-offset"])
            piece = _piece(visitor, run_id, following, replica, number)

    kept = f'attachment; filename="{run_id}-{number}.txt"'
    return StreamingResponse(
        pieces(),
        media_type="text/plain; charset=utf-8",
        headers={**HEADERS, "content-disposition": kept},
    )


def _piece(
    visitor: Visitor, run_id: str, offset: int, replica: int, attempt: int | None
) -> Response:
    return runs.logs(
        run_id,
        visitor.context,
        visitor.caller,
        offset=offset,
        limit=runs.MOST_LOG_BYTES,
        replica=replica,
        attempt=attempt,
    )
