"""A server that speaks OpenAI's protocol on a Unix socket, and says what it was asked."""

from __future__ import annotations

import http.server
import json
import socketserver
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plinth.domain.traffic import Deployment, EndpointRoute, Upstream

USAGE = {
    "prompt_tokens": 11,
    "completion_tokens": 4,
    "total_tokens": 15,
    "prompt_tokens_details": {"cached_tokens": 3},
}
WORDS = ("one ", "two ", "three ", "four")


@dataclass(frozen=True)
class Asked:
    """One request as the server read it."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """Return the body, parsed."""
        return json.loads(self.body)


class _Model(http.server.BaseHTTPRequestHandler):
    """Answer chats, completions and embeddings; end a stream with usage only if asked to."""

    protocol_version = "HTTP/1.1"
    server: OpenAIServer

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        named = {name.lower(): value for name, value in self.headers.items()}
        self.server.asked.append(Asked(self.path, named, body))
        try:
            request = json.loads(body)
        except ValueError:
            self._send(400, {"error": {"message": "no JSON"}})
            return
        if self.server.refuses:
            self._send(429, {"error": {"message": "too much", "type": "rate_limit_error"}})
        elif request.get("stream"):
            self._stream(request)
        else:
            self._send(200, self._answer(request))

    def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        shared = {"id": "c-1", "created": 1, "model": f"{request['model']}-2026", "usage": USAGE}
        if self.path == "/v1/embeddings":
            vector = {"object": "embedding", "index": 0, "embedding": [0.5, 0.25]}
            return {**shared, "object": "list", "data": [vector]}
        text = f"hello from {self.server.name}"
        if self.path == "/v1/completions":
            choice: dict[str, Any] = {"index": 0, "finish_reason": "stop", "text": text}
            return {**shared, "object": "text_completion", "choices": [choice]}
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        return {**shared, "object": "chat.completion", "choices": [choice]}

    def _stream(self, request: dict[str, Any]) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        base = {"id": "c-1", "created": 1, "model": request["model"]}
        base["object"] = "chat.completion.chunk"
        for word in WORDS:
            choice = {"index": 0, "delta": {"content": word}, "text": word}
            self._event({**base, "choices": [choice]})
            time.sleep(self.server.gap_s)
            self.server.goes_on.wait(60)
        if self.server.breaks_off:
            self.close_connection = True
            return
        if (request.get("stream_options") or {}).get("include_usage"):
            self._event({**base, "choices": [], "usage": USAGE})
        self._chunk(b"data: [DONE]\n\n")
        self._chunk(b"")

    def _event(self, value: dict[str, Any]) -> None:
        self._chunk(b"data: " + json.dumps(value).encode() + b"\n\n")

    def _chunk(self, piece: bytes) -> None:
        self.wfile.write(b"%x\r\n" % len(piece) + piece + b"\r\n")
        self.wfile.flush()

    def _send(self, status: int, value: dict[str, Any]) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.send_header("x-ratelimit-remaining-requests", "7777")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing: the test's own output is enough."""


class _Sum(http.server.BaseHTTPRequestHandler):
    """The model `sum` in the Open Inference Protocol: it adds what it is given."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        about = {"name": "sum", "platform": "test", "inputs": [], "outputs": []}
        self._send({} if self.path.endswith("/ready") else about)

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers.get("content-length") or 0)))
        total = sum(request["inputs"][0]["data"])
        output = {"name": "y", "shape": [1, 1], "datatype": "FP32", "data": [total]}
        self._send({"model_name": "sum", "outputs": [output]})

    def _send(self, value: dict[str, Any]) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing: the test's own output is enough."""


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, path: Path, handler: type[http.server.BaseHTTPRequestHandler]) -> None:
        super().__init__(str(path), handler)
        self.path = path
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def get_request(self) -> tuple[Any, Any]:
        """Give the handler an address that it can print."""
        caller, _ = super().get_request()
        return caller, ("unix", 0)

    def end(self) -> None:
        """Stop listening."""
        self.shutdown()
        self.server_close()
        self.path.unlink()


class OpenAIServer(_Server):
    """A model's server; `asked` has every request, `gap_s` is the pause after a stream's word.

    While `goes_on` is cleared, a stream stands still after its first word.
    """

    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        self.asked: list[Asked] = []
        self.gap_s, self.breaks_off, self.refuses = 0.0, False, False
        self.goes_on = threading.Event()
        self.goes_on.set()
        super().__init__(path, _Model)


class ModelServer(_Server):
    """A server of the model `sum`."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, _Sum)


def chat_endpoint(name: str, *servers: OpenAIServer, **more: Any) -> EndpointRoute:
    """Return an endpoint that speaks OpenAI's protocol; deployments are called as their servers."""
    deployments = tuple(
        Deployment(
            id=f"r_{each.name}", name=each.name, upstreams=(Upstream(socket=str(each.path)),)
        )
        for each in servers
    )
    fields = {"team": "ops", "protocol": "openai", "callers": ("p_ann",), **more}
    return EndpointRoute(name=name, deployments=deployments, **fields)
