"""The HTTP face: routes, body limits and answers, as one raw ASGI application.

Standard library only. It never touches arrays: the model's module does that, behind `Served`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any, Protocol

from .batcher import Batcher, Feed, ModelFailed, Predictor
from .body import HEADER_LENGTH, Disconnected, Receive, header_length, read_body
from .codec import decode_request, encode_json, encode_response
from .metrics import CONTENT_TYPE, Metrics
from .tensors import Declared, InferRequest, Refused, Tensor

log = logging.getLogger("v2server")

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_EXTENSIONS = ["binary_tensor_data"]
# The second tells the gateway that nothing was begun, so that another replica may be asked.
_NOT_LOADED = (("retry-after", "1"), ("x-plinth-not-loaded", "1"))


class Served(Predictor, Protocol):
    """What the application needs of a loaded model."""

    platform: str
    inputs: dict[str, Declared]
    outputs: list[Declared]

    def feed(self, request: InferRequest) -> Feed:
        """Return the request as checked input. Raises Refused."""
        ...

    def write(self, answer: Any, wanted: Sequence[tuple[str, bool]]) -> list[Tensor]:
        """Return the answer's named outputs as tensors, binary or not."""
        ...

    def names(self, answer: Any) -> list[str]:
        """Return the names of the answer's outputs."""
        ...

    def example(self) -> bytes:
        """Return the example as JSON. Raises LookupError with the reason when there is none."""
        ...


@dataclass(frozen=True)
class Answer:
    """An HTTP response."""

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Limits:
    """What one server accepts. `body_bytes` counts the body after decompression too."""

    body_bytes: int = 16 * 2**20
    batch_rows: int = 64
    queued: int = 1024


