"""Bad input and attack on the gateway: nothing crashes, memory stays bounded, two never disagree.

A journey because a real Envoy is attacked, with a real server behind it that says what it saw.
"""

from __future__ import annotations

import json
import os
import re
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from plinth.domain.serving import TrafficPolicy
from plinth.domain.traffic import Deployment, EndpointRoute, Upstream
from plinth.gateway.access_log import parse
from tests.journeys.gateway_stand import Answer, Gateway, eventually, running_gateway

CHAT = "/v1/chat/completions"
SSE = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
PLAIN = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"
MIB = 2**20


class RawServer:
    """A server on a Unix socket that writes what it is told, however wrong."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.requests: list[bytes] = []
        self.answer: Callable[[socket.socket], None] = lambda caller: caller.sendall(PLAIN)
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(path))
        self._socket.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                caller, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(caller,), daemon=True).start()

    def _serve(self, caller: socket.socket) -> None:
        with caller, suppress(OSError):
            while request := self._read(caller):
                self.requests.append(request)
                self.answer(caller)

    def _read(self, caller: socket.socket) -> bytes:
        found = b""
        while b"\r\n\r\n" not in found:
            piece = caller.recv(65536)
            if not piece:
                return b""
            found += piece
        head, _, body = found.partition(b"\r\n\r\n")
        named = re.search(rb"content-length: (\d+)", head.lower())
        wanted = int(named[1]) if named else 0
        while len(body) < wanted:
            body += caller.recv(65536)
        return head + b"\r\n\r\n" + body

    def end(self) -> None:
        """Stop listening."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self.path.unlink()


@pytest.fixture(scope="module")
def running(free_port: Callable[[], int]) -> Iterator[tuple[Gateway, RawServer]]:
    """Have one server behind a chat endpoint and behind a model."""
    with running_gateway(free_port()) as gateway:
        server = RawServer(gateway.root / "run" / "r_raw.0.1.sock")
        behind = (Deployment(id="r_raw", upstreams=(Upstream(socket=str(server.path)),)),)
        gateway.apply(
            endpoints=(
                EndpointRoute(
                    name="chat",
                    team="ops",
                    protocol="openai",
                    deployments=behind,
                    callers=("p_ann",),
                ),
                EndpointRoute(name="delay", team="ops", deployments=behind, callers=("p_ann",)),
            )
        )
        yield gateway, server
        server.end()


@pytest.fixture
def gateway(running: tuple[Gateway, RawServer]) -> Iterator[Gateway]:
    """Return the gateway, and see afterwards that it is as well as before."""
    found, server = running
    server.requests.clear()
    server.answer = lambda caller: caller.sendall(PLAIN)
    yield found
    server.answer = lambda caller: caller.sendall(PLAIN)
    assert found.process is not None
    assert found.process.poll() is None
    assert _post(found, {"model": "chat"}).status == 200


@pytest.fixture
def server(running: tuple[Gateway, RawServer]) -> RawServer:
    """Return the server behind it."""
    return running[1]


def _post(gateway: Gateway, body: object) -> Answer:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"content-type": "application/json"}
    return gateway.ask(CHAT, gateway.key(), method="POST", body=content, headers=headers)


def _head(gateway: Gateway, *lines: str, path: str = CHAT) -> bytes:
    """Return the head of a request by a caller who may."""
    given = [
        f"POST {path} HTTP/1.1",
        "host: a",
        f"authorization: Bearer {gateway.key()}",
        "content-type: application/json",
        *lines,
    ]
    return "\r\n".join(given).encode() + b"\r\n\r\n"


def _send(gateway: Gateway, raw: bytes, patience_s: float = 1.0) -> bytes:
    """Send these very bytes; return what comes back until silence or the end."""
    found = b""
    with socket.create_connection(("127.0.0.1", gateway.state.port), timeout=10) as caller:
        caller.settimeout(patience_s)
        with suppress(TimeoutError, ConnectionError):
            caller.sendall(raw)
            while piece := caller.recv(65536):
                found += piece
    return found


def _rss(gateway: Gateway) -> int:
    assert gateway.process is not None
    words = Path(f"/proc/{gateway.process.pid}/statm").read_text().split()
    return int(words[1]) * os.sysconf("SC_PAGE_SIZE")


