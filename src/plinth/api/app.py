"""The application: every router below /api/v1, and the one shape of an error."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import cache
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute

from plinth import __version__
from plinth.api import (
    audit,
    batches,
    bill,
    datasets,
    endpoints,
    flows,
    gateway,
    identities,
    members,
    metrics,
    node,
    openai_batches,
    openai_files,
    openai_models,
    runs,
    secrets,
    sign_in,
    snapshots,
    trace,
    usage,
    workspace_page,
    workspaces,
)
from plinth.api.caller import refusal_of
from plinth.api.console.app import PREFIX as CONSOLE_PREFIX
from plinth.api.console.app import create_console
from plinth.api.openai_errors import in_openais_shape, status_of
from plinth.api.uploads import Uploads
from plinth.control.context import Context
from plinth.control.status import Parts
from plinth.kit.errors import PlinthError, Temporary
from plinth.kit.excerpt import excerpt
from plinth.kit.home import CONTROL

log = logging.getLogger(__name__)

PREFIX = "/api/v1"
# More would be read by nobody.
_MOST_MISTAKES = 20
ROUTERS = (
    *(runs, endpoints, flows, identities, sign_in, members, audit),
    *(openai_models, openai_files, openai_batches, workspaces, batches),
    *(datasets, secrets, snapshots, trace, usage, bill, node),
    *(gateway, metrics),
)


def create_app(
    context: Context,
    parts: Parts,
    start: Callable[[], None],
    stop: Callable[[], None],
    *,
    name: str = CONTROL,
) -> FastAPI:
    """Return the ASGI application; `start` and `stop` run the reconcilers around its life.

    `name`: which control plane of the home it is.
    """

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        await asyncio.to_thread(app.state.uploads.sweep)
        await asyncio.to_thread(start)
        yield
        await asyncio.to_thread(stop)

    app = FastAPI(
        title="Plinth", version=__version__, lifespan=life, openapi_url=None, routes=_routes()
    )
    app.state.context = context
    app.state.parts = parts
    app.state.uploads = Uploads(context.home, name)
    app.mount(CONSOLE_PREFIX, create_console(context, parts))
    app.add_exception_handler(PlinthError, _plinth_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _unexpected)
    return app


@cache
def _routes() -> list[BaseRoute]:
    # Once for a process: each application that includes a router works out its routes anew, which
    # takes a tenth of a second at the first requests.
    router = APIRouter()
    for module in ROUTERS:
        router.include_router(module.router, prefix=PREFIX)
    router.include_router(sign_in.pages)
    router.include_router(workspace_page.pages)
    router.include_router(node.pages)
    return router.routes


class _Refusal(JSONResponse):
    """An error in ASCII: half a character that a caller sent could not be written otherwise."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content).encode()


def _answer(
    status: int, code: str, message: str, hint: str | None = None, *, to: Request
) -> JSONResponse:
    body: dict[str, Any] = {"error": {"code": code, "message": message, "hint": hint}}
    return _Refusal(in_openais_shape(to, body, status), status_of(to, status))


async def _plinth_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, PlinthError)
    answer = _Refusal(in_openais_shape(request, error.to_json(), error.status), error.status)
    if refused := refusal_of(request, error):
        # After the answer was sent: how long it takes must not tell what is hidden from what is not
        # there.
        parts: Parts = request.app.state.parts
        answer.background = BackgroundTask(parts.refusals.note, refused)
    if isinstance(error, Temporary):
        answer.headers["retry-after"] = str(max(1, round(error.retry_after_s)))
    return answer


async def _validation_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    found = error.errors()
    mistakes = [_mistake(each["loc"], each["msg"]) for each in found[:_MOST_MISTAKES]]
    if len(found) > _MOST_MISTAKES:
        mistakes.append(f"and {len(found) - _MOST_MISTAKES} more mistakes")
    hint = "send each field as it says; what is not named is not accepted"
    return _answer(422, "malformed", "; ".join(mistakes), hint, to=request)


def _mistake(place: Sequence[int | str], words: str) -> str:
    """Say which field is wrong, and how; where it was sent and what found it do not matter."""
    said = words.removeprefix("Value error, ")
    is_field = len(place) > 1 and isinstance(place[1], str)
    if not is_field and said != words:
        return said
    within = place[1:] if is_field and place[0] in ("body", "path", "query") else place
    return f"{excerpt('.'.join(map(str, within)))}: {said}"


async def _http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "http_error")
    answer = _answer(error.status_code, code, str(error.detail), to=request)
    answer.headers.update(error.headers or {})
    return answer


async def _unexpected(request: Request, error: Exception) -> JSONResponse:
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return _answer(
        500,
        "internal",
        "Plinth made a mistake; it is written in its log",
        "`plinth logs control`",
        to=request,
    )
