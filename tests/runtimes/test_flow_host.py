"""The app around a flow: not loaded yet, ready, traced; start-up and shut-down; what is noted."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import httpx
import pytest

from plinth.runtimes.flowhost.host import Host, Lifespan, answer
from plinth.runtimes.flowhost.recording import MOST_BYTES, Recording
from plinth.runtimes.flowhost.traces import Traces


class Noted:
    """Stands for the traces: keeps what each request was, and how it was answered."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, Any, Any, int | None, str]] = []

    @contextmanager
    def request(self, recording: Recording) -> Iterator[None]:
        yield
        said = (recording.asked, recording.answered, recording.status, recording.request_id)
        self.requests.append((f"{recording.method} {recording.path}", *said))


async def echo(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        raise ValueError("it knows of no start-up")
    body = b""
    if scope["method"] == "POST":
        body = (await receive())["body"]
    await answer(send, 200, {"path": scope["path"], "body": body.decode()})


def ask(host: Host, *requests: tuple[str, str, Any]) -> list[httpx.Response]:
    async def run() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app=cast("Any", host))
        async with httpx.AsyncClient(transport=transport, base_url="http://flow") as client:
            return [
                await client.request(method, path, json=body) for method, path, body in requests
            ]

    return asyncio.run(run())


def served(app: Any = echo) -> tuple[Host, Noted]:
    noted = Noted()
    host = Host("answers", cast("Traces", noted))
    asyncio.run(host.serve(app))
    return host, noted


def test_before_it_is_loaded_everything_is_answered_so_that_it_is_asked_again() -> None:
    host = Host("answers", cast("Traces", Noted()))
    (said,) = ask(host, ("POST", "/score", {}))
    assert (said.status_code, said.headers["x-plinth-not-loaded"]) == (503, "1")


def test_it_says_to_the_platform_when_it_is_ready_and_has_no_example() -> None:
    host, noted = served()
    ready, example = ask(
        host,
        ("GET", "/v2/models/answers/ready", None),
        ("GET", "/v2/models/answers/example", None),
    )
    assert (ready.json(), example.status_code) == ({"ready": True}, 404)
    assert noted.requests == []


def test_every_other_address_is_the_apps_own() -> None:
    host, noted = served()
    found = ask(host, ("POST", "/score", {"a": 1}), ("GET", "/v2/models/other/ready", None))
    assert [each.json()["path"] for each in found] == ["/score", "/v2/models/other/ready"]
    # What only reads leaves no trace.
    assert [each[0] for each in noted.requests] == ["POST /score"]


def test_a_request_is_noted_as_json_with_its_answer() -> None:
    host, noted = served()
    ask(host, ("POST", "/score", {"a": 1}))
    _, asked, answered, status, _ = noted.requests[0]
    assert (asked, status) == ({"a": 1}, 200)
    assert answered == {"path": "/score", "body": '{"a":1}'}


async def _nothing() -> Any:
    return {"type": "http.request", "body": b"x" * (2 * MOST_BYTES)}


def recording(sent: list[Any], **scope: Any) -> Recording:
    async def send(message: Any) -> None:
        sent.append(message)

    told = {"method": "POST", "path": "/", "headers": [(b"x-request-id", b"abc")], **scope}
    return Recording(told, _nothing, send)


def test_only_so_much_is_noted_and_all_passes() -> None:
    sent: list[Any] = []
    noted = recording(sent)
    kind = [(b"content-type", b"text/event-stream")]

    async def run() -> None:
        assert len((await noted.receive())["body"]) == 2 * MOST_BYTES
        await noted.send({"type": "http.response.start", "status": 200, "headers": kind})
        for _ in range(3):
            await noted.send({"type": "http.response.body", "body": b"y" * MOST_BYTES})

    asyncio.run(run())
    assert (len(noted.asked), len(noted.answered), len(sent)) == (MOST_BYTES, MOST_BYTES, 4)
    assert noted.request_id == "abc"


def test_what_is_no_text_is_not_noted() -> None:
    noted = recording([])

    async def run() -> None:
        await noted.send({"type": "http.response.start", "status": 200, "headers": []})
        await noted.send({"type": "http.response.body", "body": b"\x00\x01"})

    asyncio.run(run())
    assert noted.answered == ""


def started(app: Callable[..., Awaitable[None]]) -> Lifespan:
    async def run() -> Lifespan:
        lifespan = Lifespan(cast("Any", app))
        await lifespan.start()
        await lifespan.end()
        return lifespan

    return asyncio.run(run())


def test_an_app_starts_up_and_shuts_down() -> None:
    seen = []

    async def app(_scope: Any, receive: Any, send: Any) -> None:
        for _ in range(2):
            what = (await receive())["type"]
            seen.append(what)
            await send({"type": f"{what}.complete"})

    started(app)
    assert seen == ["lifespan.startup", "lifespan.shutdown"]


def test_an_app_that_knows_of_neither_is_served_all_the_same() -> None:
    started(echo)


def test_an_app_that_cannot_start_up_does_not_serve() -> None:
    async def app(_scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    with pytest.raises(RuntimeError, match="its startup failed: no database"):
        started(app)
