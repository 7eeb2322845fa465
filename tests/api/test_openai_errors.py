"""Where OpenAI's clients call, errors have what they look for; elsewhere they are ours alone."""

from __future__ import annotations

import pytest

from tests.api.service import LONELY, Service


def error(service: Service, method: str, path: str, **options: object) -> dict[str, object]:
    answer = service.call(service.admin, method, path, **options)
    found: dict[str, object] = answer.json()["error"]
    return {**found, "status": answer.status_code}


@pytest.mark.parametrize(
    ("method", "path", "options", "status"),
    [
        ("GET", "/openai/files/file-none", {}, 404),
        ("GET", "/openai/nothing", {}, 404),
        ("GET", "/openai/models/none", {}, 404),
        ("POST", "/openai/batches", {"json": {}}, 400),
        ("POST", "/openai/batches", {"content": b"{"}, 400),
        ("GET", "/openai/batches?limit=1000", {}, 400),
        ("POST", "/openai/files", {"content": b"x"}, 400),
    ],
)
def test_they_have_a_type(
    service: Service, method: str, path: str, options: dict[str, object], status: int
) -> None:
    found = error(service, method, path, **options)
    param = "model" if "/models/" in path else None
    assert (found["status"], found["type"], found["param"]) == (
        status,
        "invalid_request_error",
        param,
    )
    assert found["message"]
    assert found["code"]


def test_keys_and_rights_have_types_of_their_own(service: Service) -> None:
    answer = service.client.get("/api/v1/openai/files")
    assert (answer.status_code, answer.json()["error"]["type"]) == (401, "authentication_error")
    stranger = service.caller(home_team=LONELY)
    assert service.call(stranger, "GET", "/openai/files").status_code == 404


def test_elsewhere_they_are_as_they_were(service: Service) -> None:
    found = error(service, "POST", "/runs", json={})
    assert found["status"] == 422
    assert "type" not in found
