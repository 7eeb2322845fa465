"""Many requests in one thread: order, limits, stop strings, callers that leave, a failing model."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import pytest

from plinth.runtimes.llmserver.engine import (
    Accepted,
    Ended,
    Engine,
    Event,
    Generation,
    Limits,
    Piece,
)
from plinth.runtimes.llmserver.errors import Refused
from plinth.runtimes.llmserver.request import Request, Sampling
from tests.runtimes.letters import Letters

T = TypeVar("T")
ENDLESS = 10_000


def ask(prompt: str, **sampling: Any) -> Request:
    return Request("m", prompt=prompt, sampling=Sampling(**sampling))


async def events_of(generation: Generation) -> list[Event]:
    events: list[Event] = []
    while not events or not isinstance(events[-1], Ended | Refused):
        events.append(await asyncio.wait_for(generation.events.get(), 10))
    return events


def said(events: Sequence[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, Piece))


def with_engine(
    work: Callable[[Engine, Letters], Awaitable[T]], limits: Limits | None = None
) -> tuple[T, list[BaseException]]:
    """Run `work` on an event loop with an engine; return its result, and how the model failed."""
    broken: list[BaseException] = []

    async def run() -> T:
        pipeline = Letters()
        engine = Engine(pipeline, asyncio.get_running_loop(), limits or Limits(), broken.append)
        engine.start()
        try:
            return await work(engine, pipeline)
        finally:
            pipeline.go.set()
            engine.stop()
            await asyncio.to_thread(engine.join)

    return asyncio.run(run()), broken


def test_a_request_is_accepted_told_piece_by_piece_and_ended() -> None:
    async def work(engine: Engine, _pipeline: Letters) -> list[Event]:
        return await events_of(engine.submit(ask("ab", max_tokens=2)))

    events, _ = with_engine(work)
    assert events == [Accepted(2), *map(Piece, "abab"), Ended("length", 4)]


def test_many_run_together_and_no_more_than_may() -> None:
    async def work(engine: Engine, pipeline: Letters) -> list[str]:
        pipeline.go.clear()
        asked = [engine.submit(ask(letter)) for letter in "abcdef"]
        pipeline.go.set()
        return [said(await events_of(each)) for each in asked]

    async def count(engine: Engine, pipeline: Letters) -> int:
        await work(engine, pipeline)
        return pipeline.most

    texts, _ = with_engine(work, Limits(running=4))
    assert texts == [letter * 8 for letter in "abcdef"]
    assert with_engine(count, Limits(running=4))[0] == 4


def test_too_many_are_refused_at_once_and_later_ones_are_taken_again() -> None:
    async def work(engine: Engine, pipeline: Letters) -> Refused:
        pipeline.go.clear()
        asked = [engine.submit(ask("a")) for _ in range(3)]
        with pytest.raises(Refused) as caught:
            engine.submit(ask("a"))
        pipeline.go.set()
        for each in asked:
            await events_of(each)
        assert said(await events_of(engine.submit(ask("b")))) == "b" * 8
        assert (engine.counts.waiting, engine.counts.running) == (0, 0)
        return caught.value

    error, _ = with_engine(work, Limits(running=1, waiting=2))
    assert (error.status, error.code) == (503, "queue_full")
    assert dict(error.headers) == {"retry-after": "1"}
    assert error.to_json()["error"]["type"] == "server_error"


def test_a_stop_string_ends_the_sequence() -> None:
    async def work(engine: Engine, pipeline: Letters) -> list[Event]:
        events = await events_of(engine.submit(ask("abcd", max_tokens=ENDLESS, stop=("da",))))
        assert pipeline.begun[0].cancelled
        return events

    events, _ = with_engine(work)
    assert (said(events), events[-1]) == ("abc", Ended("stop", 5))


def test_a_caller_that_leaves_ends_its_sequence_and_frees_its_place() -> None:
    async def work(engine: Engine, pipeline: Letters) -> None:
        first, second = (engine.submit(ask("a", max_tokens=ENDLESS)) for _ in range(2))
        while not isinstance(await first.events.get(), Piece):
            continue
        second.cancel()
        first.cancel()
        assert (await events_of(first))[-1] == Ended("cancelled", pipeline.begun[0].read)
        assert (await events_of(second))[-1] == Ended("cancelled", 0)
        assert pipeline.begun[0].cancelled
        assert len(pipeline.begun) == 1, "the one that waited was never begun"
        assert engine.counts.cancelled == 2
        assert said(await events_of(engine.submit(ask("b")))) == "b" * 8

    with_engine(work, Limits(running=1, waiting=1))


@pytest.mark.parametrize(
    ("prompt", "status", "words"),
    [("a" * 101, 400, "too long"), ("?", 400, "does not take"), ("!", 500, "has no room")],
)
def test_what_cannot_be_computed_is_told_to_its_caller_alone(
    prompt: str, status: int, words: str
) -> None:
    async def work(engine: Engine, _pipeline: Letters) -> tuple[Event, str]:
        wrong, right = engine.submit(ask(prompt)), engine.submit(ask("b"))
        return (await events_of(wrong))[-1], said(await events_of(right))

    (event, text), broken = with_engine(work)
    assert isinstance(event, Refused)
    assert event.status == status
    assert words in str(event)
    assert text == "b" * 8
    assert not broken


def test_when_the_model_fails_everybody_hears_it_and_the_server_is_told() -> None:
    async def work(engine: Engine, pipeline: Letters) -> list[Event]:
        pipeline.go.clear()
        asked = [engine.submit(ask("a")) for _ in range(3)]
        pipeline.error = RuntimeError("out of memory")
        pipeline.go.set()
        ends = [(await events_of(each))[-1] for each in asked]
        with pytest.raises(Refused, match="the model failed"):
            engine.submit(ask("a"))
        return ends

    events, broken = with_engine(work, Limits(running=1))
    assert [(type(event), getattr(event, "status", None)) for event in events] == [
        (Refused, 503)
    ] * 3
    assert "out of memory" not in str(events)
    assert [str(error) for error in broken] == ["out of memory"]


def test_tokens_are_counted() -> None:
    async def work(engine: Engine, _pipeline: Letters) -> tuple[int, int]:
        await events_of(engine.submit(ask("abc")))
        await events_of(engine.submit(ask("ab", max_tokens=1)))
        return engine.counts.prompt_tokens, engine.counts.completion_tokens

    assert with_engine(work)[0] == (5, 26)
