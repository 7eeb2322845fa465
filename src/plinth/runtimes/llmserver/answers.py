"""The answers of OpenAI's API: whole ones, and the events of a stream.

Standard library only, and pure. Shapes: platform.openai.com/docs/api-reference/chat, as the
official client parses them.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from typing import Any

DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True)
class Usage:
    """What one request is counted by."""

    prompt_tokens: int
    completion_tokens: int

    def to_json(self) -> dict[str, int]:
        """Return the three numbers of OpenAI's usage object."""
        total = self.prompt_tokens + self.completion_tokens
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": total,
        }


class Answers:
    """The shapes of one request's answer. `created`: seconds since 1970.

    `usage_wanted`: each event has a `usage` field, null but in the last one.
    """

    def __init__(self, model: str, created: int, *, is_chat: bool, usage_wanted: bool) -> None:
        self._is_chat = is_chat
        self._usage_wanted = usage_wanted
        prefix = "chatcmpl-" if is_chat else "cmpl-"
        self._head = {"id": prefix + secrets.token_hex(12), "created": created, "model": model}

    def whole(self, text: str, finish_reason: str, usage: Usage) -> dict[str, Any]:
        """Return the answer to a request that does not stream."""
        said = {"role": "assistant", "content": text, "refusal": None}
        what = {"message": said} if self._is_chat else {"text": text}
        return {
            "object": "chat.completion" if self._is_chat else "text_completion",
            **self._head,
            "choices": [_choice(what, finish_reason)],
            "usage": usage.to_json(),
        }

    def first(self) -> bytes | None:
        """Return the event that says who speaks; a continued text has none."""
        return (
            self._chunk({"delta": {"role": "assistant", "content": ""}}) if self._is_chat else None
        )

    def piece(self, text: str) -> bytes:
        """Return the event of one piece of text."""
        return self._chunk({"delta": {"content": text}} if self._is_chat else {"text": text})

    def last(self, finish_reason: str) -> bytes:
        """Return the event that says why the text ends."""
        return self._chunk({"delta": {}} if self._is_chat else {"text": ""}, finish_reason)

    def usage(self, usage: Usage) -> bytes | None:
        """Return the event of the usage, None where the caller did not ask for it."""
        if not self._usage_wanted:
            return None
        return event({**self._chunk_head(), "choices": [], "usage": usage.to_json()})

    def _chunk(self, what: dict[str, Any], finish_reason: str | None = None) -> bytes:
        document = {**self._chunk_head(), "choices": [_choice(what, finish_reason)]}
        return event({**document, "usage": None} if self._usage_wanted else document)

    def _chunk_head(self) -> dict[str, Any]:
        kind = "chat.completion.chunk" if self._is_chat else "text_completion"
        return {"object": kind, **self._head}


def model_card(name: str, created: int) -> dict[str, Any]:
    """Return one entry of `/v1/models`."""
    return {"id": name, "object": "model", "created": created, "owned_by": "plinth"}


def event(document: dict[str, Any]) -> bytes:
    """Return one server-sent event."""
    return b"data: " + to_bytes(document) + b"\n\n"


def to_bytes(document: dict[str, Any]) -> bytes:
    """Return a document as JSON in UTF-8, on one line."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def _choice(what: dict[str, Any], finish_reason: str | None) -> dict[str, Any]:
    return {"index": 0, **what, "logprobs": None, "finish_reason": finish_reason}
