"""Speak the DevTools protocol with one Chromium over its pipe: calls, answers and events.

A message is JSON that ends with a zero byte. Everything happens in the thread of the test: events
are handed on while it waits for an answer. What can be called stands in Chromium's own protocol
(`Domain.method`, parameters in camelCase).
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

Json = dict[str, Any]
Listener = Callable[[str, Json], None]

# Other tests use the same two cores, and MLflow's pages alone take seconds on them.
PATIENCE_S = 60.0
_LOOK_S = 0.05


class CannotDo(Exception):
    """Chromium answered a call with an error, such as a script in a page that was left."""


class Pipe:
    """The two ends of a started Chromium; `session` names one of its pages, "" all of it.

    `log`: what it writes to, read when it has ended before it should.
    """

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._to, self._from = process.stdin, process.stdout
        self._log = log
        self._rest = b""
        self._calls = 0
        self._answers: dict[int, Json] = {}
        self._listeners: dict[str, Listener] = {}

    def listen(self, session: str, listener: Listener) -> None:
        """Hand each event of a session to `listener`; it may `send`, and must not `call`."""
        self._listeners[session] = listener

    def call(self, method: str, session: str = "", **parameters: Any) -> Json:
        """Call a method; return its result. Raises CannotDo."""
        number = self.send(method, session, **parameters)
        self.wait_for(lambda: number in self._answers, method)
        answer = self._answers.pop(number)
        if "error" in answer:
            raise CannotDo(f"{method}: {answer['error']['message']}")
        return dict(answer["result"])

    def send(self, method: str, session: str = "", **parameters: Any) -> int:
        """Call a method without waiting for its answer; return the call's number."""
        self._calls += 1
        message = {"id": self._calls, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        with suppress(BrokenPipeError):  # Whoever reads its end next is told of it.
            self._to.write(json.dumps(message).encode() + b"\0")
            self._to.flush()
        return self._calls

    def wait_for(self, seen: Callable[[], Any], what: str) -> Any:
        """Take in what comes until `seen()` is truthy; return that. Fails after PATIENCE_S."""
        deadline = time.monotonic() + PATIENCE_S
        while not (value := seen()):
            assert time.monotonic() < deadline, f"{what} did not happen in {PATIENCE_S:.0f} s"
            self._take_in()
        return value

    def _take_in(self) -> None:
        ready, _, _ = select.select([self._from], [], [], _LOOK_S)
        if not ready:
            return
        piece = os.read(self._from.fileno(), 1 << 16)
        assert piece, f"Chromium has ended: {self._log.read_text(errors='replace')[-2000:]}"
        *messages, self._rest = (self._rest + piece).split(b"\0")
        for message in map(json.loads, messages):
            if "id" in message:
                self._answers[message["id"]] = message
            elif listener := self._listeners.get(message.get("sessionId", "")):
                listener(message["method"], message["params"])
