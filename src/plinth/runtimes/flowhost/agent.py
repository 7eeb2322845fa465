"""An agent of Semantic Kernel as an object that takes requests.

A request is a text, a list of messages, or `{"messages": ...}` with either; each is a conversation
of its own. The answer is a message, in a stream its pieces.
"""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator
from typing import Any

_AGENTS = "semantic_kernel.agents."


def is_agent(found: Any) -> bool:
    """Tell whether it is an agent of Semantic Kernel, or of a class made from one."""
    bases = [each for each in type(found).__mro__ if each.__module__.startswith(_AGENTS)]
    return any(each.__name__ == "Agent" for each in bases)


class Agent:
    """Asks the agent, with `ainvoke` and `astream` as LangChain's objects have them."""

    def __init__(self, found: Any) -> None:
        self._found = found

    async def ainvoke(self, given: Any) -> dict[str, Any]:
        """Return the agent's answer. Raises ValueError for what is no message."""
        answer = await self._found.get_response(messages=messages_of(given))
        message = answer.message
        role = str(getattr(message.role, "value", message.role))
        return {"role": role, "name": message.name, "content": str(message.content)}

    async def astream(self, given: Any) -> AsyncIterator[dict[str, Any]]:
        """Give the pieces of the answer. Raises ValueError for what is no message."""
        async for piece in self._found.invoke_stream(messages=messages_of(given)):
            if text := str(piece.message.content):
                yield {"content": text}


def messages_of(given: Any) -> Any:
    """Return what an agent takes: a text, or messages. Raises ValueError for anything else."""
    asked = given.get("messages") if isinstance(given, dict) else given
    if isinstance(asked, str):
        return asked
    if not isinstance(asked, list) or not asked or not all(map(_is_message, asked)):
        raise ValueError(
            'an agent takes a text, or {"messages": [{"role": "user", "content": "..."}]}'
        )
    # By name: only the environments of such flows have it.
    content = importlib.import_module("semantic_kernel.contents").ChatMessageContent
    return [content(role=each["role"], content=each["content"]) for each in asked]


def _is_message(given: Any) -> bool:
    return isinstance(given, dict) and all(
        isinstance(given.get(name), str) for name in ("role", "content")
    )
