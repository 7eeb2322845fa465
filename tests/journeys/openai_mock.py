"""A provider of OpenAI's protocol on loopback, which remembers what it was sent."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Json = dict[str, Any]

USAGE = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}


@dataclass
class Provider:
    """What it was sent, and how it answers: `status` to everything."""

    port: int = 0
    status: int = 200
    seen: list[tuple[str, dict[str, str], Json]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def answer(self, body: Json) -> Json:
        return {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": f"{body.get('model')}-2026",
            "choices": [
                {
                    "index": 0,
                    "finish_reason": "stop",
                    "message": {"role": "assistant", "content": "hello"},
                }
            ],
            "usage": USAGE,
        }

    def events(self, body: Json) -> list[Json]:
        """Return a stream's events; the usage only where it was asked for, as OpenAI does."""
        whole = self.answer(body)
        common = {name: whole[name] for name in ("id", "created", "model")}
        common["object"] = "chat.completion.chunk"
        deltas = [{"role": "assistant", "content": ""}, {"content": "hel"}, {"content": "lo"}]
        events = [
            {**common, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
            for delta in deltas
        ]
        last = {"index": 0, "delta": {}, "finish_reason": "stop"}
        events.append({**common, "choices": [last]})
        if (body.get("stream_options") or {}).get("include_usage"):
            events.append({**common, "choices": [], "usage": whole["usage"]})
        return events


def _json(value: Json) -> bytes:
    return json.dumps(value).encode()


@contextmanager
def running_provider() -> Iterator[Provider]:
    """Serve for a block."""
    provider = Provider()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers.get("content-length", 0)))
            body = json.loads(content)
            headers = {name.lower(): value for name, value in self.headers.items()}
            provider.seen.append((self.path, headers, body))
            if body.get("stream") and provider.status == 200:
                self._stream(provider.events(body))
                return
            answer = _json(provider.answer(body))
            self.send_response(provider.status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def _stream(self, events: list[Json]) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/event-stream")
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            for text in [*map(_json, events), b"[DONE]"]:
                event = b"data: %s\n\n" % text
                self.wfile.write(b"%x\r\n%s\r\n" % (len(event), event))
            self.wfile.write(b"0\r\n\r\n")

        def log_message(self, *_: Any) -> None:
            """Print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    provider.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
