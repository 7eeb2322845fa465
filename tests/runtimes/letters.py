"""A pipeline for the chat server made of plain lists: its tokens are letters.

A prompt of `x` answers `x` again and again, one token a step; of a conversation, the last message.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from plinth.runtimes.llmserver.engine import Read
from plinth.runtimes.llmserver.errors import Refused
from plinth.runtimes.llmserver.request import Request, Sampling


@dataclass
class Sequences:
    """One sequence of the fake: what it will say, and how much of it was computed and read."""

    answer: list[int]
    is_long: bool
    computed: int = 0
    read: int = 0
    cancelled: bool = False


class Letters:
    """A pipeline whose tokens are letters. It steps only while `go` is set."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.go.set()
        self.begun: list[Sequences] = []
        self.most = 0
        self.error: Exception | None = None

    def tokenise(self, request: Request) -> list[int]:
        prompt = request.messages[-1]["content"] if request.is_chat else request.prompt
        if len(prompt) > 100:
            raise Refused("too long", code="context_length_exceeded")
        return [ord(letter) for letter in prompt]

    def start(self, tokens: Any, sampling: Sampling) -> Sequences:
        if tokens == [ord("?")]:
            raise Refused("the model does not take this request")
        count = sampling.max_tokens or 8
        self.begun.append(Sequences([*tokens] * count, is_long=sampling.max_tokens is not None))
        return self.begun[-1]

    def step(self) -> None:
        assert self.go.wait(10)
        if self.error is not None:
            raise self.error
        running = [each for each in self.begun if not each.cancelled]
        running = [each for each in running if each.computed < len(each.answer)]
        self.most = max(self.most, len(running))
        for each in running:
            each.computed += 1

    def read(self, sequence: Sequences) -> Read:
        new = sequence.answer[sequence.read : sequence.computed]
        sequence.read = sequence.computed
        is_over = sequence.read == len(sequence.answer)
        if sequence.answer[0] == ord("!"):
            return Read(new, "failed: the cache has no room for it")
        return Read(new, ("length" if sequence.is_long else "stop") if is_over else None)

    def cancel(self, sequence: Sequences) -> None:
        sequence.cancelled = True

    def decode(self, tokens: Sequence[int]) -> str:
        return "".join(map(chr, tokens))
