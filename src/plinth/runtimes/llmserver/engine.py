"""Generate for many requests at once, in one thread of its own.

Standard library only: the model is behind `Pipeline`. `step` computes one token for every request
that runs and holds Python's global lock meanwhile, so the event loop has its turn between steps;
no step must be long.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from .errors import Refused
from .request import Request, Sampling
from .text import Detokenizer, StopScanner

log = logging.getLogger("llmserver")

_RETRY_AFTER_S = "1"


@dataclass(frozen=True)
class Accepted:
    """The first event: the request is whole and fits the context."""

    prompt_tokens: int


@dataclass(frozen=True)
class Piece:
    """Some text."""

    text: str


@dataclass(frozen=True)
class Ended:
    """The last event. `reason`: `stop` or `length`, as OpenAI says it."""

    reason: str
    completion_tokens: int


Event = Accepted | Piece | Ended | Refused


@dataclass(frozen=True)
class Read:
    """What one request's sequence has given since it was last read.

    `ended`: None while it runs, else `stop`, `length` or, for what could not be computed, a text
    that begins with `failed`.
    """

    tokens: Sequence[int]
    ended: str | None


class Pipeline(Protocol):
    """A loaded model. Every method is called in the engine's thread only."""

    def tokenise(self, request: Request) -> Any:
        """Return the tokens of the prompt; has `len`. Raises Refused when it does not fit."""
        ...

    def start(self, tokens: Any, sampling: Sampling) -> Any:
        """Begin a sequence and return it. Raises Refused for a sampling that does not work."""
        ...

    def step(self) -> None:
        """Compute the next token of every sequence that was begun and has not ended."""
        ...

    def read(self, sequence: Any) -> Read:
        """Return what is new of a sequence."""
        ...

    def cancel(self, sequence: Any) -> None:
        """End a sequence and free what it holds."""
        ...

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the tokens as text, without those that only steer."""
        ...


@dataclass(frozen=True)
class Limits:
    """How many requests are computed together, and how many more may wait for that."""

    running: int = 8
    waiting: int = 32


@dataclass(frozen=True)
class Counts:
    """What the engine has done since it started, and what it does now."""

    running: int = 0
    waiting: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cancelled: int = 0


class Generation:
    """One request on its way. `events` and `cancel` belong to the event loop."""

    def __init__(self, request: Request, pipeline: Pipeline) -> None:
        self.request = request
        self.events: asyncio.Queue[Event] = asyncio.Queue()
        self.is_cancelled = False
        self.tokens: Any = None
        self.sequence: Any = None
        self.completion_tokens = 0
        self.detokenizer = Detokenizer(pipeline.decode)
        self.scanner = StopScanner(request.sampling.stop)

    def cancel(self) -> None:
        """Let the engine drop it at its next step; nothing happens when it has ended."""
        self.is_cancelled = True


@dataclass
class _Tally:
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cancelled: int = 0
    waiting: deque[Generation] = field(default_factory=deque)
    running: list[Generation] = field(default_factory=list)


class Engine:
    """The thread and its queue. `on_broken`: called on the loop when the model itself failed."""

    def __init__(
        self,
        pipeline: Pipeline,
        loop: asyncio.AbstractEventLoop,
        limits: Limits,
        on_broken: Callable[[BaseException], None],
    ) -> None:
        self._pipeline = pipeline
        self._loop = loop
        self._limits = limits
        self._on_broken = on_broken
        self._inbox: queue.SimpleQueue[Generation | None] = queue.SimpleQueue()
        self._open = 0
        self._is_broken = False
        self._tally = _Tally()
        self._events: list[tuple[Generation, Event]] = []
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    @property
    def counts(self) -> Counts:
        """What was done and is done; read from the event loop, a step old at most."""
        tally, running = self._tally, len(self._tally.running)
        return Counts(
            running=running,
            waiting=max(0, self._open - running),
            prompt_tokens=tally.prompt_tokens,
            completion_tokens=tally.completion_tokens,
            cancelled=tally.cancelled,
        )

    def start(self) -> None:
        """Begin to take requests."""
        self._thread.start()

    def stop(self) -> None:
        """Take no more and end the thread after its current step."""
        self._inbox.put(None)

    def join(self) -> None:
        """Wait until the thread has ended."""
        self._thread.join()

    def submit(self, request: Request) -> Generation:
        """Queue a request; called on the event loop.

        Raises Refused (503) when too many wait, or when the model has failed.
        """
        if self._is_broken:
            raise _failed()
        if self._open >= self._limits.running + self._limits.waiting:
            raise Refused(
                f"{self._limits.running} requests are computed and {self._limits.waiting} wait "
                "already; try again",
                503,
                code="queue_full",
                headers=(("retry-after", _RETRY_AFTER_S),),
            )
        generation = Generation(request, self._pipeline)
        self._open += 1
        self._inbox.put(generation)
        return generation

    # -- in the thread ----------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while self._take():
                self._drop_cancelled()
                self._begin()
                self._deliver()
                if self._tally.running:
                    self._pipeline.step()
                    self._read_all()
                self._deliver()
        except Exception as err:  # noqa: BLE001 - the model's library may raise anything
            log.error("the model failed", exc_info=err)
            self._break(err)

    def _take(self) -> bool:
        """Take what has arrived; wait while there is nothing to do. False: it is told to stop."""
        idle = not self._tally.running and not self._tally.waiting
        while idle or not self._inbox.empty():
            generation = self._inbox.get()
            if generation is None:
                return False
            self._tokenise(generation)
            idle = False
        return True

    def _tokenise(self, generation: Generation) -> None:
        try:
            generation.tokens = self._pipeline.tokenise(generation.request)
        except Refused as err:
            self._say(generation, err)
            return
        self._say(generation, Accepted(len(generation.tokens)))
        self._tally.waiting.append(generation)

    def _begin(self) -> None:
        tally = self._tally
        while tally.waiting and len(tally.running) < self._limits.running:
            generation = tally.waiting.popleft()
            try:
                generation.sequence = self._pipeline.start(
                    generation.tokens, generation.request.sampling
                )
            except Refused as err:
                self._say(generation, err)
                continue
            tally.prompt_tokens += len(generation.tokens)
            generation.tokens = None
            tally.running.append(generation)

    def _drop_cancelled(self) -> None:
        tally = self._tally
        for generation in [each for each in tally.waiting if each.is_cancelled]:
            tally.waiting.remove(generation)
            self._dropped(generation)
        for generation in [each for each in tally.running if each.is_cancelled]:
            tally.running.remove(generation)
            self._pipeline.cancel(generation.sequence)
            self._dropped(generation)

    def _dropped(self, generation: Generation) -> None:
        self._tally.cancelled += 1
        self._say(generation, Ended("cancelled", generation.completion_tokens))

    def _read_all(self) -> None:
        for generation in list(self._tally.running):
            last = self._advance(generation, self._pipeline.read(generation.sequence))
            if last is not None:
                self._tally.running.remove(generation)
                self._say(generation, last)

    def _advance(self, generation: Generation, read: Read) -> Event | None:
        """Send the text that is new; return the last event when nothing follows."""
        generation.completion_tokens += len(read.tokens)
        self._tally.completion_tokens += len(read.tokens)
        text = generation.detokenizer.add(read.tokens) if read.tokens else ""
        if read.ended is not None:
            text += generation.detokenizer.end()
        piece = generation.scanner.add(text)
        if read.ended is not None:
            piece += generation.scanner.end()
        if piece:
            self._say(generation, Piece(piece))
        if generation.scanner.found:
            if read.ended is None:
                self._pipeline.cancel(generation.sequence)
            return Ended("stop", generation.completion_tokens)
        if read.ended is None:
            return None
        if read.ended.startswith("failed"):
            return Refused(f"the generation {read.ended}", 500, code="generation_failed")
        return Ended(read.ended, generation.completion_tokens)

    def _say(self, generation: Generation, event: Event) -> None:
        self._events.append((generation, event))

    def _deliver(self) -> None:
        """Hand the events of this step to the loop, in one call."""
        events, self._events = self._events, []
        if events:
            self._loop.call_soon_threadsafe(self._put, events)

    def _break(self, error: BaseException) -> None:
        self._is_broken = True
        tally = self._tally
        lost = [*tally.running, *tally.waiting]
        while not self._inbox.empty():
            generation = self._inbox.get()
            lost += [generation] if generation is not None else []
        for generation in lost:
            self._say(generation, _failed())
        tally.running.clear()
        tally.waiting.clear()
        self._deliver()
        self._loop.call_soon_threadsafe(self._on_broken, error)

    # -- on the event loop ------------------------------------------------------------------------

    def _put(self, events: list[tuple[Generation, Event]]) -> None:
        for generation, event in events:
            if isinstance(event, Ended | Refused):
                self._open -= 1
            generation.events.put_nowait(event)


def _failed() -> Refused:
    return Refused(
        "the model failed; its server starts again",
        503,
        code="generation_failed",
        headers=(("retry-after", _RETRY_AFTER_S),),
    )
