"""Merge the requests that queued while a call of the model ran into the next call.

Standard library only. There is no timer: an idle server calls at once, a busy one calls with what
has come meanwhile. The model runs in one thread of its own, never on the event loop.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, Protocol

from .tensors import Refused


@dataclass(frozen=True)
class Feed:
    """One request's checked input.

    `key`: requests with equal keys may share a call; None never shares. `rows`: its rows.
    """

    key: Hashable
    rows: int
    payload: Any


class Predictor(Protocol):
    """What is called in the model's thread; each method may raise anything the model raises."""

    def predict(self, feed: Feed) -> Any:
        """Return the answer to one feed."""
        ...

    def merge(self, feeds: Sequence[Feed]) -> Feed:
        """Return the feeds as one, row after row."""
        ...

    def split(self, answer: Any, feeds: Sequence[Feed]) -> list[Any] | None:
        """Return each feed's part of a merged answer; None when it does not fall into rows."""
        ...


class ModelFailed(Exception):
    """The model raised; the cause is chained."""


@dataclass
class _Waiting:
    feed: Feed
    future: asyncio.Future[Any]


class Batcher:
    """A queue in front of a Predictor, served by one thread of `executor`."""

    def __init__(
        self,
        predictor: Predictor,
        executor: Executor,
        *,
        max_rows: int = 64,
        max_queued: int = 1024,
        on_call: Callable[[int], None] | None = None,
    ) -> None:
        self._predictor = predictor
        self._executor = executor
        self._max_rows = max_rows
        self._max_queued = max_queued
        self._on_call = on_call
        self._queue: deque[_Waiting] = deque()
        self._running: asyncio.Task[None] | None = None
        self._mergeable = True

    @property
    def queued(self) -> int:
        """How many requests wait for a call."""
        return len(self._queue)

    async def submit(self, feed: Feed) -> Any:
        """Return the predictor's answer to `feed`.

        Raises Refused (429) when the queue is full and ModelFailed when the model raised for it.
        """
        if len(self._queue) >= self._max_queued:
            raise Refused(
                f"{self._max_queued} requests wait already; try again",
                429,
                headers=(("retry-after", "1"),),
            )
        waiting = _Waiting(feed, asyncio.get_running_loop().create_future())
        self._queue.append(waiting)
        if self._running is None:
            self._running = asyncio.create_task(self._drain())
        return await waiting.future

    async def _drain(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._queue:
                batch = self._take()
                if not batch:
                    continue
                feeds = [waiting.feed for waiting in batch]
                self._report(sum(feed.rows for feed in feeds))
                outcomes = await loop.run_in_executor(self._executor, self._call, feeds)
                for waiting, outcome in zip(batch, outcomes):  # noqa: B905 - one outcome per feed
                    _settle(waiting.future, outcome)
        finally:
            self._running = None

    def _report(self, rows: int) -> None:
        if self._on_call is not None:
            self._on_call(rows)

    def _take(self) -> list[_Waiting]:
        """Take the longest head of the queue that may share one call; skip who gave up waiting."""
        batch: list[_Waiting] = []
        rows = 0
        while self._queue:
            waiting = self._queue[0]
            if waiting.future.done():
                self._queue.popleft()
                continue
            feed = waiting.feed
            if batch and not self._shares(batch[0].feed, feed, rows):
                break
            batch.append(self._queue.popleft())
            rows += feed.rows
        return batch

    def _shares(self, first: Feed, feed: Feed, rows: int) -> bool:
        if not self._mergeable or first.key is None or rows + feed.rows > self._max_rows:
            return False
        return first.key == feed.key

    def _call(self, feeds: list[Feed]) -> list[Any]:
        """Run in the model's thread: one call for all, or one for each when that does not work."""
        if len(feeds) > 1:
            merged = self._call_merged(feeds)
            if merged is not None:
                return merged
        return [self._call_alone(feed) for feed in feeds]

    def _call_merged(self, feeds: list[Feed]) -> list[Any] | None:
        try:
            answer = self._predictor.predict(self._predictor.merge(feeds))
        except (Exception, SystemExit):  # noqa: BLE001 - each feed is tried alone next
            return None
        parts = self._predictor.split(answer, feeds)
        if parts is None:
            # The answer does not follow the rows, so no later merge can work either.
            self._mergeable = False
        return parts

    def _call_alone(self, feed: Feed) -> Any:
        try:
            return self._predictor.predict(feed)
        except Refused as err:
            return err
        except (Exception, SystemExit) as err:  # noqa: BLE001 - the model's own code may raise any
            failed = ModelFailed(f"{type(err).__name__}: {err}")
            failed.__cause__ = err
            return failed


def _settle(future: asyncio.Future[Any], outcome: Any) -> None:
    if future.done():
        return
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
