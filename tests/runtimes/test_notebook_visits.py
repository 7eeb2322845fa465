"""A WebSocket is closed for the key it was opened with, and for no other."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from plinth.gateway.identity import KEY_HEADER
from plinth.runtimes import tool
from plinth.runtimes.notebookhost import visits
from plinth.runtimes.notebookhost.visits import CLOSED, Visits


def test_both_sides_call_the_address_and_the_header_the_same() -> None:
    assert visits.LEAVE_PATH == tool.LEAVE_PATH
    assert visits.KEY_HEADER == KEY_HEADER


def test_only_the_connections_of_the_key_are_closed() -> None:
    found, closed = Visits(), []
    with (
        found.stays("k_bob", lambda: closed.append("bob")),
        found.stays("k_bob", lambda: closed.append("bob again")),
        found.stays("k_ann", lambda: closed.append("ann")),
        found.stays(None, lambda: closed.append("inside")),
    ):
        assert found.keys == ["k_ann", "k_bob"]
        found.obey(b'{"keys": ["k_bob", "k_other"]}')
        assert closed == ["bob", "bob again"]
        assert found.keys == ["k_ann"]
    assert found.keys == []


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"keys": 1}', b"\xff"])
def test_what_is_no_list_of_keys_closes_nothing(body: bytes) -> None:
    found = Visits()
    with found.stays("k_bob", pytest.fail), pytest.raises(ValueError, match=r"\w"):
        found.obey(body)


class Stand:
    """An application that echoes what a WebSocket says, and what was sent to its client."""

    def __init__(self) -> None:
        self.visits = Visits()
        self.typed: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.sent: list[dict[str, Any]] = []
        self.heard: list[str] = []

    async def app(self, _scope: Any, receive: Any, send: Any) -> None:
        while (message := await receive())["type"] == "websocket.receive":
            self.heard.append(message["text"])
            await send({"type": "websocket.send", "text": message["text"]})
        await send({"type": "websocket.send", "text": "after the end"})

    async def send(self, message: Any) -> None:
        self.sent.append(message)

    async def serve(self) -> None:
        scope = {"type": "websocket", "headers": [(b"x-plinth-key", b"k_bob")]}
        await self.visits.serve(self.app, scope, self.typed.get, self.send)

    async def says(self, text: str) -> None:
        await self.typed.put({"type": "websocket.receive", "text": text})
        await asyncio.sleep(0)


def test_an_asgi_tool_hears_nothing_more_of_who_was_sent_away() -> None:
    async def try_it() -> Stand:
        stand = Stand()
        serving = asyncio.ensure_future(stand.serve())
        await stand.says("first")
        while not stand.heard:
            await asyncio.sleep(0)
        assert stand.visits.keys == ["k_bob"]
        stand.visits.send_away(["k_bob"])
        await stand.says("second")
        await serving
        return stand

    stand = asyncio.run(try_it())
    assert stand.heard == ["first"]
    assert [each["type"] for each in stand.sent] == ["websocket.send", "websocket.close"]
    assert stand.sent[-1]["code"] == CLOSED
    assert stand.visits.keys == []