SMUGGLED = b"GET /api/v1/keys HTTP/1.1\r\nhost: a\r\n\r\n"
BODY = b'{"model":"chat"}'
SHAPES = {
    "CL.TE": (
        ("content-length: 60", "transfer-encoding: chunked"),
        b"0\r\n\r\n" + SMUGGLED,
    ),
    "TE.CL": (
        ("transfer-encoding: chunked", "content-length: 4"),
        b"10\r\n" + BODY + b"\r\n0\r\n\r\n" + SMUGGLED,
    ),
    "TE.TE": (
        ("transfer-encoding: chunked", "transfer-encoding: identity"),
        b"10\r\n" + BODY + b"\r\n0\r\n\r\n",
    ),
    "two lengths": (("content-length: 16", "content-length: 3"), BODY),
    "a negative length": (("content-length: -1",), BODY),
    "a length with a sign": (("content-length: +16",), BODY),
    "a name with a space": (("transfer-encoding : chunked",), b"10\r\n" + BODY + b"\r\n0\r\n\r\n"),
    "a bare line feed": (("x-a: b\ntransfer-encoding: chunked", "content-length: 16"), BODY),
    "a zero byte": (("x-a: b\0c", "content-length: 16"), BODY),
    "a chunk of no size": (("transfer-encoding: chunked",), b"zz\r\n" + BODY + b"\r\n0\r\n\r\n"),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_request_that_two_servers_may_read_differently_reaches_none(
    gateway: Gateway, server: RawServer, shape: str
) -> None:
    lines, body = SHAPES[shape]
    answer = _send(gateway, _head(gateway, *lines) + body)
    assert b" 200 " not in answer.split(b"\r\n", 1)[0]
    assert not any(b"/api/v1/keys" in request for request in server.requests)
    # What came behind it was never taken for a request of its own that anybody had signed.
    assert answer.count(b"HTTP/1.1 200") == 0


def test_a_folded_header_is_one_line_to_everybody(gateway: Gateway, server: RawServer) -> None:
    folded = _head(gateway, "x-a: b\r\n transfer-encoding: chunked", "content-length: 16")
    assert _send(gateway, folded + BODY).startswith(b"HTTP/1.1 200")
    (request,) = server.requests
    assert b"\r\n transfer" not in request
    assert b"\r\ntransfer-encoding" not in request


def test_no_name_or_value_of_a_body_becomes_a_header(gateway: Gateway, server: RawServer) -> None:
    for name in ("chat\r\nx-plinth-team: else", "chat\\r\\nx-a: b", "chat\0", "../chat", "CHAT"):
        assert _post(gateway, {"model": name}).status == 403
        assert _post(gateway, f'{{"model": "{name}"}}'.encode()).status in (400, 403)
    path = "/openai/deployments/chat%0d%0ax-a:%20b/chat/completions?api-version=1"
    assert gateway.ask(path, gateway.key(), method="POST", body=b"{}").status in (400, 403, 415)
    assert not server.requests


@pytest.mark.parametrize(
    "path",
    [
        "/v1/chat%2fcompletions",
        "/openai/deployments/chat%2f..%2fdelay/chat/completions",
        "/v1/../v2/models/delay/..%5cinfer",
        "/v2/models/delay%2finfer",
    ],
)
def test_an_encoded_slash_is_refused(gateway: Gateway, server: RawServer, path: str) -> None:
    assert gateway.ask(path, gateway.key(), method="POST", body=b"{}").status == 400
    assert not server.requests


def test_headers_of_64_kilobytes_are_refused(gateway: Gateway) -> None:
    answer = _send(gateway, _head(gateway, "x-long: " + "a" * 65536, "content-length: 16") + BODY)
    assert answer.startswith(b"HTTP/1.1 431")


@pytest.mark.parametrize("path", [CHAT, "/v2/models/delay/infer", "/api/v1/runs"])
def test_too_many_headers_are_refused_by_their_number(gateway: Gateway, path: str) -> None:
    lines = (*(f"x-{number}: a" for number in range(200)), "content-length: 16")
    answer = _send(gateway, _head(gateway, *lines, path=path) + BODY)
    assert answer.startswith(b"HTTP/1.1 431")
    assert b"more than 100 headers" in answer
    assert b"32 KiB" not in answer


@pytest.mark.parametrize(
    "raw",
    [
        b"GET /v2 HTTP/1.1\r\n\r\n",
        b"POST /v2 HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n{}",
        "GET /v2/é HTTP/1.1\r\nhost: a\r\n\r\n".encode(),
    ],
)
def test_what_is_no_request_is_told_what_one_has(gateway: Gateway, raw: bytes) -> None:
    answer = _send(gateway, raw)
    assert answer.startswith(b"HTTP/1.1 400")
    for each in (b"one `host`", b"one `content-length`", b"a path of ASCII"):
        assert each in answer


def test_a_hundred_megabytes_of_body_take_no_memory(gateway: Gateway, server: RawServer) -> None:
    before = _rss(gateway)
    for path in (CHAT, "/v2/models/delay/infer"):
        head = _head(gateway, "content-length: 104857600", path=path)
        with socket.create_connection(("127.0.0.1", gateway.state.port), timeout=10) as caller:
            with suppress(ConnectionError):
                caller.sendall(head)
                for _ in range(100):
                    caller.sendall(b"x" * MIB)
            with suppress(ConnectionError):
                assert caller.recv(4096).startswith((b"HTTP/1.1 413", b""))
    assert not server.requests
    assert _rss(gateway) - before < 60 * MIB


def test_a_body_whose_length_is_not_said_reaches_no_model(
    gateway: Gateway, server: RawServer
) -> None:
    for name, status in (("delay", b"413"), ("absent", b"403")):
        path = f"/v2/models/{name}/infer"
        head = _head(gateway, "transfer-encoding: chunked", path=path)
        answer = _send(gateway, head + b"2\r\n{}\r\n0\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 " + status)
        assert (b"does not say its `content-length`" in answer) == (name == "delay")
    assert not server.requests
    assert gateway.ask("/v2/models/delay", gateway.key()).status == 200


def test_a_model_takes_as_much_as_its_endpoint_says(gateway: Gateway, server: RawServer) -> None:
    before = gateway.state.endpoints
    chat, delay = before
    own = delay.model_copy(update={"policy": TrafficPolicy(max_body=6_000_000)})
    gateway.apply(endpoints=(chat, own))
    for size, status in ((5_000_000, 200), (6_000_001, 413)):
        # It may answer while the body is still being sent.
        with suppress(ConnectionError):
            answer = gateway.ask(
                "/v2/models/delay/infer", gateway.key(), method="POST", body=b"x" * size
            )
            assert answer.status == status
    assert [len(request) > 5_000_000 for request in server.requests] == [True]
    gateway.apply(endpoints=before)


def test_who_has_no_key_has_no_body_read(gateway: Gateway) -> None:
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n"
    answer = _send(gateway, head + b"content-length: 1000000\r\n\r\n", patience_s=1)
    assert answer.startswith(b"HTTP/1.1 401")


@pytest.mark.parametrize("part", ["the head", "the body"])
def test_a_caller_who_sends_byte_by_byte_is_given_up(gateway: Gateway, part: str) -> None:
    """Many of them at once keep nobody else out, and each ends by itself."""
    head = _head(gateway, "content-length: 1000")
    sent = head[:40] if part == "the head" else head + b"{"
    callers = [
        socket.create_connection(("127.0.0.1", gateway.state.port), timeout=30) for _ in range(200)
    ]
    for caller in callers:
        caller.sendall(sent)
    assert _post(gateway, {"model": "chat"}).status == 200
    assert not select.select(callers[-1:], [], [], 0)[0], "it was given up before"
    if part == "the head":
        assert callers[0].recv(4096)[:12] in (b"HTTP/1.1 408", b"")
    for caller in callers:
        caller.close()


def _flood(count: int, size: int) -> Callable[[socket.socket], None]:
    piece = b'data: {"choices":[{"delta":{"content":"' + b"x" * 1000 + b'"}}]}\n\n'
    block = piece * (size // len(piece))

    def answer(caller: socket.socket) -> None:
        caller.sendall(SSE)
        for _ in range(count):
            caller.sendall(b"%x\r\n" % len(block) + block + b"\r\n")
        caller.sendall(b"0\r\n\r\n")

    return answer


def _stream(gateway: Gateway) -> bytes:
    body = b'{"model":"chat","stream":true}'
    return _head(gateway, f"content-length: {len(body)}") + body


def test_a_caller_who_never_reads_holds_back_the_server_and_no_memory(
    gateway: Gateway, server: RawServer
) -> None:
    server.answer = _flood(200, MIB)
    before = _rss(gateway)
    callers = []
    for _ in range(5):
        caller = socket.create_connection(("127.0.0.1", gateway.state.port), timeout=10)
        caller.sendall(_stream(gateway))
        callers.append(caller)
    time.sleep(1.5)
    assert _rss(gateway) - before < 60 * MIB
    for caller in callers:
        caller.close()


def test_a_gigabyte_of_stream_passes_and_no_memory_grows(
    gateway: Gateway, server: RawServer
) -> None:
    """A quarter of it, which is as much to a buffer that would keep it."""
    server.answer = _flood(250, MIB)
    before, most, count = _rss(gateway), 0, 0
    with socket.create_connection(("127.0.0.1", gateway.state.port), timeout=20) as caller:
        caller.sendall(_stream(gateway))
        turn = 0
        while piece := caller.recv(MIB):
            count += len(piece)
            turn += 1
            if turn % 200 == 0:
                most = max(most, _rss(gateway))
            if piece.endswith(b"0\r\n\r\n"):
                break
    assert count > 240 * MIB
    assert most - before < 60 * MIB


GARBAGE = {
    "no events": b"\xff\xfe\x00" * 3000,
    "one endless event": b"data: " + b"x" * 300_000,
    "half a usage": b'data: {"usage":{"prompt_tokens":' + b"\n\n",
    "a large usage": b'data: {"usage":{"a":"' + b"x" * 100_000 + b'"}}\n\n',
    "deep": b'data: {"usage":' + b'{"a":' * 5000 + b"}\n\n",
}


@pytest.mark.parametrize("what", GARBAGE)
def test_garbage_in_a_stream_passes_and_is_no_usage(
    gateway: Gateway, server: RawServer, what: str
) -> None:
    content = GARBAGE[what]

    def answer(caller: socket.socket) -> None:
        caller.sendall(SSE + b"%x\r\n" % len(content) + content + b"\r\n0\r\n\r\n")

    server.answer = answer
    found = _post(
        gateway, {"model": "chat", "stream": True, "stream_options": {"include_usage": True}}
    )
    assert (found.status, found.body) == (200, content)
    wanted = found.headers["x-plinth-id"]
    log = gateway.root / "access.log"
    assert eventually(lambda: wanted.encode() in log.read_bytes())
    line = next(each for each in log.read_bytes().splitlines() if wanted.encode() in each)
    ((record,), _) = parse(line + b"\n")
    assert record.usage is None
    assert len(line) < 4096


def test_a_server_that_dies_in_the_middle_ends_the_answer_and_nothing_else(
    gateway: Gateway, server: RawServer
) -> None:
    def answer(caller: socket.socket) -> None:
        caller.sendall(SSE + b"c\r\ndata: {}\n\nda\r\n")
        caller.shutdown(socket.SHUT_RDWR)

    server.answer = answer
    found = _send(gateway, _stream(gateway))
    assert found.startswith(b"HTTP/1.1 200")
    assert not found.endswith(b"0\r\n\r\n")


@pytest.mark.parametrize(
    "answer",
    [
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nabcdef",
        b"HTTP/1.1 200 OK\r\nx-a: " + b"a" * 200_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx-a: b\0\r\ncontent-length: 0\r\n\r\n",
    ],
)
def test_an_answer_that_is_no_http_is_an_error_of_the_server(
    gateway: Gateway, server: RawServer, answer: bytes
) -> None:
    server.answer = lambda caller: caller.sendall(answer)
    found = _post(gateway, {"model": "chat"})
    assert found.status in (502, 503)
    assert found.json["error"]["type"] == "server_error"
