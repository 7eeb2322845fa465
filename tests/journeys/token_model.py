"""A model's server that answers as each request tells it, and counts what it has used."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

from tests.conformance.upstream_stand import Request

CHAT = "/v1/chat/completions"
EMBEDDINGS = "/v1/embeddings"
KINDS = ("json", "stream", "asked", "embedding", "azure")


@dataclass
class Model:
    """Answers as it is told in the request, and counts by the request's id what it has used.

    `tell` in the body says how many tokens of what, and how the answer ends. `refuses`: those that
    are to be tried again elsewhere. `sent`: by id, how many events of a stream.
    """

    refuses: bool = False
    counted: dict[str, dict[str, int]] = field(default_factory=dict)
    sent: dict[str, int] = field(default_factory=dict)

    async def __call__(self, request: Request) -> None:
        asked = json.loads(request.body)
        tell = asked["tell"]
        at = request.headers["x-request-id"]
        if self.refuses and tell.get("retry"):
            await request.reply(429)
            return
        usage = {
            "prompt_tokens": tell["in"],
            "completion_tokens": tell["out"],
            "total_tokens": tell["in"] + tell["out"],
            "prompt_tokens_details": {"cached_tokens": tell["cached"]},
        }
        if request.path == EMBEDDINGS:
            usage = {"prompt_tokens": tell["in"], "total_tokens": tell["in"]}
        self.counted[at] = {
            "input_tokens": tell["in"],
            "output_tokens": usage.get("completion_tokens", 0),
            "cached_input_tokens": tell["cached"] if "completion_tokens" in usage else 0,
        }
        usage |= tell.get("usage", {})
        if asked.get("stream"):
            await self._stream(request, asked, usage)
            return
        body = {"model": "small-2026", "choices": [{"message": {"content": "x" * 9}}]}
        await request.reply(body=json.dumps({**body, "usage": usage}).encode())

    async def _stream(self, request: Request, asked: Any, usage: dict[str, Any]) -> None:
        tell, at = asked["tell"], request.headers["x-request-id"]
        await request.begin(
            200, {"content-type": "text/event-stream", "transfer-encoding": "chunked"}
        )
        deltas: list[dict[str, str]] = [{"role": "assistant", "content": ""}]
        deltas += [{"content": "word "}] * tell["out"]
        self.sent[at] = 0
        for delta in deltas[: tell.get("dies_after")]:
            await self._event(request, {"choices": [{"index": 0, "delta": delta}]})
            self.sent[at] += 1
            if tell.get("slowly"):
                await asyncio.sleep(0.01)
        if tell.get("dies_after"):
            request.writer.transport.abort()
            return
        if asked.get("stream_options", {}).get("include_usage"):
            await self._event(request, {"choices": [], "usage": usage})
        await request.chunk(b"data: [DONE]\n\n")
        await request.chunk(b"")

    async def _event(self, request: Request, value: dict[str, Any]) -> None:
        event = {"object": "chat.completion.chunk", "model": "small-2026", **value}
        await request.chunk(b"data: " + json.dumps(event).encode() + b"\n\n")


def body_of(kind: str, model: str = "chat", **tell: Any) -> bytes:
    """Return a request of this kind that says how it is to be answered."""
    fields: dict[str, Any] = {"model": model, "tell": {"in": 9, "out": 4, "cached": 2, **tell}}
    if kind in ("stream", "asked"):
        fields["stream"] = True
    if kind == "asked":
        fields["stream_options"] = {"include_usage": True}
    return json.dumps(fields).encode()


def path_of(kind: str, model: str = "chat") -> str:
    """Return where a request of this kind is sent."""
    if kind == "azure":
        return f"/openai/deployments/{model}/chat/completions?api-version=2024-10-21"
    return EMBEDDINGS if kind == "embedding" else CHAT
