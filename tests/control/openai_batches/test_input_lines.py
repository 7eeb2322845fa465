"""Every mistake of a batch's input is told with its line, in OpenAI's words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from plinth.control.openai_batches import input_lines
from plinth.control.openai_batches.input_lines import Checked, check_lines
from tests.control.openai_batches.batches import CHAT, line


def check(tmp_path: Path, content: str | bytes | list[Any]) -> Checked:
    path = tmp_path / "in.jsonl"
    if isinstance(content, list):
        content = "".join(f"{json.dumps(each)}\n" for each in content)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return check_lines(path, CHAT, {"chat"})


def only(checked: Checked) -> tuple[str, int | None, str | None]:
    (error,) = checked.errors
    return error["code"], error["line"], error["param"]


def test_right_lines_have_no_mistakes(tmp_path: Path) -> None:
    checked = check(tmp_path, [line("a"), line("b")])
    assert (checked.total, checked.models, checked.errors) == (2, {"chat"}, [])


def test_empty_lines_are_none(tmp_path: Path) -> None:
    content = f"\n{json.dumps(line('a'))}\n\n  \n{json.dumps(line('b'))}"
    checked = check(tmp_path, content)
    assert (checked.total, checked.errors) == (2, [])


@pytest.mark.parametrize("content", ["", "\n\n"])
def test_a_file_without_requests_is_said(tmp_path: Path, content: str) -> None:
    assert only(check(tmp_path, content)) == ("empty_file", None, None)


@pytest.mark.parametrize(
    "bad",
    ["{", "[]", "1", '{"a": NaN}', "\xff", "[" * 100_000, '{"a": 1} {"b": 2}', '{"a": 1e999}'],
)
def test_what_is_no_object_is_said_with_its_line(tmp_path: Path, bad: str) -> None:
    content = json.dumps(line("a")).encode() + b"\n" + bad.encode("latin-1") + b"\n"
    assert only(check(tmp_path, content)) == ("invalid_json_line", 2, None)


@pytest.mark.parametrize("name", ["custom_id", "method", "url", "body"])
def test_what_is_missing_is_named(tmp_path: Path, name: str) -> None:
    wrong = {key: value for key, value in line("a").items() if key != name}
    assert only(check(tmp_path, [wrong])) == ("missing_required_parameter", 1, name)


@pytest.mark.parametrize(
    ("changes", "code", "param"),
    [
        ({"custom_id": ""}, "invalid_request", "custom_id"),
        ({"custom_id": 7}, "invalid_request", "custom_id"),
        ({"custom_id": None}, "invalid_request", "custom_id"),
        ({"custom_id": "x" * 513}, "invalid_request", "custom_id"),
        ({"method": "GET"}, "invalid_method", "method"),
        ({"method": ["POST"]}, "invalid_method", "method"),
        ({"url": "/v1/embeddings"}, "url_mismatch", "url"),
        ({"url": {"a": 1}}, "url_mismatch", "url"),
        ({"body": "text"}, "invalid_request", "body"),
        ({"body": {}}, "missing_required_parameter", "body.model"),
        ({"body": {"model": "other"}}, "model_not_found", "body.model"),
        ({"body": {"model": ["chat"]}}, "model_not_found", "body.model"),
        ({"body": {"model": "chat", "stream": True}}, "invalid_request", "body.stream"),
    ],
)
def test_what_is_wrong_is_named(
    tmp_path: Path, changes: dict[str, Any], code: str, param: str
) -> None:
    wrong = {**line("a"), **changes}
    assert only(check(tmp_path, [line("b"), wrong])) == (code, 2, param)


def test_an_id_that_comes_twice_names_the_first_line(tmp_path: Path) -> None:
    checked = check(tmp_path, [line("a"), line("b"), line("a")])
    assert only(checked) == ("duplicate_custom_id", 3, "custom_id")
    assert "line 1" in checked.errors[0]["message"]


def test_only_so_many_mistakes_are_told(tmp_path: Path) -> None:
    checked = check(tmp_path, [line(f"{n}", method="GET") for n in range(150)])
    told = checked.told()
    assert len(told) == 101
    assert told[-1]["message"] == "and 50 more mistakes"


def test_too_many_requests_are_said_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(input_lines, "MOST_LINES", 3)
    checked = check(tmp_path, [line(f"{n}") for n in range(9)])
    assert only(checked) == ("too_many_tasks", None, None)


def test_a_line_that_is_too_long_is_not_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(input_lines, "MOST_LINE_BYTES", 500)
    checked = check(tmp_path, [line("a"), line("b" * 600)])
    assert only(checked) == ("invalid_request", 2, None)
