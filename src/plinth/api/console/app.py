"""The console as an application of its own, below the path to which the gateway sends its host."""

from __future__ import annotations

import logging
from pathlib import Path

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles

from plinth.api.caller import refusal_of
from plinth.api.console import (
    cost_pages,
    node_pages,
    output_pages,
    overview,
    workload_pages,
    workspace_pages,
)
from plinth.api.console.rendering import rendered
from plinth.control.context import Context
from plinth.control.status import Parts
from plinth.kit.errors import PlinthError, Unauthenticated

log = logging.getLogger(__name__)

PREFIX = "/console"
_STATIC = Path(__file__).with_name("static")
_ROUTERS = (overview, workload_pages, output_pages, workspace_pages, cost_pages, node_pages)


def create_console(context: Context, parts: Parts) -> FastAPI:
    """Return the ASGI application of the console's pages."""
    app = FastAPI(openapi_url=None)
    app.state.context = context
    app.state.parts = parts
    for module in _ROUTERS:
        app.include_router(module.router)
    app.mount("/static", StaticFiles(directory=_STATIC))
    app.add_exception_handler(PlinthError, _plinth_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _unexpected)
    return app


async def _plinth_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, PlinthError)
    if isinstance(error, Unauthenticated):
        answer = _told(error.status, "Sign in", error.message, command="plinth open console")
    else:
        answer = _told(error.status, "That did not work", error.message, hint=error.hint)
    if refused := refusal_of(request, error):
        # After the answer was sent: how long it takes must not tell what is hidden from what is
        # not there.
        parts: Parts = request.app.state.parts
        answer.background = BackgroundTask(parts.refusals.note, refused)
    return answer


async def _validation_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return _told(422, "That did not work", "the address holds a value that no page knows")


async def _http_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    words = "there is no such page" if error.status_code == 404 else str(error.detail)
    answer = _told(error.status_code, "Not here", words)
    answer.headers.update(error.headers or {})
    return answer


async def _unexpected(request: Request, error: Exception) -> Response:
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    said = "it is written in its log"
    return _told(500, "Plinth made a mistake", said, command="plinth logs control")


def _told(
    status: int, title: str, message: str, *, hint: str | None = None, command: str | None = None
) -> Response:
    return rendered("error.html", status, title=title, message=message, hint=hint, command=command)
