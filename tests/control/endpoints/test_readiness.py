"""A deployment is ready when it answers its model's example as the model itself does."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from plinth.control.endpoints import readiness
from plinth.control.endpoints.readiness import Readiness, chat_fault, difference
from plinth.store.runs import StoredRun
from tests.control.plane import Plane

NAN = math.nan


def output(name: str = "y", **changed: Any) -> dict[str, Any]:
    return {"name": name, "datatype": "FP64", "shape": [2], "data": [1.5, 2.0], **changed}


@pytest.mark.parametrize(
    ("expected", "served", "words"),
    [
        ([output()], [output()], None),
        ([output()], [output(), output("more")], None),
        ([], [], None),
        ([output()], [], "`y` is missing"),
        ([output()], [output("z")], "`y` is missing"),
        ([output()], [output(datatype="FP32")], "has datatype FP32, the model itself gives FP64"),
        ([output()], [output(shape=[1, 2])], "has shape"),
        ([output()], [output(data=[1.5, 2.1])], "has 2.1 where the model itself gives 2.0"),
        ([output()], [output(data=[1.5, 2.0 * (1 + 1e-8)])], None),
        ([output()], [output(data=[1.5, 2])], None),
        ([output()], [output(data=[1.5])], "has 1 numbers"),
        ([output()], [output(data=[1.5, 2.0, 3.0])], "has 3 numbers"),
        ([output()], [{"name": "y"}], "has datatype None"),
        ([output()], [output(data=None)], "has no data"),
        ([output(data=[NAN, 2.0])], [output(data=[NAN, 2.0])], None),
        ([output(data=[NAN, 2.0])], [output(data=[0.0, 2.0])], "has 0.0"),
        ([output(data=[0.0, 1e-12])], [output(data=[1e-12, 0.0])], None),
        ([output(data=["a", "b"])], [output(data=["a", "b"])], None),
        ([output(data=["a", "b"])], [output(data=["a", "c"])], "has 'c'"),
        ([output(data=[True, 1])], [output(data=[True, 1])], None),
    ],
)
def test_answers_are_compared(
    expected: list[dict[str, Any]], served: list[dict[str, Any]], words: str | None
) -> None:
    found = difference(expected, served)
    assert (found is None) if words is None else (words in (found or ""))


def test_numbers_of_single_precision_may_differ_by_what_the_conversion_allows() -> None:
    moved = [output(data=[1.5, 2.0 * (1 + 5e-5)])]
    assert difference([output()], moved) is not None
    assert difference([output()], moved, (1e-4, 1e-5)) is None
    assert difference([output()], [output(data=[1.5, 2.001])], (1e-4, 1e-5)) is not None


Answer = Callable[[httpx.Request], httpx.Response]
BASE = "/v2/models/delay"


@pytest.fixture
def run(plane: Plane) -> StoredRun:
    return plane.run(plane.apply().deployment)


@pytest.fixture
def asked() -> list[httpx.Request]:
    return []


@pytest.fixture
def ask(plane: Plane, run: StoredRun, asked: list[httpx.Request]) -> Iterator[Any]:
    made = []

    def ask(answers: dict[str, Any], published: bool = True) -> str | None:
        def answer(request: httpx.Request) -> httpx.Response:
            asked.append(request)
            given = answers[request.url.path.rpartition("/")[2]]
            if isinstance(given, Exception):
                raise given
            status, body = given
            if isinstance(body, Iterator):
                return httpx.Response(status, content=body)
            content = body if isinstance(body, str) else json.dumps(body)
            return httpx.Response(status, content=iter([content.encode()]))

        known = frozenset([run.id] if published else [])
        asking = Readiness(plane.context, lambda: "plk_x", lambda: known)
        asking._client = httpx.Client(
            transport=httpx.MockTransport(answer), base_url="http://gateway"
        )
        made.append(asking._client)
        return asking.why_not(run)

    yield ask
    for client in made:
        client.close()


EXAMPLE = (200, {"request": {"inputs": []}, "expected": [output()]})
READY = (200, {})


CHAT = {
    "object": "chat.completion",
    "choices": [
        {"message": {"role": "assistant", "content": "Rome"}, "finish_reason": "stop", "index": 0}
    ],
    "usage": {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9},
}
CHAT_EXAMPLE = (200, {"request": {"model": "delay", "messages": []}})


@pytest.fixture
def chats(plane: Plane, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the runtime of the deployment speak OpenAI's API."""
    spoken = replace(plane.context.runtimes["v2server"], protocol="openai")
    runtimes = {**plane.context.runtimes, "v2server": spoken}
    plane.context = replace(plane.context, runtimes=runtimes)


@pytest.mark.usefixtures("chats")
def test_a_language_model_answers_its_example_as_a_chat(
    ask: Any, asked: list[httpx.Request], run: StoredRun
) -> None:
    answers = {"ready": READY, "example": CHAT_EXAMPLE, "completions": (200, CHAT)}
    assert ask(answers) is None
    candidate = f"/internal/deployments/{run.id}"
    assert [request.url.path for request in asked] == [
        f"{candidate}/v2/models/delay/ready",
        f"{candidate}/v2/models/delay/example",
        f"{candidate}/v1/chat/completions",
    ]
    assert json.loads(asked[-1].content) == CHAT_EXAMPLE[1]["request"]


