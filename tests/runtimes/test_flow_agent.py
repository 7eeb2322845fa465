"""An agent of Semantic Kernel behind the JSON route; the real one runs in a journey."""

from __future__ import annotations

import asyncio
import sys
import types
from dataclasses import dataclass
from typing import Any

import pytest

from plinth.runtimes.flowhost.agent import Agent, is_agent, messages_of


@dataclass
class Content:
    role: str
    content: str
    name: str | None = None


@dataclass
class Item:
    message: Content


class Answering:
    """Answers as an agent does: with items that hold a message."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    async def get_response(self, *, messages: Any) -> Item:
        self.asked.append(messages)
        return Item(Content("assistant", "hello", "clerk"))

    async def invoke_stream(self, *, messages: Any) -> Any:
        self.asked.append(messages)
        for text in ("", "hel", "lo"):
            yield Item(Content("assistant", text))


def test_an_agent_is_known_by_what_it_is_made_from() -> None:
    base = type("Agent", (), {"__module__": "semantic_kernel.agents.agent"})
    own = type("Clerk", (base,), {"__module__": "app"})
    assert is_agent(own())
    other = type("AgentThread", (), {"__module__": "semantic_kernel.agents.agent"})
    assert not is_agent(other())
    assert not is_agent(Answering())


def test_it_answers_with_a_message() -> None:
    answering = Answering()
    answer = asyncio.run(Agent(answering).ainvoke({"messages": "Who?"}))
    assert answer == {"role": "assistant", "name": "clerk", "content": "hello"}
    assert answering.asked == ["Who?"]


def test_its_pieces_are_those_that_hold_text() -> None:
    async def pieces() -> list[Any]:
        return [each async for each in Agent(Answering()).astream("Who?")]

    assert asyncio.run(pieces()) == [{"content": "hel"}, {"content": "lo"}]


def test_messages_become_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("semantic_kernel.contents")
    module.__dict__["ChatMessageContent"] = Content
    monkeypatch.setitem(sys.modules, "semantic_kernel", types.ModuleType("semantic_kernel"))
    monkeypatch.setitem(sys.modules, "semantic_kernel.contents", module)
    given = [{"role": "user", "content": "Who?"}]
    assert messages_of(given) == messages_of({"messages": given}) == [Content("user", "Who?")]


@pytest.mark.parametrize("given", [None, 3, [], ["a"], {"question": "a"}, [{"role": "user"}]])
def test_what_is_no_message_is_refused_with_what_is(given: Any) -> None:
    with pytest.raises(ValueError, match="an agent takes a text, or"):
        messages_of(given)
