"""Bodies are taken as they come, within a limit, and nothing half stays."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from plinth.api import datasets, runs
from plinth.kit.ids import digest_of
from tests.api.service import TEAM, Service, error_of


def leftovers(service: Service) -> list[str]:
    folder = service.plane.home.storage
    return [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()]


def put_code(service: Service, digest: str, content: Any) -> Any:
    options = {"params": {"team": TEAM}, "content": content}
    return service.call(service.admin, "PUT", f"/code/{digest}", **options)


def test_code_is_stored_under_its_digest_once(service: Service) -> None:
    content = b"bytes" * 1000
    digest = digest_of(content)
    answer = put_code(service, digest, content)
    assert answer.json() == {"digest": digest, "uploaded": True}
    assert put_code(service, digest, content).json() == {"digest": digest, "uploaded": False}
    assert leftovers(service) == [f"code/{digest}.tar.gz"]


def test_code_with_another_digest_is_refused_and_gone(service: Service) -> None:
    answer = put_code(service, "0" * 64, b"bytes")
    assert answer.status_code == 400
    assert digest_of(b"bytes") in error_of(answer)["message"]
    assert leftovers(service) == []


@pytest.mark.parametrize("digest", ["..", "%2e%2e", ".hidden", "a b", "x" * 64])
def test_what_is_no_digest_is_refused(service: Service, digest: str) -> None:
    assert put_code(service, digest, b"bytes").status_code in (400, 404, 405)
    assert leftovers(service) == []


def test_a_body_over_the_limit_is_refused_as_it_comes(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "MOST_CODE_BYTES", 1000)
    taken = []

    def body() -> Any:
        for _ in range(50):
            taken.append(1)
            yield b"x" * 100

    answer = put_code(service, "0" * 64, body())
    assert (answer.status_code, error_of(answer)["code"]) == (413, "too_large")
    assert "1 kB" in error_of(answer)["message"]
    assert leftovers(service) == []


def test_data_over_the_limit_is_refused(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets, "MOST_DATA_BYTES", 3)
    params = {"file_name": "a.csv", "team": TEAM}
    answer = service.call(service.admin, "PUT", "/data/a", params=params, content=b"a\n1\n2\n")
    assert answer.status_code == 413


def test_a_caller_that_goes_away_leaves_nothing_and_no_alarm(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    sent: list[Any] = []
    messages = [
        {"type": "http.request", "body": b"half", "more_body": True},
        {"type": "http.disconnect"},
    ]

    async def receive() -> Any:
        return messages.pop(0) if messages else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "PUT",
        "path": f"/api/v1/code/{'0' * 64}",
        "raw_path": b"",
        "query_string": f"team={TEAM}".encode(),
        "headers": [(b"authorization", f"Bearer {service.admin}".encode())],
        "app": service.app,
    }
    loop = service.app.state.loop
    asyncio.run_coroutine_threadsafe(service.app(scope, receive, send), loop).result(10)
    assert leftovers(service) == []
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
