"""A provider of OpenAI's protocol for batches: what a request says decides how it is answered.

`ok-...` is answered, `bad-...` refused with 400, `flaky-...` fails twice with 500 before it is
answered, `broken-...` always fails. `slow_s` is what each answer takes; while `per_second` is set,
more than so many in a second are refused with 429 and `Retry-After`.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Json = dict[str, Any]
USAGE = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}
_FLAKY_TIMES = 2


@dataclass
class BatchProvider:
    """What it was asked and what it answered, by what the requests say."""

    port: int = 0
    slow_s: float = 0.0
    per_second: int | None = None
    asked: Counter[str] = field(default_factory=Counter)
    answered: Counter[str] = field(default_factory=Counter)
    refused: int = 0
    under_way: int = 0
    most_under_way: int = 0
    keys: set[str] = field(default_factory=set)
    _window: tuple[int, int] = (0, 0)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def begin(self, says: str) -> int | None:
        """Note a request; return the status to refuse it with, or None."""
        with self._lock:
            if self.per_second is not None:
                second = int(time.monotonic())
                count = self._window[1] + 1 if self._window[0] == second else 1
                self._window = (second, count)
                if count > self.per_second:
                    self.refused += 1
                    return 429
            self.asked[says] += 1
            self.under_way += 1
            self.most_under_way = max(self.most_under_way, self.under_way)
            return None

    def end(self, says: str, *, is_answered: bool) -> None:
        with self._lock:
            self.under_way -= 1
            self.answered[says] += is_answered


def _says(path: str, body: Json) -> str:
    if path.endswith("/chat/completions"):
        return str(body["messages"][-1]["content"])
    return str(body.get("input") or body.get("prompt"))


def _answer(path: str, body: Json) -> Json:
    shared = {"id": "a-1", "created": 1, "model": f"{body['model']}-2026", "usage": USAGE}
    if path.endswith("/embeddings"):
        vector = {"object": "embedding", "index": 0, "embedding": [0.5, 0.25]}
        return {**shared, "object": "list", "data": [vector]}
    text = f"echo {_says(path, body)}"
    if path.endswith("/chat/completions"):
        message = {"role": "assistant", "content": text}
        choice: Json = {"index": 0, "finish_reason": "stop", "message": message}
        return {**shared, "object": "chat.completion", "choices": [choice]}
    choice = {"index": 0, "finish_reason": "stop", "text": text}
    return {**shared, "object": "text_completion", "choices": [choice]}


@contextmanager
def running_batch_provider() -> Iterator[BatchProvider]:
    """Serve for a block."""
    provider = BatchProvider()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers.get("content-length", 0))))
            says = _says(self.path, body)
            provider.keys.add(self.headers.get("idempotency-key", ""))
            refused = provider.begin(says)
            if refused is not None:
                self._send(refused, {"error": {"message": "too much"}}, {"retry-after": "1"})
                return
            status = 200
            try:
                time.sleep(provider.slow_s)
                is_flaky = says.startswith("flaky-") and provider.asked[says] <= _FLAKY_TIMES
                if says.startswith("bad-"):
                    status = 400
                elif says.startswith("broken-") or is_flaky:
                    status = 500
                error = {"error": {"message": "no", "type": "x", "code": "y"}}
                self._send(status, _answer(self.path, body) if status == 200 else error, {})
            except OSError:
                status = 0
            finally:
                provider.end(says, is_answered=status == 200)

        def _send(self, status: int, value: Json, headers: dict[str, str]) -> None:
            content = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            for name, text in headers.items():
                self.send_header(name, text)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            """Print nothing."""

    class Server(ThreadingHTTPServer):
        request_queue_size = 128
        daemon_threads = True

    server = Server(("127.0.0.1", 0), Handler)
    provider.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
