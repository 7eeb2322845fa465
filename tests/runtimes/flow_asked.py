"""A flow's host in this process, and requests to it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import httpx

from plinth.runtimes.flowhost.host import Host
from plinth.runtimes.flowhost.leaving import keep_serving
from plinth.runtimes.flowhost.recording import Recording
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


def served(app: Any) -> tuple[Host, Noted]:
    """Return the host of an app that has started up; `ask` has a loop of its own."""
    noted = Noted()
    host = Host("answers", cast("Traces", noted))
    asyncio.run(host.serve(app))
    return host, noted


def ask(host: Host, *requests: tuple[str, str, Any], accept: str = "*/*") -> list[httpx.Response]:
    """Send requests as callers do whose address of the gateway is `http://plinth:8470`."""

    async def run() -> list[httpx.Response]:
        keep_serving()
        transport = httpx.ASGITransport(app=cast("Any", host))
        async with httpx.AsyncClient(
            transport=transport, base_url="http://plinth:8470", headers={"accept": accept}
        ) as client:
            return [
                await client.request(method, path, json=body) for method, path, body in requests
            ]

    return asyncio.run(run())
