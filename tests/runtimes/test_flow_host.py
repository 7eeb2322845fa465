"""The app around a flow: not loaded yet, ready, traced; start-up and shut-down; what is noted."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest
from fastapi import FastAPI

from plinth.runtimes.flowhost.host import Host, Lifespan, answer
from plinth.runtimes.flowhost.recording import MOST_BYTES, Recording
from plinth.runtimes.flowhost.traces import Traces
from tests.runtimes.flow_asked import Noted, ask, served


async def echo(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        raise ValueError("it knows of no start-up")
    body = b""
    if scope["method"] == "POST":
        body = (await receive())["body"]
    path = scope["path"].removeprefix(scope["root_path"])
    await answer(send, 200, {"path": path, "body": body.decode()})


def test_before_it_is_loaded_everything_is_answered_so_that_it_is_asked_again() -> None:
    host = Host("answers", cast("Traces", Noted()))
    (said,) = ask(host, ("POST", "/score", {}))
    assert (said.status_code, said.headers["x-plinth-not-loaded"]) == (503, "1")


def test_it_says_to_the_platform_when_it_is_ready_and_has_no_example() -> None:
    host, noted = served(echo)
    ready, example = ask(
        host,
        ("GET", "/v2/models/answers/ready", None),
        ("GET", "/v2/models/answers/example", None),
    )
    assert (ready.json(), example.status_code) == ({"ready": True}, 404)
    assert noted.requests == []


def test_every_other_address_is_the_apps_own() -> None:
    host, noted = served(echo)
    found = ask(host, ("POST", "/score", {"a": 1}), ("GET", "/v2/models/other/ready", None))
    assert [each.json()["path"] for each in found] == ["/score", "/v2/models/other/ready"]
    # What only reads leaves no trace.
    assert [each[0] for each in noted.requests] == ["POST /score"]


def fastapi_app() -> FastAPI:
    app = FastAPI()

    @app.get("/items/")
    def items() -> list[str]:
        return ["a"]

    return app


def test_the_pages_and_redirects_of_an_app_stay_below_the_flows_address() -> None:
    host, _ = served(fastapi_app())
    items, page, described, missing = ask(
        host,
        ("GET", "/items", None),
        ("GET", "/docs", None),
        ("GET", "/openapi.json", None),
        ("GET", "/other", None),
    )
    assert (items.status_code, items.headers["location"]) == (
        307,
        "http://plinth:8470/flows/answers/items/",
    )
    assert "'/flows/answers/openapi.json'" in page.text
    assert described.json()["servers"] == [{"url": "/flows/answers"}]
    assert (missing.status_code, ask(host, ("GET", "/items/", None))[0].json()) == (404, ["a"])


def test_an_app_is_told_where_it_is_mounted_as_asgi_has_it() -> None:
    seen: list[Any] = []

    async def app(scope: Any, _receive: Any, send: Any) -> None:
        seen.append(scope)
        if scope["type"] == "http":
            await answer(send, 200, {})

    host, noted = served(app)
    ask(host, ("POST", "/a%20b", {}))
    told = seen[-1]
    assert (told["root_path"], told["path"]) == ("/flows/answers", "/flows/answers/a b")
    assert told["raw_path"] == b"/flows/answers/a%20b"
    assert noted.requests[0][0] == "POST /a b"


def test_a_request_is_noted_as_json_with_its_answer() -> None:
    host, noted = served(echo)
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
