"""The workers as the runner sees them: started, told what to do, heard, and buried.

Standard library only. One conversation is a line each way; a worker that ended in the middle of
one is known by the end of its pipe.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_PIECE_BYTES = 1 << 16


@dataclass
class Hand:
    """One worker process. `task`: what it was told last and has not answered."""

    process: subprocess.Popen[bytes]
    tell: int
    hear: int
    task: dict[str, Any] | None = None
    heard: bytes = field(default=b"", repr=False)
    # The file of which it knows where the mini-batches begin.
    file: int | None = None


class Crew:
    """All workers of one kind: those with one interpreter."""

    def __init__(self, command: Sequence[str], prefix: str, kept: Sequence[int]) -> None:
        """`command` ends with the folder of the work; `kept`: descriptors that stay open."""
        self._command, self._prefix, self._kept = tuple(command), prefix, tuple(kept)
        self._hands: list[Hand] = []
        self._selector = selectors.DefaultSelector()
        self._started = 0

    def start(self) -> Hand:
        """Start one more worker."""
        told, tell = os.pipe()
        hear, said = os.pipe()
        name = f"{self._prefix}-{self._started:03d}"
        self._started += 1
        process = subprocess.Popen(
            [*self._command, name, str(told), str(said)],
            pass_fds=(told, said, *self._kept),
            stdin=subprocess.DEVNULL,
        )
        os.close(told)
        os.close(said)
        hand = Hand(process, tell, hear)
        self._hands.append(hand)
        self._selector.register(hear, selectors.EVENT_READ, hand)
        return hand

    @property
    def hands(self) -> tuple[Hand, ...]:
        """The workers that live."""
        return tuple(self._hands)

    def tell(self, hand: Hand, task: dict[str, Any]) -> None:
        """Give a worker its next task; one that died is heard of by `listen`."""
        hand.task = task
        with contextlib.suppress(BrokenPipeError):
            _write_all(hand.tell, json.dumps(task).encode() + b"\n")

    def listen(self, timeout_s: float) -> Iterator[tuple[Hand, dict[str, Any] | None]]:
        """Yield what workers answered meanwhile; None: this one has died."""
        for key, _ in self._selector.select(timeout_s):
            hand: Hand = key.data
            piece = os.read(hand.hear, _PIECE_BYTES)
            if not piece:
                self._bury(hand)
                yield hand, None
                continue
            hand.heard += piece
            while b"\n" in hand.heard:
                line, _, hand.heard = hand.heard.partition(b"\n")
                yield hand, json.loads(line)

    def dismiss(self) -> None:
        """Let every worker end by itself: there is nothing more to do."""
        for hand in tuple(self._hands):
            self._bury(hand)

    def end(self) -> None:
        """End every worker at once."""
        for hand in tuple(self._hands):
            hand.process.kill()
            self._bury(hand)

    def _bury(self, hand: Hand) -> None:
        self._selector.unregister(hand.hear)
        os.close(hand.tell)
        os.close(hand.hear)
        hand.process.wait()
        self._hands.remove(hand)


def how_it_ended(hand: Hand) -> str:
    """Say how a worker ended, in words."""
    code = hand.process.returncode
    if code is not None and code < 0:
        try:
            return f"was ended by {signal.Signals(-code).name}"
        except ValueError:
            return f"was ended by signal {-code}"
    return f"exited with code {code}"


def command_of(python: str, *arguments: str | Path) -> list[str]:
    """Return the command that runs a module of this package by an interpreter."""
    return [python, "-m", *map(str, arguments)]


def _write_all(descriptor: int, content: bytes) -> None:
    while content:
        content = content[os.write(descriptor, content) :]
