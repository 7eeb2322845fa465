"""Have all requests sent by a handful of threads, and write down what each was answered."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from .journal import Journal
from .pace import Pace
from .sender import Answer, Fate, Sender
from .source import Request

log = logging.getLogger("requestrunner")

PROGRESS = "progress.json"
# How often what failed at the server's side is tried, and how long the first wait is.
TRIES = 6
_FIRST_WAIT_S, _LONGEST_WAIT_S = 1.0, 30.0
_AWAY_S = 1.0
_LOOK_S = 0.5


class Work:
    """One attempt to send what has no result yet.

    `sender`: makes a connection for each thread. `key_is_gone`: the key does not count any more,
    and nothing can be sent before a new start. `failure`: what nobody here can mend.
    """

    def __init__(
        self,
        requests: Iterator[Request],
        journal: Journal,
        sender: Callable[[], Sender],
        *,
        at_once: int,
        first_wait_s: float = _FIRST_WAIT_S,
    ) -> None:
        self._requests = requests
        self._journal = journal
        self._sender = sender
        self._first_wait_s = first_wait_s
        self._taking = threading.Lock()
        self._stopping = threading.Event()
        self.pace = Pace(at_once)
        self.key_is_gone = False
        self.failure: str | None = None
        self._threads = [
            threading.Thread(target=self._run, name=f"send-{number}", daemon=True)
            for number in range(at_once)
        ]

    def run(self, folder: Path, total: int, *, patience_s: float) -> bool:
        """Work until nothing is left or `stop` was called; return whether all have a result.

        How far it is stands in a file of `folder`. What is under way when it is stopped has
        `patience_s` to come to its end.
        """
        for thread in self._threads:
            thread.start()
        while any(thread.is_alive() for thread in self._threads):
            if self._stopping.wait(_LOOK_S):
                break
            self._report(folder)
        ends_at = time.monotonic() + patience_s
        for thread in self._threads:
            thread.join(max(0.0, ends_at - time.monotonic()))
        self._report(folder)
        return len(self._journal.done) >= total

    def stop(self) -> None:
        """Send nothing more."""
        self._stopping.set()
        self.pace.end()

    def _report(self, folder: Path) -> None:
        journal, pace = self._journal, self.pace
        said = {
            "completed": journal.completed,
            "failed": journal.failed,
            "at_once": pace.limit,
            "waits_s": round(pace.waits_s, 1),
        }
        temporary = folder / f".{PROGRESS}.tmp"
        # On a full disk the journal says so; this is only for who looks on.
        with contextlib.suppress(OSError):
            temporary.write_text(json.dumps(said))
            os.replace(temporary, folder / PROGRESS)
            journal.sync()

    def _run(self) -> None:
        sender = self._sender()
        try:
            while (request := self._next()) is not None:
                if not self._finish(sender, request):
                    return
        except (OSError, ValueError) as err:
            self.failure = f"{type(err).__name__}: {err}"
            self.stop()
        finally:
            sender.close()

    def _next(self) -> Request | None:
        with self._taking:
            return None if self._stopping.is_set() else next(self._requests, None)

    def _finish(self, sender: Sender, request: Request) -> bool:
        """Send a request until it has a result; False when that is not to be, for now."""
        tries, wait_s = 0, self._first_wait_s
        while self.pace.enter():
            try:
                answer = sender.send(request)
                if answer.fate in (Fate.GOOD, Fate.BAD):
                    self._note(sender, request, answer)
                    return True
                if answer.fate is Fate.TROUBLED:
                    tries += 1
                    if tries == TRIES:
                        self._note(sender, request, answer)
                        return True
                self._react(answer, wait_s)
            finally:
                self.pace.leave()
            if answer.fate is Fate.TROUBLED:
                self._stopping.wait(answer.after_s or wait_s)
            wait_s = min(_LONGEST_WAIT_S, wait_s * 2)
        return False

    def _react(self, answer: Answer, wait_s: float) -> None:
        if answer.fate is Fate.LIMITED:
            pause_s = wait_s if answer.after_s is None else answer.after_s
            log.info("a limit is reached: waiting %.1f s", pause_s)
            self.pace.slow_down(pause_s)
        elif answer.fate is Fate.TROUBLED:
            self.pace.slow_down(0.0)
        elif answer.fate is Fate.AWAY:
            log.info("%s", answer.body)
            self.pace.slow_down(_AWAY_S)
        else:
            self.key_is_gone = True
            self.stop()

    def _note(self, sender: Sender, request: Request, answer: Answer) -> None:
        is_good = answer.fate is Fate.GOOD
        self._journal.add(request.line, _result(sender, request, answer), is_good=is_good)
        if is_good:
            self.pace.went_well()


def _result(sender: Sender, request: Request, answer: Answer) -> dict[str, Any]:
    """Return the line of the output, or of the file of errors."""
    request_id = sender.id_of(request)
    response, error = None, None
    if answer.status:
        body = {"status_code": answer.status, "request_id": request_id, "body": answer.body}
        response = body
    else:
        error = {"code": "request_failed", "message": str(answer.body)}
    return {
        "id": f"batch_req_{request_id}",
        "custom_id": request.custom_id,
        "response": response,
        "error": error,
    }
