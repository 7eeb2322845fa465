"""What a caller sent comes back in an error cut, wherever in the request it stood.

An error goes into logs and onto screens: its size is ours to say, not the caller's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.api.service import TEAM, Service, error_of
from tests.api.test_roles import Request, api_routes, prepare, requests

LONG = "x" * 4000
MOST_CHARACTERS = 700
# What stands in the middle of a value that is cut, and in nothing of ours.
ECHO = "x" * 81


@pytest.mark.parametrize("odd", [LONG, "a\r\nset-cookie: x\x1b[31m" + LONG], ids=["long", "odd"])
def test_nothing_that_was_sent_is_told_back_at_length(service: Service, odd: str) -> None:
    table = requests(prepare(service))
    loud = []
    for (method, path), route in api_routes(service).items():
        names = [each.name for each in route.dependant.query_params]
        for place, url, options in variants(table[method, path], path, names, odd):
            answer = service.call(service.admin, method, url, **options)
            if answer.is_success:
                continue
            said = answer.json()["error"]
            words = f"{said['message']} {said.get('hint')}"  # OpenAI's errors have no hint.
            if len(words) > MOST_CHARACTERS or ECHO in words or not words.isprintable():
                loud.append(f"{method} {path} {place}: {len(words)} {words[:300]!r}")

    assert loud == []


def test_half_a_character_is_refused_or_kept_and_never_a_mistake_of_ours(service: Service) -> None:
    """JSON can name a surrogate alone, which is no text that any file or database keeps."""
    table = requests(prepare(service))
    failed = []
    for method, path in api_routes(service):
        request = table[method, path]
        for where, changed in replaced(request.options.get("json"), "a\ud800"):
            options = {
                **{k: v for k, v in request.options.items() if k != "json"},
                "content": json.dumps(changed),
                "headers": {"content-type": "application/json"},
            }
            answer = service.call(service.admin, method, request.path, **options)
            if answer.status_code >= 500:
                failed.append(f"{method} {path} {where}: {answer.text[:200]}")
    assert failed == []


# Every kind of text that a workload has.
JOB = {
    "kind": "job",
    "name": "train",
    "team": TEAM,
    "code": ".",
    "command": ["python"],
    "environment": {"packages": ["pandas"]},
    "variables": {"A": "b"},
    "data": {"flights": "flights@1"},
    "timeout": "1h",
    "network": "open",
    "requirements": {"platform": "local", "regions": ["here"]},
    "resources": {"memory": "1GB", "disk": "1GB", "accelerator": "A100"},
}


def test_no_field_of_a_workload_is_told_back_at_length(service: Service) -> None:
    for where, changed in replaced(JOB, LONG):
        answer = service.call(service.admin, "POST", "/runs", json={"workload": changed})
        said = answer.json().get("error", {"message": ""})["message"]
        assert ECHO not in said, where


def test_a_body_of_nothing_but_mistakes_is_told_in_few(service: Service) -> None:
    body = {"workload": {**JOB, **{f"{LONG}{number}": 1 for number in range(200)}}}
    message = error_of(service.call(service.admin, "POST", "/runs", json=body))["message"]
    assert "more mistakes" in message
    assert len(message) < 4000


def variants(
    request: Request, path: str, query: list[str], odd: str
) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield the request with one of its parts replaced by `odd`, each in turn."""
    given = re.split("/", request.path)
    for number, part in enumerate(path.split("/")):
        if part.startswith("{"):
            escaped = odd.replace("\r", "%0D").replace("\n", "%0A").replace("\x1b", "%1B")
            url = "/".join([*given[:number], escaped.replace(" ", "%20"), *given[number + 1 :]])
            yield part, url, request.options
    params = request.options.get("params", {})
    for name in query:
        yield name, request.path, {**request.options, "params": {**params, name: odd}}
    body = request.options.get("json")
    for where, changed in replaced(body, odd):
        yield f"body{where}", request.path, {**request.options, "json": changed}


def replaced(value: Any, odd: str) -> Iterator[tuple[str, Any]]:
    """Yield the value with each text in it, and each name of a field, replaced in turn."""
    if isinstance(value, str):
        yield "", odd
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield f".{name}:", {odd: inner, **{k: v for k, v in value.items() if k != name}}
            yield f".{name}+", {**value, odd: inner}
            for where, changed in replaced(inner, odd):
                yield f".{name}{where}", {**value, name: changed}
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            for where, changed in replaced(inner, odd):
                yield f"[{number}]{where}", [*value[:number], changed, *value[number + 1 :]]
