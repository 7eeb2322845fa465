"""Check the lines of a batch's input, every mistake with its line, as OpenAI tells them."""

from __future__ import annotations

import json
import math
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from plinth.control.openai_batches.limits import (
    LONGEST_CUSTOM_ID,
    MOST_ERRORS,
    MOST_LINE_BYTES,
    MOST_LINES,
)
from plinth.kit.excerpt import excerpt
from plinth.kit.units import format_bytes

_FIELDS = ("custom_id", "method", "url", "body")


@dataclass(slots=True)
class Checked:
    """What a file holds: how many requests, of which models, and what is wrong with it."""

    total: int = 0
    models: set[str] = field(default_factory=set)
    errors: list[dict[str, Any]] = field(default_factory=list)
    _unsaid: int = 0

    def add(self, code: str, message: str, *, line: int | None, param: str | None = None) -> None:
        """Note a mistake, unless there are enough."""
        if len(self.errors) < MOST_ERRORS:
            mistake = {"code": code, "message": message, "param": param, "line": line}
            self.errors.append(mistake)
        else:
            self._unsaid += 1

    def told(self) -> list[dict[str, Any]]:
        """Return the mistakes, and how many more there are."""
        if not self._unsaid:
            return self.errors
        message = f"and {self._unsaid} more mistakes"
        return [*self.errors, {"code": "more", "message": message, "param": None, "line": None}]


def check_lines(path: Path, endpoint: str, models: Collection[str]) -> Checked:
    """Read a file through. `endpoint`: the address of every line; `models`: what it may name.

    Raises OSError.
    """
    checked = Checked()
    known: dict[str, int] = {}
    with path.open("rb") as stream:
        number = 0
        while line := stream.readline(MOST_LINE_BYTES + 1):
            number += 1
            if not line.strip():
                continue
            checked.total += 1
            if len(line) > MOST_LINE_BYTES:
                size = format_bytes(MOST_LINE_BYTES)
                checked.add("invalid_request", f"This line has more than {size}.", line=number)
                # What follows would be read as lines of their own.
                break
            if checked.total > MOST_LINES:
                message = f"The file has more than {MOST_LINES:,} requests."
                checked.add("too_many_tasks", message, line=None)
                break
            request = _parsed(line, number, checked)
            if request is not None:
                _check(request, number, checked, known)
                _check_target(request, number, checked, endpoint, models)
    if checked.total == 0:
        checked.add("empty_file", "The input file has no request in it.", line=None)
    return checked


def _parsed(line: bytes, number: int, checked: Checked) -> dict[str, Any] | None:
    try:
        request = json.loads(line, parse_constant=_refuse, parse_float=_finite)
    except (ValueError, RecursionError):
        message = "This line is not parseable as valid JSON."
        checked.add("invalid_json_line", message, line=number)
        return None
    if not isinstance(request, dict):
        message = "This line is no JSON object."
        checked.add("invalid_json_line", message, line=number)
        return None
    return request


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _finite(text: str) -> float:
    # It would be sent on as `Infinity`, which is none.
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is larger than a number can be")
    return number


def _check(request: dict[str, Any], number: int, checked: Checked, known: dict[str, int]) -> None:
    for name in _FIELDS:
        if name not in request:
            message = f"Missing required parameter: '{name}'."
            checked.add("missing_required_parameter", message, line=number, param=name)
    custom_id = request.get("custom_id")
    if "custom_id" in request and not (
        isinstance(custom_id, str) and 0 < len(custom_id) <= LONGEST_CUSTOM_ID
    ):
        message = f"'custom_id' is no text of 1 to {LONGEST_CUSTOM_ID} characters."
        checked.add("invalid_request", message, line=number, param="custom_id")
    elif isinstance(custom_id, str):
        first = known.setdefault(custom_id, number)
        if first != number:
            message = (
                f"The custom_id '{excerpt(custom_id)}' was used before, in line {first}; each has "
                "to be unique."
            )
            checked.add("duplicate_custom_id", message, line=number, param="custom_id")


def _check_target(
    request: dict[str, Any], number: int, checked: Checked, endpoint: str, models: Collection[str]
) -> None:
    if "method" in request and request["method"] != "POST":
        message = f"The method is '{excerpt(request['method'])}'; only 'POST' is supported."
        checked.add("invalid_method", message, line=number, param="method")
    if "url" in request and request["url"] != endpoint:
        message = (
            f"The URL '{excerpt(request['url'])}' does not match the endpoint of the batch, "
            f"'{endpoint}'."
        )
        checked.add("url_mismatch", message, line=number, param="url")
    body = request.get("body")
    if isinstance(body, dict):
        _check_body(body, number, checked, models)
    elif "body" in request:
        message = "The body is no JSON object."
        checked.add("invalid_request", message, line=number, param="body")


def _check_body(
    body: dict[str, Any], number: int, checked: Checked, models: Collection[str]
) -> None:
    if body.get("stream"):
        message = "A batch gives whole answers: 'stream' is not supported."
        checked.add("invalid_request", message, line=number, param="body.stream")
    model = body.get("model")
    if model is None:
        message = "Missing required parameter: 'body.model'."
        checked.add("missing_required_parameter", message, line=number, param="body.model")
    elif not isinstance(model, str) or model not in models:
        message = (
            f"The model '{excerpt(model)}' does not exist here, does not speak this protocol, or "
            "you may not use it; GET /v1/models lists yours."
        )
        checked.add("model_not_found", message, line=number, param="body.model")
    else:
        checked.models.add(model)
