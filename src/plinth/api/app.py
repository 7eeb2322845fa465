"""The application: every router below /api/v1, and the one shape of an error."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from plinth import __version__
from plinth.api import datasets, endpoints, identities, node, runs, usage
from plinth.api.uploads import Uploads
from plinth.control.context import Context
from plinth.control.status import Parts
from plinth.kit.errors import PlinthError, Temporary

log = logging.getLogger(__name__)

PREFIX = "/api/v1"
ROUTERS = (runs, endpoints, identities, datasets, usage, node)


def create_app(
    context: Context, parts: Parts, start: Callable[[], None], stop: Callable[[], None]
) -> FastAPI:
    """Return the ASGI application; `start` and `stop` run the reconcilers around its life."""

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        await asyncio.to_thread(app.state.uploads.sweep)
        await asyncio.to_thread(start)
        yield
        await asyncio.to_thread(stop)

    app = FastAPI(title="Plinth", version=__version__, lifespan=life, openapi_url=None)
    app.state.context = context
    app.state.parts = parts
    app.state.uploads = Uploads(context.home)
    for module in ROUTERS:
        app.include_router(module.router, prefix=PREFIX)
    app.add_exception_handler(PlinthError, _plinth_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _unexpected)
    return app


def _answer(status: int, code: str, message: str, hint: str | None = None) -> JSONResponse:
    body: dict[str, Any] = {"error": {"code": code, "message": message, "hint": hint}}
    return JSONResponse(body, status_code=status)


async def _plinth_error(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, PlinthError)
    answer = JSONResponse(error.to_json(), status_code=error.status)
    if isinstance(error, Temporary):
        answer.headers["retry-after"] = str(max(1, round(error.retry_after_s)))
    return answer


async def _validation_error(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    mistakes = [
        f"{'.'.join(str(part) for part in each['loc'])}: {each['msg']}" for each in error.errors()
    ]
    hint = "send each field as it says; what is not named is not accepted"
    return _answer(422, "malformed", "; ".join(mistakes), hint)


async def _http_error(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "http_error")
    answer = _answer(error.status_code, code, str(error.detail))
    answer.headers.update(error.headers or {})
    return answer


async def _unexpected(request: Request, error: Exception) -> JSONResponse:
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return _answer(
        500, "internal", "Plinth made a mistake; it is written in its log", "`plinth logs control`"
    )
