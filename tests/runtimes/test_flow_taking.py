"""Connections are taken as many at a time as there is room for, and the end loses none."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from plinth.runtimes.flowhost.taking import Taking, Terms, terms_of


class Greeting(asyncio.Protocol):
    """Says hello, and closes when the caller has said anything."""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.write(b"hello")

    def data_received(self, _data: bytes) -> None:
        self.transport.close()


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        yield listener


class Stand:
    """Callers of one socket, and what takes their connections."""

    def __init__(self, listener: socket.socket, terms: Terms) -> None:
        self.path = listener.getsockname()
        self.ended = asyncio.Event()
        self.before: list[str] = []
        self.meanwhile: Callable[[], Awaitable[None]] | None = None
        self.taking = Taking(listener, terms, Greeting, before_end=self._before, end=self.ended.set)

    async def _before(self) -> None:
        self.before.append("told")
        if self.meanwhile is not None:
            await self.meanwhile()

    async def call(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_unix_connection(self.path)

    async def is_greeted(self, reader: asyncio.StreamReader, within_s: float = 0.05) -> bool:
        try:
            return await asyncio.wait_for(reader.read(5), within_s) == b"hello"
        except TimeoutError:
            return False


def run(work: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(work())  # type: ignore[arg-type]


async def bye(writer: asyncio.StreamWriter) -> None:
    writer.write(b"bye")
    writer.close()
    await writer.wait_closed()


def test_no_more_are_taken_at_a_time_than_there_is_room_for(listener: socket.socket) -> None:
    async def work() -> None:
        stand = Stand(listener, Terms(0, 1, None))
        stand.taking.begin()
        first, second = await stand.call(), await stand.call()
        assert await stand.is_greeted(first[0], 1.0)
        assert not await stand.is_greeted(second[0])
        await bye(first[1])
        assert await stand.is_greeted(second[0], 1.0)
        await bye(second[1])
        stand.taking.close()

    run(work)


def test_who_comes_after_the_end_waits_for_the_next(listener: socket.socket) -> None:
    async def work() -> None:
        stand = Stand(listener, Terms(0, 1, 0.01))
        stand.taking.begin()
        await asyncio.wait_for(stand.ended.wait(), 1.0)
        assert stand.before == ["told"]
        reader, writer = await stand.call()
        assert not await stand.is_greeted(reader)
        after = Stand(listener, Terms(0, 1, None))
        after.taking.begin()
        assert await after.is_greeted(reader, 1.0)
        await bye(writer)
        after.taking.close()

    run(work)


def test_who_comes_while_it_is_about_to_end_is_answered_by_it(listener: socket.socket) -> None:
    async def work() -> None:
        stand = Stand(listener, Terms(0, 1, 0.01))
        calls: list[Any] = []

        async def meanwhile() -> None:
            stand.meanwhile = None
            calls.append(await stand.call())

        stand.meanwhile = meanwhile
        stand.taking.begin()
        while not calls:
            await asyncio.sleep(0)
        reader, writer = calls[0]
        assert await stand.is_greeted(reader, 1.0)
        assert not stand.ended.is_set()
        await bye(writer)
        await asyncio.wait_for(stand.ended.wait(), 1.0)

    run(work)


def test_it_does_not_end_in_the_middle_of_one(listener: socket.socket) -> None:
    async def work() -> None:
        stand = Stand(listener, Terms(0, 2, 0.01))
        stand.taking.begin()
        reader, writer = await stand.call()
        assert await stand.is_greeted(reader, 1.0)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(stand.ended.wait(), 0.05)
        await bye(writer)
        await asyncio.wait_for(stand.ended.wait(), 1.0)

    run(work)


def test_the_request_of_a_caller_who_is_gone_is_finished_first(listener: socket.socket) -> None:
    async def work() -> None:
        stand = Stand(listener, Terms(0, 1, 0.01))
        going, done = asyncio.Event(), asyncio.Event()

        async def slow(_scope: Any, _receive: Any, _send: Any) -> None:
            going.set()
            await done.wait()

        stand.taking.begin()
        request = asyncio.ensure_future(
            stand.taking.counted(slow)({"type": "http"}, None, None)  # type: ignore[arg-type]
        )
        await going.wait()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(stand.ended.wait(), 0.05)
        done.set()
        await request
        await asyncio.wait_for(stand.ended.wait(), 1.0)

    run(work)


def test_a_higher_place_leaves_connections_to_a_lower_one(listener: socket.socket) -> None:
    async def work() -> None:
        # Two processes have descriptors of their own; one loop cannot hold the same twice.
        other = listener.dup()
        first, second = Stand(listener, Terms(0, 2, None)), Stand(other, Terms(1, 2, None))
        for stand in (second, first):
            stand.taking.begin()
        calls = [await first.call() for _ in range(3)]
        for reader, _ in calls:
            assert await first.is_greeted(reader, 1.0)
        # The third one found no room there.
        assert (first.taking.busy, second.taking.busy) == (2, 1)
        for _, writer in calls:
            await bye(writer)
        for stand in (first, second):
            stand.taking.close()
        other.close()

    run(work)


def test_a_connection_is_closed_after_its_answer(listener: socket.socket) -> None:
    sent: list[Any] = []

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        head = [(b"connection", b"keep-alive"), (b"a", b"b")]
        await send({"type": "http.response.start", "status": 200, "headers": head})

    async def send(message: Any) -> None:
        sent.append(message)

    async def work() -> None:
        taking = Stand(listener, Terms(0, 1, None)).taking
        await taking.counted(app)({"type": "http"}, None, send)  # type: ignore[arg-type]

    run(work)
    assert sent[0]["headers"] == [(b"a", b"b"), (b"connection", b"close")]


def test_the_terms_follow_from_the_place(monkeypatch: pytest.MonkeyPatch) -> None:
    assert terms_of(8, 300.0, 1) is None
    monkeypatch.setitem(os.environ, "PLINTH_WORKER", "0")
    assert terms_of(8, 300.0, 1) == Terms(0, 8, None)
    assert terms_of(None, None, 0) is None
    monkeypatch.setitem(os.environ, "PLINTH_WORKER", "1")
    assert terms_of(8, 300.0, 1) == Terms(1, 8, 300.0)
