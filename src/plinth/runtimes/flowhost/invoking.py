"""A JSON route for an object with `invoke` or `ainvoke`: `POST /score`, and as a stream.

The body is the input, the answer the output. With `Accept: text/event-stream` each piece of
`astream` or `stream` is an event.
"""

from __future__ import annotations

import asyncio
import contextvars
import dataclasses
import json
import logging
import math
from collections.abc import AsyncIterator, Iterator
from typing import Any

from .host import Message, Receive, Send, answer
from .leaving import has_left, said_of

log = logging.getLogger("flowhost")

_PATHS = ("/score", "/invoke", "/")
_STREAM = b"text/event-stream"


def is_invoked(found: Any) -> bool:
    """Tell whether it is called by `invoke`, rather than an ASGI app. Raises TypeError for one
    that has `invoke` for something else.
    """
    if type(found).__module__.startswith("semantic_kernel."):
        raise TypeError(
            f"a {type(found).__name__} of Semantic Kernel takes more than a request; serve an "
            "agent, an ASGI app, or an object of your own whose `ainvoke` takes the request and "
            "calls it"
        )
    return callable(getattr(found, "ainvoke", None)) or callable(getattr(found, "invoke", None))


class InvokedApp:
    """The ASGI app of one such object."""

    def __init__(self, found: Any) -> None:
        self._found = found

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request; it knows no start-up."""
        if scope["type"] != "http":
            return
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        if scope["method"] != "POST" or path not in _PATHS:
            message = f"there is nothing at {scope['method']} `{path}`; POST `/score`"
            await answer(send, 404, {"error": {"message": message}})
            return
        try:
            given = json.loads(await _body(receive))
        except (ValueError, RecursionError) as err:
            await answer(send, 400, {"error": {"message": f"the body is not JSON: {err}"}})
            return
        if _STREAM in dict(scope["headers"]).get(b"accept", b""):
            await self._stream(given, send)
            return
        try:
            output = to_json(await self._invoke(given))
        except Exception as err:  # noqa: BLE001 - the flow's own code may raise anything
            await answer(send, 500, {"error": _told(err)})
            return
        await answer(send, 200, output)

    async def _invoke(self, given: Any) -> Any:
        if callable(getattr(self._found, "ainvoke", None)):
            return await self._found.ainvoke(given)
        output = await asyncio.to_thread(self._found.invoke, given)
        return await output if hasattr(output, "__await__") else output

    async def _stream(self, given: Any, send: Send) -> None:
        head = [(b"content-type", _STREAM), (b"cache-control", b"no-cache")]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        try:
            async for piece in self._pieces(given):
                await _event(send, to_json(piece))
        except BaseException as err:
            # What wants the process to end is the request's, too: the answer has begun.
            if not isinstance(err, Exception) and not has_left(err):
                raise
            await _event(send, {"error": _told(err)})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _pieces(self, given: Any) -> AsyncIterator[Any]:
        if callable(getattr(self._found, "astream", None)):
            async for piece in self._found.astream(given):
                yield piece
        elif callable(getattr(self._found, "stream", None)):
            pieces = iter(self._found.stream(given))
            context = contextvars.copy_context()
            while True:
                piece = await asyncio.to_thread(context.run, _next, pieces)
                if piece is _END:
                    return
                yield piece
        else:
            yield await self._invoke(given)


_END = object()


def _next(pieces: Iterator[Any]) -> Any:
    return next(pieces, _END)


async def _body(receive: Receive) -> bytes:
    content, more = bytearray(), True
    while more:
        message = await receive()
        content += message.get("body", b"")
        more = message.get("more_body", False)
    return bytes(content)


async def _event(send: Send, value: Any) -> None:
    body = f"data: {json.dumps(value, default=str)}\n\n".encode()
    await send({"type": "http.response.body", "body": body, "more_body": True})


def _told(error: BaseException) -> dict[str, Any]:
    """Return what is said of an error; LangGraph notes on it in which node it came up."""
    log.error("a request failed", exc_info=error)
    notes = [str(each) for each in getattr(error, "__notes__", ())]
    said = said_of(error) if has_left(error) else f"{type(error).__name__}: {error}"
    return {"message": "; ".join([said, *notes])}


def to_json(value: Any, place: str = "output") -> Any:
    """Return a value as JSON can say it: messages and models as mappings, the rest as text.

    Raises ValueError for a number that JSON cannot say; `place`: where in the output it stands.
    """
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(
            f"`{place}` is {value}, which JSON cannot say; let the flow answer null or a text there"
        )
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, dict):
        return {str(key): to_json(each, f"{place}.{key}") for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [to_json(each, f"{place}.{number}") for number, each in enumerate(value)]
    if callable(getattr(value, "model_dump", None)):
        return to_json(value.model_dump(), place)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return to_json(dataclasses.asdict(value), place)
    return str(value)
