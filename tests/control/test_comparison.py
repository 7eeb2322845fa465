"""Answers are compared by what they say, not by their bytes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from plinth.control import comparison
from plinth.gateway.shadow import Pair, Said

V2, CHAT = "/v2/models/churn/infer", "/v1/chat/completions"


def tensors(*numbers: float, **more: Any) -> str:
    outputs = [{"name": "p", "datatype": "FP64", "shape": [len(numbers)], "data": [*numbers]}]
    return json.dumps({"outputs": outputs, **more})


def chat(text: str, request_id: str = "a") -> str:
    return json.dumps({"id": request_id, "choices": [{"message": {"content": text}}]})


def stream(*texts: str) -> str:
    events = [json.dumps({"choices": [{"delta": {"content": text}}]}) for text in texts]
    return "".join(f"data: {event}\n\n" for event in [*events, "[DONE]"])


def why(path: str, ours: str, theirs: str, status: int = 200, *, cut: bool = False) -> str | None:
    pair = Pair("0a", path, "{}", Said(200, ours, cut), Said(status, theirs, cut))
    return comparison._difference(pair)


@pytest.mark.parametrize(
    ("path", "ours", "theirs"),
    [
        (V2, tensors(0.5, id="one"), tensors(0.5, id="two")),
        (V2, tensors(0.5), tensors(0.5 + 1e-9)),
        (V2, "no JSON", "no JSON"),
        (CHAT, chat("yes", "a"), chat("yes", "b")),
        (CHAT, stream("y", "es"), stream("ye", "s")),
        (CHAT, stream("yes"), chat("yes")),
    ],
)
def test_what_says_the_same_is_the_same(path: str, ours: str, theirs: str) -> None:
    assert why(path, ours, theirs) is None


@pytest.mark.parametrize(
    ("path", "ours", "theirs", "said"),
    [
        (V2, tensors(0.5), tensors(0.6), "0.6"),
        (V2, tensors(0.5), "oops", "the answers differ"),
        (V2, '{"outputs": [1]}', '{"outputs": [2]}', "the answers differ"),
        (CHAT, chat("yes"), chat("no"), "the texts differ"),
        (CHAT, "a", "b", "the texts differ"),
    ],
)
def test_what_differs_says_how(path: str, ours: str, theirs: str, said: str) -> None:
    assert said in (why(path, ours, theirs) or "")


def test_statuses_and_cut_answers_are_told() -> None:
    assert why(V2, "a", "a", 503) == "status 200, the copy's 503"
    assert why(CHAT, chat("a"), chat("b"), cut=True) == "too long to be kept whole; they differ"
    assert why(CHAT, chat("a"), chat("a"), cut=True) is None


def keep(folder: Path, request_id: str, path: str, request: str) -> None:
    for kind in ("pairs", "shadow"):
        asked = [{"key": ":path", "value": path}, {"key": "x-request-id", "value": request_id}]
        found = {
            "request": {"headers": asked, "body": {"as_string": request}},
            "response": {
                "headers": [{"key": ":status", "value": "200"}],
                "body": {"as_string": tensors(0.5)},
            },
        }
        (folder / "pairs").mkdir(exist_ok=True)
        text = json.dumps({"http_buffered_trace": found})
        (folder / "pairs" / f"{kind}_{request_id}.json").write_text(text)


def test_each_endpoint_has_its_own_pairs(tmp_path: Path) -> None:
    keep(tmp_path, "1", V2, "{}")
    keep(tmp_path, "2", "/v2/models/churn2/infer", "{}")
    keep(tmp_path, "3", CHAT, '{"model": "churn"}')
    keep(tmp_path, "4", CHAT, '["churn"]')
    keep(tmp_path, "5", "/v2/models/churn?x", "{")
    found = comparison.compare(tmp_path, "churn")
    assert [each.pair.request_id for each in found] == ["1", "3", "5"]
    assert found[0].to_json()["same"] is True


@pytest.mark.parametrize(
    ("path", "body", "wanted"),
    [
        (V2, tensors(0.5, 1.5), "p [0.5, 1.5]"),
        (V2, '{"outputs": [7]}', "7"),
        (V2, '{"error": "no such input"}', "no such input"),
        (CHAT, chat("yes"), "yes"),
        (CHAT, stream("y", "es"), "yes"),
        (CHAT, '{"choices": [{"text": "yes"}]}', "yes"),
        (CHAT, '{"error": {"message": "too long", "code": "x"}}', "too long"),
        (CHAT, '{"data": [1]}', '{"data": [1]}'),
        (CHAT, "<html>", "<html>"),
    ],
)
def test_of_an_answer_what_it_says_is_shown(path: str, body: str, wanted: str) -> None:
    assert comparison.content(path, body) == wanted
