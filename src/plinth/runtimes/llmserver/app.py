"""The HTTP face: routes, bodies and answers, as one raw ASGI application.

Standard library only. It never touches the model: the engine does that, behind its events.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from dataclasses import dataclass
from typing import Any, TypeVar

from .answers import DONE, Answers, Usage, event, model_card, to_bytes
from .engine import Accepted, Counts, Ended, Engine, Event, Generation, Piece
from .errors import Headers, Refused
from .metrics import CONTENT_TYPE, Metrics
from .request import Request, Sampling, read_chat, read_completion
from .source import Source

log = logging.getLogger("llmserver")

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Read = Callable[[bytes, Sampling], Request]
T = TypeVar("T")

MOST_BODY_BYTES = 4 * 2**20
# Where requests for generation arrive -> how their body is read.
_GENERATE: dict[str, Read] = {
    "/v1/chat/completions": read_chat,
    "/v1/completions": read_completion,
}
# The second tells the gateway that nothing was begun, so that another replica may be asked.
_NOT_LOADED = (("retry-after", "1"), ("x-plinth-not-loaded", "1"))
# As proxies write it in their logs: the caller went away.
_CALLER_LEFT = 499
_EXAMPLE_TOKENS = 16


class Disconnected(Exception):
    """The caller went away before the answer was whole."""


@dataclass(frozen=True)
class Answer:
    """An HTTP response that does not stream."""

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: Headers = ()


class Application:
    """The ASGI application of one model, which may still be loading.

    `name`: the model's name in requests. `created`: when it started, seconds since 1970.
    """

    def __init__(self, name: str, version: str, created: int) -> None:
        self.name = name
        self.version = version
        self.metrics = Metrics(name, version)
        self._source = Source()
        self._created = created
        self._engine: Engine | None = None

    def serve(self, engine: Engine, source: Source) -> None:
        """Make the model ready; called on the event loop, once, when it is loaded."""
        self._engine, self._source = engine, source

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        if scope["type"] != "http":
            raise NotImplementedError(f"no `{scope['type']}` here")
        path = scope["path"].rstrip("/")
        read = _GENERATE.get(path)
        try:
            if read is not None:
                _need(scope, "POST")
                await self._measured(read, scope, receive, send)
            else:
                await _send(send, self._page(scope, path))
        except Refused as err:
            await _send(send, Answer(err.status, to_bytes(err.to_json()), headers=err.headers))
        except Disconnected:
            return

    # -- pages ------------------------------------------------------------------------------------

    def _page(self, scope: Scope, path: str) -> Answer:
        pages: dict[str, Callable[[], Answer]] = {
            "/v1/models": lambda: _json({"object": "list", "data": [self._card()]}),
            f"/v1/models/{self.name}": lambda: _json(self._card()),
            "/v2": lambda: _json({"name": "plinth-llmserver", "version": "1", "extensions": []}),
            "/v2/health/live": lambda: _json({"live": True}),
            "/v2/health/ready": self._ready,
            f"/v2/models/{self.name}/ready": self._ready,
            f"/v2/models/{self.name}/example": self._example_page,
            "/metrics": self._metrics_page,
        }
        page = pages.get(path)
        if page is None:
            raise Refused(f"no such path: `{path[:200]}`", 404, code="not_found")
        _need(scope, "GET")
        return page()

    def _card(self) -> dict[str, Any]:
        return model_card(self.name, self._created)

    def _ready(self) -> Answer:
        ready = self._engine is not None
        return Answer(200 if ready else 503, to_bytes({"name": self.name, "ready": ready}))

    def _example_page(self) -> Answer:
        """Answer the model's own example as a request for it; its answer's text may vary."""
        self._loaded()
        if self._source.example is None:
            raise Refused("the model was registered without an input example", 404)
        request = {"max_tokens": _EXAMPLE_TOKENS, "temperature": 0, **self._source.example}
        return _json({"request": {**request, "model": self.name, "stream": False}})

    def _loaded(self) -> Engine:
        if self._engine is None:
            raise Refused(
                "the model is loading; try again", 503, code="loading", headers=_NOT_LOADED
            )
        return self._engine

    def _metrics_page(self) -> Answer:
        counts = self._engine.counts if self._engine else Counts()
        text = self.metrics.render(counts, ready=self._engine is not None)
        return Answer(200, text, CONTENT_TYPE)

    # -- generation -------------------------------------------------------------------------------

    async def _measured(self, read: Read, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        status = 500
        try:
            await self._generate(read, scope, receive, send)
            status = 200
        except Refused as err:
            status = err.status
            raise
        except Disconnected:
            status = _CALLER_LEFT
            raise
        finally:
            self.metrics.finish(status, time.perf_counter() - started)

    async def _generate(self, read: Read, scope: Scope, receive: Receive, send: Send) -> None:
        engine = self._loaded()
        started = time.perf_counter()
        request = read(await read_body(scope, receive), self._source.defaults)
        if request.model != self.name:
            raise Refused(
                f"the model `{request.model[:100]}` does not exist here; there is `{self.name}`",
                404,
                code="model_not_found",
                param="model",
            )
        generation = engine.submit(request)
        answers = Answers(
            self.name,
            int(time.time()),
            is_chat=request.is_chat,
            usage_wanted=request.include_usage,
        )
        answering = self._stream if request.stream else self._whole
        try:
            await _unless_left(receive, answering(generation, answers, send, started))
        finally:
            generation.cancel()

    async def _whole(
        self, generation: Generation, answers: Answers, send: Send, started: float
    ) -> None:
        prompt_tokens = await _accepted(generation)
        parts: list[str] = []
        while not isinstance(happened := await _next(generation), Ended):
            if not parts:
                self.metrics.first_token.observe(time.perf_counter() - started)
            parts.append(happened.text)
        usage = Usage(prompt_tokens, happened.completion_tokens)
        await _send(send, _json(answers.whole("".join(parts), happened.reason, usage)))

    async def _stream(
        self, generation: Generation, answers: Answers, send: Send, started: float
    ) -> None:
        # What is refused is refused with its status, so nothing is sent before this.
        prompt_tokens = await _accepted(generation)
        headers = [(b"content-type", b"text/event-stream; charset=utf-8")]
        headers += [(b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})

        async def say(*events: bytes | None, more: bool = True) -> None:
            body = b"".join(filter(None, events))
            await send({"type": "http.response.body", "body": body, "more_body": more})

        await say(answers.first())
        is_first = True
        try:
            while not isinstance(happened := await _next(generation), Ended):
                if is_first:
                    self.metrics.first_token.observe(time.perf_counter() - started)
                    is_first = False
                await say(answers.piece(happened.text))
        except Refused as err:
            # The status was sent long ago: all that is left is to say it as an event.
            await say(event(err.to_json()), more=False)
            return
        usage = answers.usage(Usage(prompt_tokens, happened.completion_tokens))
        await say(answers.last(happened.reason), usage, DONE, more=False)


async def read_body(scope: Scope, receive: Receive) -> bytes:
    """Return the whole body. Raises Refused when it is too large or compressed, Disconnected."""
    headers: dict[bytes, bytes] = dict(scope["headers"])
    encoding = headers.get(b"content-encoding", b"").strip().lower()
    if encoding not in (b"", b"identity"):
        raise Refused("compressed bodies are not taken; send it as it is", 415)
    declared = headers.get(b"content-length", b"")
    if declared.isdigit() and int(declared[:20]) > MOST_BODY_BYTES:
        raise _too_large()
    body = bytearray()
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        body += message.get("body", b"")
        if len(body) > MOST_BODY_BYTES:
            raise _too_large()
        more = message.get("more_body", False)
    return bytes(body)


async def _unless_left(receive: Receive, answering: Coroutine[Any, Any, T]) -> T:
    """Return what `answering` returns; end it and raise Disconnected when the caller leaves."""
    answer = asyncio.ensure_future(answering)
    leaving = asyncio.ensure_future(_left(receive))
    try:
        await asyncio.wait((answer, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            raise Disconnected
        return answer.result()
    finally:
        for task in (answer, leaving):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, Refused, Disconnected):
                await task


async def _left(receive: Receive) -> None:
    # After the body nothing else comes.
    while (await receive())["type"] != "http.disconnect":
        continue


async def _accepted(generation: Generation) -> int:
    """Wait until the request was taken; return the tokens of its prompt. Raises Refused."""
    happened = await generation.events.get()
    if isinstance(happened, Refused):
        raise happened
    assert isinstance(happened, Accepted)
    return happened.prompt_tokens


async def _next(generation: Generation) -> Piece | Ended:
    """Return what happened next. Raises Refused."""
    happened: Event = await generation.events.get()
    if isinstance(happened, Refused):
        raise happened
    assert isinstance(happened, Piece | Ended)
    return happened


async def _send(send: Send, answer: Answer) -> None:
    headers = [
        (b"content-type", answer.content_type.encode()),
        (b"content-length", str(len(answer.body)).encode()),
        *((name.encode(), value.encode()) for name, value in answer.headers),
    ]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})


def _need(scope: Scope, allowed: str) -> None:
    method = scope["method"]
    if method != allowed:
        raise Refused(
            f"{method} is not allowed here; use {allowed}", 405, headers=(("allow", allowed),)
        )


def _json(document: dict[str, Any]) -> Answer:
    return Answer(200, to_bytes(document))


def _too_large() -> Refused:
    # The rest of the body is not read, so the connection cannot serve another request.
    return Refused(
        f"the body is larger than {MOST_BODY_BYTES} bytes",
        413,
        code="body_too_large",
        headers=(("connection", "close"),),
    )
