"""What a flow's code does to end the process ends its request, and the server goes on."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.middleware.base import BaseHTTPMiddleware

from plinth.runtimes.flowhost.host import Lifespan, answer
from plinth.runtimes.flowhost.invoking import InvokedApp
from plinth.runtimes.flowhost.leaving import has_left, keep_serving, said_of
from tests.runtimes.flow_asked import ask, served


async def exits(_scope: Any, _receive: Any, _send: Any) -> None:
    sys.exit(3)


async def interrupts(_scope: Any, _receive: Any, _send: Any) -> None:
    raise KeyboardInterrupt


async def exits_in_a_task(scope: Any, receive: Any, send: Any) -> None:
    await asyncio.gather(exits(scope, receive, send))


async def exits_in_a_thread(_scope: Any, _receive: Any, _send: Any) -> None:
    await asyncio.to_thread(sys.exit, 3)


class Exits:
    def invoke(self, _given: Any) -> Any:
        sys.exit(3)


def started(app: Any) -> Any:
    """Return the app, which starts up before it does anything else."""

    async def run(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            await app(scope, receive, send)

    return run


def with_middleware() -> Any:
    app = FastAPI()

    async def pass_on(request: Any, call: Callable[[Any], Awaitable[Any]]) -> Any:
        return await call(request)

    app.add_middleware(BaseHTTPMiddleware, dispatch=pass_on)

    @app.post("/score")
    async def score() -> None:
        sys.exit(3)

    return app


@pytest.mark.parametrize(
    "app",
    [
        started(exits),
        started(exits_in_a_task),
        started(exits_in_a_thread),
        InvokedApp(Exits()),
        with_middleware(),
    ],
)
def test_an_exit_is_the_500_of_its_request(app: Any) -> None:
    for method in ("POST", "POST"):
        (said,) = ask(served(app)[0], (method, "/score", {}))
        assert said.status_code == 500
        words = "the flow's code called `sys.exit(3)` instead of answering"
        assert said.json() == {"error": {"message": words}}


def test_an_interrupt_is_so_too() -> None:
    host, _ = served(started(interrupts))
    (said,) = ask(host, ("GET", "/", None))
    assert (said.status_code, "raised KeyboardInterrupt" in said.text) == (500, True)


def test_an_answer_that_has_begun_breaks_off() -> None:
    async def begins(_scope: Any, _receive: Any, send: Any) -> None:
        await answer(send, 200, {})
        sys.exit(3)

    host, _ = served(started(begins))
    with pytest.raises(RuntimeError, match=r"called `sys.exit\(3\)`"):
        ask(host, ("GET", "/", None))


def test_one_that_exits_at_its_start_does_not_serve() -> None:
    async def run() -> None:
        keep_serving()
        with pytest.raises(RuntimeError, match=r"its startup failed: .* `sys.exit\(3\)`"):
            await Lifespan(exits).start()

    asyncio.run(run())


def test_what_other_errors_hold_is_found() -> None:
    group = BaseExceptionGroup("g", [ValueError(), SystemExit(3)])
    assert (has_left(group), has_left(ValueError())) == (True, False)
    assert said_of(group) == "the flow's code called `sys.exit(3)` instead of answering"


class Streams:
    """Gives a piece, and then wants the process to end: in a thread, a task, or as it is."""

    def __init__(self, ends: Callable[[], Awaitable[None]] | None) -> None:
        if ends is None:
            self.stream = self._pieces
        else:
            self.astream = self._apieces
            self._ends = ends

    def invoke(self, given: Any) -> Any:
        return given

    def _pieces(self, _given: Any) -> Any:
        yield {"check": 1}
        sys.exit(3)

    async def _apieces(self, _given: Any) -> Any:
        yield {"check": 1}
        await self._ends()


async def leaves() -> None:
    sys.exit(3)


async def leaves_in_a_group() -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(leaves())


@pytest.mark.parametrize("ends", [None, leaves, leaves_in_a_group])
def test_an_exit_in_a_stream_is_its_last_event(ends: Any) -> None:
    host, _ = served(InvokedApp(Streams(ends)))
    for _ in range(2):
        (said,) = ask(host, ("POST", "/score", {}), accept="text/event-stream")
        words = "the flow's code called `sys.exit(3)` instead of answering"
        first, last = said.text.strip().split("\n\n")
        assert first == 'data: {"check": 1}'
        assert last == f'data: {{"error": {{"message": "{words}"}}}}'