@pytest.mark.usefixtures("chats")
@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((503, "the queue is full"), "answered with 503: the queue is full"),
        ((200, "no json"), "is not what the protocol says"),
        ((200, []), "is not what the protocol says"),
        ((200, {"error": {}}), "is not what the protocol says"),
        ((200, CHAT | {"object": "list"}), "is a `list`, no `chat.completion`"),
        ((200, CHAT | {"choices": []}), "has no choices"),
        ((200, CHAT | {"choices": [{}]}), "is not what the protocol says"),
        ((200, CHAT | {"usage": {"prompt_tokens": 7}}), "is not what the protocol says"),
        ((200, CHAT | {"usage": {"prompt_tokens": 0, "completion_tokens": 1}}), "counts 0"),
    ],
    ids=str,
)
def test_half_a_chat_is_no_answer(ask: Any, answer: Any, words: str) -> None:
    assert words in ask({"ready": READY, "example": CHAT_EXAMPLE, "completions": answer})


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"message": {"role": "assistant", "content": None}}, "no text of an assistant"),
        ({"message": {"role": "user", "content": "Rome"}}, "no text of an assistant"),
        ({"finish_reason": None}, "ended for `None`"),
        ({"finish_reason": "tool_calls"}, "ended for `tool_calls`"),
        ({"finish_reason": "length"}, None),
    ],
    ids=str,
)
def test_a_choice_says_who_spoke_and_why_it_ended(
    changed: dict[str, Any], words: str | None
) -> None:
    found = chat_fault(CHAT | {"choices": [CHAT["choices"][0] | changed]})
    assert (found is None) if words is None else (words in (found or ""))


def test_it_is_ready_when_the_example_comes_back_right(
    ask: Any, asked: list[httpx.Request], run: StoredRun
) -> None:
    assert (
        ask({"ready": READY, "example": EXAMPLE, "infer": (200, {"outputs": [output()]})}) is None
    )
    prefix = f"/internal/deployments/{run.id}/v2/models/delay"
    paths = [request.url.path for request in asked]
    assert paths == [f"{prefix}/ready", f"{prefix}/example", f"{prefix}/infer"]
    assert {request.headers["authorization"] for request in asked} == {"Bearer plk_x"}


@pytest.mark.parametrize("at", ["ready", "example", "infer"])
def test_an_answer_is_not_read_without_end(ask: Any, at: str) -> None:
    taken = []

    def endless() -> Iterator[bytes]:
        while True:
            taken.append(1)
            yield b" " * 1024 * 1024

    answers: dict[str, Any] = {"ready": READY, "example": EXAMPLE, at: (200, endless())}
    assert f"its answer at `/{at}` has more than 16.8 MB" in ask(answers)
    assert len(taken) == 17


def test_an_answer_that_comes_too_slowly_is_left(ask: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "_LONGEST_ANSWER_S", 0.0)
    answers = {"ready": (200, iter([b"a", b"b"]))}
    assert "was not complete after 0 s" in ask(answers)


@pytest.mark.parametrize("at", ["example", "infer"])
def test_json_without_bottom_is_refused(ask: Any, at: str) -> None:
    deep = (200, "[" * 100_000)
    found = ask({"ready": READY, "example": EXAMPLE, "infer": deep, at: deep})
    assert "is not what the protocol says" in found


def test_a_number_beyond_all_doubles_is_a_difference(ask: Any) -> None:
    huge = (200, {"outputs": [output(data=[10**400, 2.0])]})
    found = ask({"ready": READY, "example": EXAMPLE, "infer": huge})
    assert "is not what the protocol says" in found


def test_nothing_is_asked_before_the_gateway_knows_it(ask: Any, asked: list[httpx.Request]) -> None:
    assert "does not know it yet" in ask({}, published=False)
    assert asked == []


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ({"ready": (503, {})}, "is loading"),
        ({"ready": READY, "example": (404, {})}, None),
        ({"ready": READY, "example": (500, "boom")}, "its input example failed: boom"),
        ({"ready": READY, "example": EXAMPLE, "infer": (500, "boom")}, "answered with 500: boom"),
        ({"ready": READY, "example": EXAMPLE, "infer": (200, {})}, "`y` is missing"),
        ({"ready": httpx.ConnectError("refused")}, "does not answer: refused"),
        ({"ready": httpx.ReadTimeout("slow")}, "does not answer: slow"),
        ({"ready": READY, "example": (200, "no json")}, "is not what the protocol says"),
        ({"ready": READY, "example": (200, {"request": {}})}, "is not what the protocol says"),
        (
            {"ready": READY, "example": EXAMPLE, "infer": (200, "no json")},
            "is not what the protocol says",
        ),
    ],
    ids=str,
)
def test_what_it_lacks_is_said(ask: Any, answers: dict[str, Any], words: str | None) -> None:
    found = ask(answers)
    assert (found is None) if words is None else (words in found)


def test_a_flow_that_is_woken_is_loading_while_the_request_waits(
    ask: Any, run: StoredRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(run.__dict__, "model", None)
    assert ask({"ready": httpx.ReadTimeout("slow")}) == "the flow is loading"
    assert ask({"ready": (503, {})}) == "the flow is loading"
    assert ask({"ready": READY, "example": (404, {})}) is None
