"""Batching without a timer, with a predictor of plain lists."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from plinth.runtimes.v2server.batcher import Batcher, Feed, ModelFailed
from plinth.runtimes.v2server.tensors import Refused


class Doubler:
    """Doubles numbers; holds the first call until it is released; fails on negative ones."""

    def __init__(self, *, by_rows: bool = True) -> None:
        self.calls: list[list[int]] = []
        self.gate = threading.Event()
        self.by_rows = by_rows

    def predict(self, feed: Feed) -> list[int]:
        self.gate.wait(5)
        self.calls.append(feed.payload)
        if -2 in feed.payload:
            raise SystemExit(1)
        if min(feed.payload) < 0:
            raise ValueError("negative")
        return [value * 2 for value in feed.payload]

    def merge(self, feeds: Sequence[Feed]) -> Feed:
        payload = [value for feed in feeds for value in feed.payload]
        return Feed(feeds[0].key, len(payload), payload)

    def split(self, answer: list[int], feeds: Sequence[Feed]) -> list[Any] | None:
        if not self.by_rows:
            return None
        rest = iter(answer)
        return [[next(rest) for _ in feed.payload] for feed in feeds]


def _feed(*values: int, key: str | None = "k") -> Feed:
    return Feed(key, len(values), list(values))


def _run(doubler: Doubler, feeds: Sequence[Feed], **limits: int) -> list[Any]:
    """Submit every feed while the first call is held, then let it go."""

    async def go() -> list[Any]:
        with ThreadPoolExecutor(1) as executor:
            batcher = Batcher(doubler, executor, **limits)
            tasks = [asyncio.ensure_future(batcher.submit(feeds[0]))]
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            tasks += [asyncio.ensure_future(batcher.submit(feed)) for feed in feeds[1:]]
            await asyncio.sleep(0)
            doubler.gate.set()
            return await asyncio.gather(*tasks, return_exceptions=True)

    return _finish(go())


def _finish(work: Coroutine[Any, Any, list[Any]]) -> list[Any]:
    return asyncio.run(work)


def test_what_queued_during_a_call_becomes_one_call() -> None:
    doubler = Doubler()
    answers = _run(doubler, [_feed(1), _feed(2), _feed(3, 4), _feed(5)])
    assert answers == [[2], [4], [6, 8], [10]]
    assert doubler.calls == [[1], [2, 3, 4, 5]]


def test_a_batch_has_at_most_the_allowed_rows() -> None:
    doubler = Doubler()
    _run(doubler, [_feed(0), *(_feed(n) for n in range(1, 6))], max_rows=2)
    assert doubler.calls == [[0], [1, 2], [3, 4], [5]]


def test_a_request_larger_than_a_batch_runs_alone() -> None:
    doubler = Doubler()
    assert _run(doubler, [_feed(0), _feed(1, 2, 3)], max_rows=2)[1] == [2, 4, 6]


def test_different_keys_and_no_key_are_not_merged() -> None:
    doubler = Doubler()
    feeds = [_feed(0), _feed(1), _feed(2, key="other"), _feed(3, key=None), _feed(4, key=None)]
    _run(doubler, feeds)
    assert doubler.calls == [[0], [1], [2], [3], [4]]


def test_one_bad_request_fails_alone() -> None:
    answers = _run(Doubler(), [_feed(0), _feed(1), _feed(-1), _feed(3)])
    assert answers[1] == [2]
    assert isinstance(answers[2], ModelFailed)
    assert str(answers[2]) == "ValueError: negative"
    assert answers[3] == [6]


def test_a_model_that_exits_fails_the_request_and_not_the_server() -> None:
    answers = _run(Doubler(), [_feed(0), _feed(-2), _feed(3)])
    assert isinstance(answers[1], ModelFailed)
    assert answers[2] == [6]


def test_a_model_that_does_not_answer_by_rows_is_not_merged_again() -> None:
    doubler = Doubler(by_rows=False)
    answers = _run(doubler, [_feed(0), _feed(1), _feed(2), _feed(3)], max_rows=2)
    assert answers == [[0], [2], [4], [6]]
    assert doubler.calls == [[0], [1, 2], [1], [2], [3]]


def test_a_full_queue_answers_429_with_retry_after() -> None:
    answers = _run(Doubler(), [_feed(0), _feed(1), _feed(2), _feed(3)], max_queued=2)
    assert answers[:3] == [[0], [2], [4]]
    assert isinstance(answers[3], Refused)
    assert answers[3].status == 429
    assert dict(answers[3].headers)["retry-after"] == "1"


def test_who_stops_waiting_costs_no_call() -> None:
    doubler = Doubler()

    async def go() -> list[Any]:
        with ThreadPoolExecutor(1) as executor:
            batcher = Batcher(doubler, executor)
            first = asyncio.ensure_future(batcher.submit(_feed(0)))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            gone = asyncio.ensure_future(batcher.submit(_feed(1)))
            await asyncio.sleep(0)
            gone.cancel()
            doubler.gate.set()
            with pytest.raises(asyncio.CancelledError):
                await gone
            return [await first, await batcher.submit(_feed(2))]

    assert _finish(go()) == [[0], [4]]
    assert doubler.calls == [[0], [2]]
