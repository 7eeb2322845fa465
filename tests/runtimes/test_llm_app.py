"""The chat server's HTTP face, with letters in the place of a language model."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from plinth.runtimes.llmserver import app as app_module
from plinth.runtimes.llmserver.app import Application
from plinth.runtimes.llmserver.engine import Counts, Engine, Limits
from plinth.runtimes.llmserver.metrics import Metrics, resident_bytes
from plinth.runtimes.llmserver.source import Source
from tests.runtimes.letters import Letters

EXAMPLE = {"messages": [{"role": "user", "content": "hi"}]}


class Served:
    """An application on an event loop of its own, as uvicorn would run it."""

    def __init__(self, *, loaded: bool = True, example: dict[str, Any] | None = None) -> None:
        self.pipeline = Letters()
        self.app = Application("m", "3", 1_700_000_000)
        self._loaded = loaded
        self._source = Source(example)

    def run(self, work: Callable[[httpx.AsyncClient], Any]) -> Any:
        async def go() -> Any:
            engine = Engine(self.pipeline, asyncio.get_running_loop(), Limits(1, 1), _ignore)
            engine.start()
            if self._loaded:
                self.app.serve(engine, self._source)
            transport = httpx.ASGITransport(app=self.app)
            try:
                async with httpx.AsyncClient(transport=transport, base_url="http://m") as client:
                    return await work(client)
            finally:
                self.pipeline.go.set()
                engine.stop()
                await asyncio.to_thread(engine.join)

        return asyncio.run(go())

    def call(self, method: str, path: str, document: Any = None, **more: Any) -> httpx.Response:
        content = None if document is None else json.dumps(document)
        answer: httpx.Response = self.run(
            lambda client: client.request(method, path, content=content, **more)
        )
        return answer


def _ignore(_error: BaseException) -> None:
    """Nothing fails here."""


def chat(content: str = "ab", **more: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": content}], **more}


def events(answer: httpx.Response) -> list[Any]:
    assert answer.headers["content-type"].startswith("text/event-stream")
    parts = answer.text.split("\n\n")
    assert parts.pop() == ""
    texts = [part.removeprefix("data: ") for part in parts]
    assert texts.pop() == "[DONE]"
    return [json.loads(text) for text in texts]


def test_a_chat_is_answered_whole() -> None:
    body = Served().call("POST", "/v1/chat/completions", chat(max_tokens=2)).json()
    assert body["object"] == "chat.completion"
    assert body["id"].startswith("chatcmpl-")
    (choice,) = body["choices"]
    assert choice["message"] == {"role": "assistant", "content": "abab", "refusal": None}
    assert (choice["index"], choice["finish_reason"], choice["logprobs"]) == (0, "length", None)
    assert body["usage"] == {"prompt_tokens": 2, "completion_tokens": 4, "total_tokens": 6}


def test_a_text_is_continued() -> None:
    asked = {"model": "m", "prompt": "ab", "stop": "ba", "max_tokens": 5}
    body = Served().call("POST", "/v1/completions", asked).json()
    assert body["object"] == "text_completion"
    assert (body["choices"][0]["text"], body["choices"][0]["finish_reason"]) == ("a", "stop")


def test_a_stream_begins_with_the_role_and_ends_with_the_reason() -> None:
    asked = chat(stream=True, max_tokens=1)
    found = events(Served().call("POST", "/v1/chat/completions", asked))
    assert {event["object"] for event in found} == {"chat.completion.chunk"}
    assert len({event["id"] for event in found}) == 1
    choices = [event["choices"][0] for event in found]
    deltas = [{"role": "assistant", "content": ""}, {"content": "a"}, {"content": "b"}, {}]
    assert [choice["delta"] for choice in choices] == deltas
    assert [choice["finish_reason"] for choice in choices] == [None, None, None, "length"]
    assert not any("usage" in event for event in found)


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("/v1/chat/completions", chat()),
        ("/v1/completions", {"model": "m", "prompt": "ab", "max_tokens": 8}),
    ],
)
def test_usage_is_the_last_event_of_a_stream_that_asks_for_it(path: str, asked: Any) -> None:
    asked |= {"stream": True, "stream_options": {"include_usage": True}}
    found = events(Served().call("POST", path, asked))
    assert found[-1]["choices"] == []
    usage = {"prompt_tokens": 2, "completion_tokens": 16, "total_tokens": 18}
    assert [event["usage"] for event in found] == [None] * (len(found) - 1) + [usage]


def test_a_stream_that_fails_on_its_way_says_so_as_an_event() -> None:
    answer = Served().call("POST", "/v1/chat/completions", chat("!", stream=True))
    assert answer.status_code == 200
    last = json.loads(answer.text.strip().rpartition("data: ")[2])
    assert last["error"]["code"] == "generation_failed"
    assert "[DONE]" not in answer.text


@pytest.mark.parametrize("stream", [False, True])
def test_what_is_refused_is_refused_with_its_status(stream: bool) -> None:
    answer = Served().call("POST", "/v1/chat/completions", chat("a" * 101, stream=stream))
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "context_length_exceeded"
    unknown = chat(stream=stream) | {"model": "other"}
    answer = Served().call("POST", "/v1/chat/completions", unknown)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (404, "model_not_found", "model")
    assert "there is `m`" in error["message"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/models", 200),
        ("GET", "/v1/models/", 200),
        ("GET", "/v1/models/m", 200),
        ("GET", "/v2", 200),
        ("GET", "/v2/health/live", 200),
        ("GET", "/v2/health/ready", 200),
        ("GET", "/v2/models/m/ready", 200),
        ("GET", "/v2/models/m/example", 200),
        ("GET", "/metrics", 200),
        ("GET", "/v1/models/other", 404),
        ("POST", "/v2/models/m/infer", 404),
        ("GET", "/", 404),
        ("GET", "/v1/chat/completions", 405),
        ("DELETE", "/v1/models/m", 405),
    ],
)
def test_every_path_answers_in_openais_shape(method: str, path: str, status: int) -> None:
    answer = Served(example=EXAMPLE).call(method, path)
    assert answer.status_code == status
    if status >= 400:
        assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


def test_a_loading_model_is_alive_and_not_ready() -> None:
    assert Served(loaded=False).call("GET", "/v2/health/live").status_code == 200
    for path in ("/v2/health/ready", "/v2/models/m/ready", "/v2/models/m/example"):
        assert Served(loaded=False).call("GET", path).status_code == 503
    answer = Served(loaded=False).call("POST", "/v1/chat/completions", chat())
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "loading")
    # By this the gateway knows that it may ask another replica.
    assert (answer.headers["x-plinth-not-loaded"], answer.headers["retry-after"]) == ("1", "1")


def test_the_example_is_a_request_to_this_very_model() -> None:
    request = Served(example=EXAMPLE | {"max_tokens": 3}).call("GET", "/v2/models/m/example")
    asked = request.json()["request"]
    assert asked == {**EXAMPLE, "temperature": 0, "max_tokens": 3, "model": "m", "stream": False}
    answer = Served().call("POST", "/v1/chat/completions", asked)
    assert answer.json()["choices"][0]["message"]["content"] == "hihihi"
    assert Served().call("GET", "/v2/models/m/example").status_code == 404


@pytest.mark.parametrize(
    ("headers", "status"),
    [({"content-encoding": "gzip"}, 415), ({"content-length": "99999999999"}, 413), ({}, 413)],
)
def test_bodies_are_bounded_and_plain(
    headers: dict[str, str], status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app_module, "MOST_BODY_BYTES", 1000)
    answer = Served().call("POST", "/v1/chat/completions", chat("a" * 2000), headers=headers)
    assert answer.status_code == status


def test_a_full_queue_says_when_to_come_again() -> None:
    served = Served()

    async def flood(client: httpx.AsyncClient) -> list[httpx.Response]:
        served.pipeline.go.clear()
        asked = [
            asyncio.ensure_future(client.post("/v1/chat/completions", json=chat()))
            for _ in range(4)
        ]
        done, _ = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
        refused = [task.result() for task in done]
        served.pipeline.go.set()
        return [*refused, *await asyncio.gather(*asked)]

    answers = served.run(flood)
    assert answers[0].status_code == 503
    assert answers[0].headers["retry-after"] == "1"
    assert sorted(answer.status_code for answer in answers[-4:]) == [200, 200, 503, 503]
    assert served.app.metrics.requests == {200: 2, 503: 2}


@pytest.mark.parametrize("stream", [False, True])
def test_a_caller_that_leaves_ends_the_generation(stream: bool) -> None:
    served = Served()
    body = json.dumps(chat(stream=stream, max_tokens=10_000)).encode()
    scope = {"type": "http", "method": "POST", "path": "/v1/chat/completions", "headers": []}

    async def leave(client: httpx.AsyncClient) -> Counts:
        told: list[Any] = [{"type": "http.request", "body": body}, {"type": "http.disconnect"}]
        sent: list[Any] = []

        async def receive() -> Any:
            if len(told) == 1:
                while not served.pipeline.begun:
                    await asyncio.sleep(0)
            return told.pop(0)

        async def send(message: Any) -> None:
            sent.append(message)

        await served.app(scope, receive, send)
        while not served.pipeline.begun[0].cancelled:
            await asyncio.sleep(0)
        assert not any(message.get("more_body") is False for message in sent)
        answer = await client.post("/v1/chat/completions", json=chat())
        assert answer.status_code == 200
        return served.app._loaded().counts

    assert served.run(leave).cancelled == 1
    assert served.app.metrics.requests == {499: 1, 200: 1}


def test_metrics_are_prometheus_text() -> None:
    served = Served()

    async def ask_and_look(client: httpx.AsyncClient) -> str:
        await client.post("/v1/chat/completions", json=chat(stream=True))
        await client.post("/v1/chat/completions", json={})
        answer = await client.get("/metrics")
        return answer.text

    lines = served.run(ask_and_look).splitlines()
    labels = 'model="m",version="3"'
    for line in (
        f'plinth_llm_requests_total{{{labels},code="200"}} 1',
        f'plinth_llm_requests_total{{{labels},code="400"}} 1',
        f"plinth_llm_first_token_seconds_count{{{labels}}} 1",
        f"plinth_llm_duration_seconds_count{{{labels}}} 2",
        f"plinth_llm_completion_tokens_total{{{labels}}} 16",
        f"plinth_llm_running{{{labels}}} 0",
        f"plinth_model_ready{{{labels}}} 1",
    ):
        assert line in lines
    assert all(line.startswith("#") or len(line.rsplit(" ", 1)) == 2 for line in lines)


def test_a_name_cannot_break_the_metrics() -> None:
    text = Metrics('a"b\n\\', "1").render(Counts(), ready=False).decode()
    assert 'model="a\\"b\\n\\\\"' in text
    assert "plinth_model_ready" in text


def test_memory_is_read_from_the_system_where_it_says_it(tmp_path: Any) -> None:
    (tmp_path / "status").write_text("Name:\tx\nVmRSS:\t     12 kB\n")
    assert resident_bytes(tmp_path / "status") == 12 * 1024
    assert resident_bytes(tmp_path / "absent") == 0
