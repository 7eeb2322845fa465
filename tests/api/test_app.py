"""Every error has the one JSON shape, whatever went wrong."""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

import pytest

from plinth.api.app import _mistake, create_app
from plinth.domain.access import Role
from plinth.kit.errors import (
    Busy,
    Conflict,
    Denied,
    Invalid,
    NotFound,
    Permanent,
    PlinthError,
    Temporary,
    TooLarge,
    TooSlow,
    Unauthenticated,
)
from tests.api.service import Service, TestClient, error_of
from tests.control.plane import make_plane

KINDS = [
    PlinthError,
    Invalid,
    Unauthenticated,
    Denied,
    NotFound,
    Conflict,
    TooLarge,
    TooSlow,
    Temporary,
    Busy,
    Permanent,
]


def failing(service: Service, error: BaseException) -> Any:
    def fail(*_: Any) -> Any:
        raise error

    service.plane.tracking.list_models = fail  # type: ignore[method-assign]
    return service.call(service.admin, "GET", "/models")


@pytest.mark.parametrize("kind", KINDS)
def test_our_own_errors_keep_their_words(service: Service, kind: type[PlinthError]) -> None:
    answer = failing(service, kind("it went wrong", hint="do it right"))
    assert answer.status_code == kind.status
    expected = {"code": kind.code, "message": "it went wrong", "hint": "do it right"}
    assert error_of(answer) == expected


def test_what_fails_for_now_says_when_to_come_again(service: Service) -> None:
    answer = failing(service, Temporary("busy", retry_after_s=2.4))
    assert answer.headers["retry-after"] == "2"


def test_an_unexpected_error_tells_nothing_of_the_inside(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        answer = failing(service, KeyError("the secret"))
    assert answer.status_code == 500
    assert error_of(answer)["code"] == "internal"
    assert "secret" not in answer.text
    assert "KeyError" not in answer.text
    assert "GET /api/v1/models failed" in caplog.text


def test_a_malformed_body_names_the_field(service: Service) -> None:
    for body, field in (
        ({"name": "UPPER"}, "name: "),
        ({}, "name: "),
        ({"name": "fine", "colour": "red"}, "colour: "),
        ([], "body: "),
        ("text", "body: "),
    ):
        answer = service.call(service.admin, "POST", "/teams", json=body)
        assert answer.status_code == 422, body
        assert error_of(answer)["code"] == "malformed"
        assert error_of(answer)["message"].startswith(field)
    answer = service.call(service.admin, "POST", "/teams", content=b"{not json")
    assert (answer.status_code, error_of(answer)["code"]) == (422, "malformed")
    answer = service.call(service.admin, "GET", "/runs", params={"limit": 0})
    assert error_of(answer)["message"].startswith("limit: ")


@pytest.mark.parametrize(
    ("place", "words", "said"),
    [
        (("body", "resources", "cpu"), "Value error, too many", "resources.cpu: too many"),
        (("path", "name"), "String should match", "name: String should match"),
        (("body",), "Field required", "body: Field required"),
        (("body", 7), "JSON decode error", "body.7: JSON decode error"),
        (("body",), "Value error, give one of both", "give one of both"),
    ],
)
def test_a_mistake_is_told_without_where_it_was_sent(
    place: tuple[int | str, ...], words: str, said: str
) -> None:
    assert _mistake(place, words) == said


def test_what_is_no_route_is_not_found(service: Service) -> None:
    for path in ("/nothing", "/runs/x/y/z", "/../openapi.json"):
        answer = service.call(service.admin, "GET", path)
        assert (answer.status_code, error_of(answer)["code"]) == (404, "not_found")
    for path in ("/openapi.json", "/docs", "/redoc", "/"):
        assert service.client.get(path).status_code == 404


def test_a_method_that_a_route_lacks_is_said(service: Service) -> None:
    answer = service.call(service.admin, "PATCH", "/runs")
    assert (answer.status_code, error_of(answer)["code"]) == (405, "method_not_allowed")
    assert answer.headers["allow"]


def test_errors_of_access_have_the_shape_too(service: Service) -> None:
    assert error_of(service.client.get("/api/v1/runs"))["code"] == "key_missing"
    answer = service.call(
        service.caller(Role.VIEWER),
        "POST",
        "/keys",
        json={
            "team": "research",
            "name": "x",
        },
    )
    assert (answer.status_code, error_of(answer)["code"]) == (403, "denied")


def test_the_parts_start_and_stop_with_the_application() -> None:
    calls: list[str] = []
    with make_plane() as plane:
        start, stop = (partial(calls.append, name) for name in ("start", "stop"))
        with TestClient(create_app(plane.context, plane.parts, start, stop)):
            assert calls == ["start"]
    assert calls == ["start", "stop"]
