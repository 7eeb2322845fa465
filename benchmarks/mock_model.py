"""A model server that computes nothing: what gateways are measured in front of.

`python -m benchmarks.mock_model [--port N] PATH[=BEHAVIOUR] ...` listens at Unix sockets, and at a
port for peers that know none. It speaks OpenAI's chat completions, streamed too, and the Open
Inference Protocol. Each answer says at which socket it was given. Nothing but benchmarks starts it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

# `hang`: takes requests and never answers. `crash`: ends each connection when a request has come.
# `refuse`: answers 503. `slow`: answers after a second.
Behaviour: TypeAlias = Literal["well", "hang", "crash", "refuse", "slow"]
WORDS = "The quick brown fox jumps over the lazy dog, and then it sleeps."
_SLOW_S = 1.0
_PIECES = 8
_GAP_S = 0.002
_BACKLOG = 1024
# As OpenAI answers: what a gateway reads the tokens from.
_USAGE = {
    "prompt_tokens": 42,
    "completion_tokens": 16,
    "total_tokens": 58,
    "prompt_tokens_details": {"cached_tokens": 8, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 4, "audio_tokens": 0},
}


@dataclass(frozen=True, slots=True)
class Asked:
    """One request: its path, and its body where that is a JSON object."""

    path: str
    body: dict[str, Any]


class MockModel(asyncio.Protocol):
    """One connection. `name` is that of its socket."""

    def __init__(self, name: str, behaviour: Behaviour) -> None:
        self._name, self._behaviour = name, behaviour
        self._rest = b""
        self._transport: asyncio.Transport | None = None
        self._streams: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember whom to answer."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, _exc: Exception | None) -> None:
        """Stop what is still being streamed."""
        self._transport = None
        for stream in self._streams:
            stream.cancel()

    def data_received(self, data: bytes) -> None:
        """Answer once a request is whole."""
        self._rest += data
        found = split(self._rest)
        if found is None or self._transport is None:
            return
        asked, self._rest = found
        if self._behaviour == "crash":
            self._transport.abort()
        elif self._behaviour == "slow":
            asyncio.get_running_loop().call_later(_SLOW_S, self._answer, asked)
        elif self._behaviour != "hang":
            self._answer(asked)

    def _answer(self, asked: Asked) -> None:
        if self._transport is None:
            return
        if self._behaviour == "refuse":
            body = {"error": {"message": "overloaded", "type": "server_error"}}
            self._transport.write(message(body, "503 Service Unavailable"))
        elif asked.body.get("stream"):
            stream = asyncio.ensure_future(self._stream(asked))
            self._streams.add(stream)
            stream.add_done_callback(self._streams.discard)
        else:
            self._transport.write(message(answer(asked, self._name)))

    async def _stream(self, asked: Asked) -> None:
        head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked"
        self._write(head.encode() + b"\r\n\r\n")
        for event in events(asked, self._name):
            self._write(b"%x\r\n%b\r\n" % (len(event), event))
            await asyncio.sleep(_GAP_S)
        self._write(b"0\r\n\r\n")

    def _write(self, content: bytes) -> None:
        if self._transport is not None:
            self._transport.write(content)


def split(received: bytes) -> tuple[Asked, bytes] | None:
    """Return the first request and what comes after it; None while it is not whole."""
    head, end, rest = received.partition(b"\r\n\r\n")
    if not end:
        return None
    first, *lines = head.split(b"\r\n")
    headers = {key.lower(): value.strip() for key, _, value in (x.partition(b":") for x in lines)}
    if b"chunked" in headers.get(b"transfer-encoding", b""):
        content, done, rest = _chunks(rest)
        if not done:
            return None
    else:
        length = int(headers.get(b"content-length", 0))
        if len(rest) < length:
            return None
        content, rest = rest[:length], rest[length:]
    value = json.loads(content) if content else {}
    path = first.split(b" ")[1].decode()
    return Asked(path, value if isinstance(value, dict) else {}), rest


def _chunks(rest: bytes) -> tuple[bytes, bool, bytes]:
    content = b""
    while True:
        size, end, rest = rest.partition(b"\r\n")
        length = int(size, 16) if end else 0
        if not end or len(rest) < length + 2:
            return b"", False, b""
        content, rest = content + rest[:length], rest[length + 2 :]
        if not length:
            return content, True, rest


def answer(asked: Asked, name: str) -> dict[str, Any]:
    """Return what a model would answer; the server that answered stands in it."""
    if asked.path.startswith("/v2/"):
        output = {"name": "y", "shape": [1], "datatype": "FP64", "data": [0.5]}
        return {"model_name": asked.path.split("/")[3], "id": name, "outputs": [output]}
    said = {"role": "assistant", "content": WORDS}
    choice = {"index": 0, "message": said, "logprobs": None, "finish_reason": "stop"}
    return {**_frame(asked, name, "chat.completion"), "choices": [choice], "usage": _USAGE}


def events(asked: Asked, name: str) -> Iterator[bytes]:
    """Yield a chat completion in pieces, with the usage in the last but one, as OpenAI does."""
    frame = _frame(asked, name, "chat.completion.chunk")
    size = -(-len(WORDS) // _PIECES)
    for start in range(0, len(WORDS), size):
        choice = {"index": 0, "delta": {"content": WORDS[start : start + size]}}
        yield event({**frame, "choices": [choice]})
    if (asked.body.get("stream_options") or {}).get("include_usage"):
        yield event({**frame, "choices": [], "usage": _USAGE})
    yield b"data: [DONE]\n\n"


def event(value: dict[str, Any]) -> bytes:
    """Return one server-sent event."""
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def message(body: dict[str, Any], status: str = "200 OK") -> bytes:
    """Return a whole JSON answer."""
    content = json.dumps(body).encode()
    head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(content)}"
    return head.encode() + b"\r\n\r\n" + content


def _frame(asked: Asked, name: str, kind: str) -> dict[str, Any]:
    model = asked.body.get("model", "")
    frame = {"id": "chatcmpl-1", "object": kind, "created": 1_700_000_000, "model": model}
    return {**frame, "system_fingerprint": name}


@dataclass
class _Places:
    """Where to listen: a port of the loopback, and Unix sockets by path."""

    port: int | None
    sockets: dict[Path, Behaviour] = field(default_factory=dict)

    async def serve(self) -> None:
        """Listen until this process is told to end."""
        loop = asyncio.get_running_loop()
        if self.port is not None:
            await loop.create_server(
                lambda: MockModel("port", "well"), "127.0.0.1", self.port, backlog=_BACKLOG
            )
        for path, behaviour in self.sockets.items():
            await loop.create_unix_server(_speaking(path.stem, behaviour), path, backlog=_BACKLOG)
        told = asyncio.Event()
        loop.add_signal_handler(signal.SIGTERM, told.set)
        print("ready", flush=True)
        await told.wait()


def _speaking(name: str, behaviour: Behaviour) -> Callable[[], MockModel]:
    return lambda: MockModel(name, behaviour)


def main(arguments: Sequence[str] | None = None) -> None:
    """Listen until told to end; say `ready` once all sockets are there."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--port", type=int, help="also listen at this port of the loopback")
    parser.add_argument("places", nargs="*", metavar="PATH[=BEHAVIOUR]")
    chosen = parser.parse_args(arguments)
    places = _Places(chosen.port)
    for place in chosen.places:
        path, _, behaviour = place.partition("=")
        if behaviour and behaviour not in get_args(Behaviour):
            parser.error(f"`{behaviour}` is no behaviour; one of {', '.join(get_args(Behaviour))}")
        places.sockets[Path(path)] = behaviour or "well"
    asyncio.run(places.serve())


if __name__ == "__main__":
    main()