@dataclass
class Application:
    """The ASGI application of one model, which may still be loading."""

    name: str
    version: str
    executor: Executor
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        self.metrics = Metrics(self.name, self.version)
        self._model: Served | None = None
        self._batcher: Batcher | None = None

    def serve(self, model: Served) -> None:
        """Make the model ready; called on the event loop, once, when it is loaded."""
        self._model = model
        self._batcher = Batcher(
            model,
            self.executor,
            max_rows=self.limits.batch_rows,
            max_queued=self.limits.queued,
            on_call=self.metrics.batch_rows.observe,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        if scope["type"] != "http":
            raise NotImplementedError(f"no `{scope['type']}` here")
        try:
            answer = await self._answer(scope, receive)
        except Disconnected:
            return
        headers = [
            (b"content-type", answer.content_type.encode()),
            (b"content-length", str(len(answer.body)).encode()),
            *((name.encode(), value.encode()) for name, value in answer.headers),
        ]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        try:
            return await self._route(scope, receive)
        except Refused as err:
            return _error(err.status, str(err), err.headers)

    async def _route(self, scope: Scope, receive: Receive) -> Answer:
        method = scope["method"]
        path = scope["path"].rstrip("/")
        if path.startswith("/v2/models/"):
            rest = self._below_model(path.split("/")[3:])
            if rest == ["infer"]:
                _need(method, "POST")
                return await self._measured_infer(scope, receive)
            _need(method, "GET")
            return await self._model_page(rest)
        _need(method, "GET")
        if path == "/v2/health/live":
            return _json({"live": True})
        if path == "/v2/health/ready":
            return self._ready({"ready": self._model is not None})
        if path == "/v2":
            document = {"name": "plinth-v2server", "version": "1", "extensions": _EXTENSIONS}
            return _json(document)
        if path == "/metrics":
            queued = self._batcher.queued if self._batcher else 0
            text = self.metrics.render(ready=self._model is not None, queued=queued)
            return Answer(200, text, CONTENT_TYPE)
        raise Refused(f"no such path: `{path}`", 404)

    def _below_model(self, parts: Sequence[str]) -> list[str]:
        """Return what follows the model and its version in the path. Raises Refused (404)."""
        if parts[0] != self.name:
            raise Refused(f"unknown model `{parts[0]}`; this server has `{self.name}`", 404)
        if len(parts) > 1 and parts[1] == "versions":
            given = parts[2] if len(parts) > 2 else ""
            if given != self.version:
                raise Refused(
                    f"unknown version `{given}` of model `{self.name}`; "
                    f"this server has `{self.version}`",
                    404,
                )
            return list(parts[3:])
        return list(parts[1:])

    async def _model_page(self, rest: list[str]) -> Answer:
        if rest == ["ready"]:
            return self._ready({"name": self.name, "ready": self._model is not None})
        if rest == []:
            return self._metadata(self._loaded()[0])
        if rest == ["example"]:
            return await self._example(self._loaded()[0])
        raise Refused(f"no such path below model `{self.name}`: `{'/'.join(rest)}`", 404)

    def _loaded(self) -> tuple[Served, Batcher]:
        if self._model is None or self._batcher is None:
            raise Refused("the model is loading; try again", 503, headers=_NOT_LOADED)
        return self._model, self._batcher

    def _ready(self, document: dict[str, Any]) -> Answer:
        return Answer(200 if self._model else 503, encode_json(document))

    def _metadata(self, model: Served) -> Answer:
        return _json(
            {
                "name": self.name,
                "versions": [self.version],
                "platform": model.platform,
                "inputs": [item.to_json() for item in model.inputs.values()],
                "outputs": [item.to_json() for item in model.outputs],
            }
        )

    async def _example(self, model: Served) -> Answer:
        loop = asyncio.get_running_loop()
        try:
            return Answer(200, await loop.run_in_executor(self.executor, model.example))
        except LookupError as err:
            return _error(404, str(err.args[0]))
        except Exception as err:  # noqa: BLE001 - the model's own code may raise anything
            return _error(500, f"the model failed on its own input example: {_told(err)}")

    async def _measured_infer(self, scope: Scope, receive: Receive) -> Answer:
        started = time.perf_counter()
        self.metrics.in_flight += 1
        status, rows = 499, 0
        try:
            answer, rows = await self._infer(scope, receive)
            status = answer.status
        except Refused as err:
            status = err.status
            raise
        except ModelFailed as err:
            status = 500
            log.error("the model failed: %s", err, exc_info=err.__cause__)
            answer = _error(500, f"the model failed: {err}")
        finally:
            self.metrics.in_flight -= 1
            self.metrics.finish(status, time.perf_counter() - started, rows)
        return answer

    async def _infer(self, scope: Scope, receive: Receive) -> tuple[Answer, int]:
        model, batcher = self._loaded()
        headers: dict[bytes, bytes] = dict(scope["headers"])
        body = await read_body(headers, receive, self.limits.body_bytes)
        request = decode_request(body, header_length(headers))
        feed = model.feed(request)
        result = await batcher.submit(feed)
        wanted = _wanted(request, model.names(result))
        tensors = model.write(result, wanted)
        head: dict[str, Any] = {"model_name": self.name, "model_version": self.version}
        if request.id is not None:
            head["id"] = request.id
        content, split = encode_response(head, tensors, [binary for _, binary in wanted])
        if split is None:
            return Answer(200, content), feed.rows
        length = ((HEADER_LENGTH.decode(), str(split)),)
        return Answer(200, content, "application/octet-stream", length), feed.rows


def _wanted(request: InferRequest, names: Sequence[str]) -> list[tuple[str, bool]]:
    if request.wanted is None:
        return [(name, request.binary_default) for name in names]
    unknown = [item.name for item in request.wanted if item.name not in names]
    if unknown:
        raise Refused(
            f"unknown output `{unknown[0]}`; the model has {', '.join(f'`{n}`' for n in names)}"
        )
    return [
        (item.name, request.binary_default if item.binary is None else item.binary)
        for item in request.wanted
    ]


def _need(method: str, allowed: str) -> None:
    if method != allowed:
        raise Refused(f"{method} is not allowed here; use {allowed}", 405, (("allow", allowed),))


def _json(document: dict[str, Any]) -> Answer:
    return Answer(200, encode_json(document))


def _error(status: int, message: str, headers: Sequence[tuple[str, str]] = ()) -> Answer:
    return Answer(status, encode_json({"error": message}), headers=tuple(headers))


def _told(err: Exception) -> str:
    return f"{type(err).__name__}: {err}"
