"""The chat server with a real model on a Unix socket, asked by the official client.

What the model says is never compared with a text: it changes with what is computed beside it.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import httpx
import openai
import pytest

from plinth.runtimes.llmserver.metrics import resident_bytes
from plinth.runtimes.runtime import load_runtimes
from tests.journeys.chat_model import ChatModel, build_chat_model

T = TypeVar("T")
_RUNTIME = load_runtimes()["llmserver"]
_START_S = 120.0
_QUESTION = "What is the capital of Italy?"


@pytest.fixture(scope="module")
def model(managed_environments: Path) -> ChatModel:
    return build_chat_model(managed_environments)


class Server:
    """A running chat server that got its socket as file descriptor 3, as the platform gives it."""

    def __init__(self, model: ChatModel, folder: Path, *more: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="pl-"))
        self.socket = str(self.folder / "s")
        place: dict[str, Any] = {"python": model.server.python, "model": folder}
        place |= {"name": "chat", "version": "7"}
        variables = {"PATH": os.environ["PATH"], "HOME": str(self.folder)}
        variables |= {"TMPDIR": str(self.folder), "OMP_NUM_THREADS": "2"}
        with socket.socket(socket.AF_UNIX) as listener, (self.folder / "log").open("wb") as log:
            listener.bind(self.socket)
            listener.listen(128)
            self.process = subprocess.Popen(
                [*_RUNTIME.command_for(**place), *more],
                env=variables | _RUNTIME.variables_for(**place),
                cwd=self.folder,
                stdout=log,
                stderr=log,
                pass_fds=(3,) if listener.fileno() == 3 else (3, listener.fileno()),
                preexec_fn=lambda: os.dup2(listener.fileno(), 3),  # noqa: PLW1509 - one thread here
            )

    def log(self) -> str:
        return (self.folder / "log").read_text()

    def wait_ready(self) -> Server:
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.log()
            if self.get("/v2/health/ready").status_code == 200:
                return self
            time.sleep(0.1)
        raise AssertionError(f"not ready after {_START_S} s: {self.log()}")

    def get(self, path: str) -> httpx.Response:
        transport = httpx.HTTPTransport(uds=self.socket)
        with httpx.Client(transport=transport, base_url="http://chat", timeout=30) as client:
            return client.get(path)

    def metric(self, name: str) -> float:
        lines = self.get("/metrics").text.splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{name}{{"))

    def ask(self, work: Callable[[openai.AsyncOpenAI], Awaitable[T]]) -> T:
        """Run `work` with the official client."""

        async def run() -> T:
            transport = httpx.AsyncHTTPTransport(uds=self.socket)
            async with (
                httpx.AsyncClient(transport=transport, timeout=60) as http,
                openai.AsyncOpenAI(
                    base_url="http://chat/v1", api_key="none", http_client=http, max_retries=0
                ) as client,
            ):
                return await work(client)

        return asyncio.run(run())

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


@pytest.fixture(scope="module")
def server(model: ChatModel) -> Iterator[Server]:
    example = json.dumps({"messages": [{"role": "user", "content": _QUESTION}], "max_tokens": 8})
    folder = model.folder(input_example=example, generation_config='{"temperature": 0.2}')
    server = Server(model, folder, "--max-running", "4", "--max-waiting", "4").wait_ready()
    yield server
    server.stop()


def chat(**more: Any) -> dict[str, Any]:
    return {"model": "chat", "messages": [{"role": "user", "content": _QUESTION}], **more}


async def streamed(client: openai.AsyncOpenAI, **more: Any) -> tuple[str, str, Any]:
    """Return text, reason and usage of a streamed answer."""
    text, reason, usage = "", "", None
    options = {"include_usage": True}
    stream = await client.chat.completions.create(
        **chat(stream=True, stream_options=options, **more)
    )
    async for chunk in stream:
        usage = chunk.usage or usage
        for choice in chunk.choices:
            text += choice.delta.content or ""
            reason = choice.finish_reason or reason
    return text, reason, usage


def test_a_question_is_answered_with_sense(server: Server) -> None:
    async def work(client: openai.AsyncOpenAI) -> Any:
        assert [model.id for model in (await client.models.list()).data] == ["chat"]
        return await client.chat.completions.create(**chat(temperature=0, max_tokens=40))

    answer = server.ask(work)
    assert "Rome" in answer.choices[0].message.content
    assert answer.choices[0].finish_reason in ("stop", "length")
    assert answer.usage.prompt_tokens > 8
    assert 1 <= answer.usage.completion_tokens <= 40


def test_streams_run_beside_each_other_and_count_their_tokens(server: Server) -> None:
    async def work(client: openai.AsyncOpenAI) -> Any:
        return await asyncio.gather(*(streamed(client, max_tokens=12, seed=n) for n in range(4)))

    for text, reason, usage in server.ask(work):
        assert text
        assert reason in ("stop", "length")
        assert 1 <= usage.completion_tokens <= 12
        assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens


def test_a_text_is_continued_up_to_a_stop_string(server: Server) -> None:
    async def work(client: openai.AsyncOpenAI) -> Any:
        return await client.completions.create(
            model="chat", prompt="1, 2, 3, 4, 5,", max_tokens=60, temperature=0, stop=["8"]
        )

    choice = server.ask(work).choices[0]
    assert "8" not in choice.text
    assert "6" in choice.text
    assert choice.finish_reason == "stop"


def test_the_examples_request_is_answered(server: Server) -> None:
    request = server.get("/v2/models/chat/example").json()["request"]

    async def work(client: openai.AsyncOpenAI) -> Any:
        return await client.chat.completions.create(**request)

    assert server.ask(work).choices[0].message.role == "assistant"


@pytest.mark.parametrize(
    ("changed", "kind", "code"),
    [
        ({"model": "other"}, openai.NotFoundError, "model_not_found"),
        ({"max_tokens": 0}, openai.BadRequestError, "invalid_value"),
        ({"n": 2}, openai.BadRequestError, "unsupported_parameter"),
        (
            {"messages": [{"role": "user", "content": "word " * 9000}]},
            openai.BadRequestError,
            "context_length_exceeded",
        ),
    ],
    ids=str,
)
def test_the_official_client_understands_the_errors(
    server: Server, changed: dict[str, Any], kind: type[openai.APIStatusError], code: str
) -> None:
    async def work(client: openai.AsyncOpenAI) -> Any:
        return await client.chat.completions.create(**chat() | changed)

    with pytest.raises(kind) as caught:
        server.ask(work)
    assert caught.value.code == code


def test_a_full_queue_is_refused_and_the_rest_is_answered(server: Server) -> None:
    async def one(client: openai.AsyncOpenAI) -> int:
        try:
            await client.chat.completions.create(**chat(max_tokens=24))
        except openai.APIStatusError as err:
            return err.status_code if err.response.headers["retry-after"] == "1" else 0
        return 200

    async def work(client: openai.AsyncOpenAI) -> list[int]:
        return await asyncio.gather(*(one(client) for _ in range(20)))

    answers = server.ask(work)
    assert set(answers) == {200, 503}
    assert answers.count(200) >= 8


@pytest.mark.parametrize("stream", [True, False])
def test_a_caller_that_leaves_ends_the_generation(server: Server, stream: bool) -> None:
    before = server.metric("plinth_llm_cancelled_total")

    async def leave(client: openai.AsyncOpenAI) -> None:
        # Thousands of tokens: by itself it would not end within this test.
        asked = chat(max_tokens=6000, stream=stream, temperature=2)
        task = asyncio.ensure_future(client.chat.completions.create(**asked))
        if stream:
            await (await task).close()
            return
        while server.metric("plinth_llm_running") == 0:
            await asyncio.sleep(0.02)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    server.ask(leave)
    deadline = time.monotonic() + 20
    while server.metric("plinth_llm_cancelled_total") == before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert server.metric("plinth_llm_cancelled_total") == before + 1
    assert server.metric("plinth_llm_running") == 0


def test_health_is_answered_while_it_generates(server: Server) -> None:
    async def work(client: openai.AsyncOpenAI) -> float:
        generating = asyncio.gather(*(streamed(client, max_tokens=48) for _ in range(4)))
        longest = 0.0
        while not generating.done():
            started = time.perf_counter()
            answer = await asyncio.to_thread(server.get, "/v2/health/ready")
            longest = max(longest, time.perf_counter() - started)
            assert answer.status_code == 200
        await generating
        return longest

    # A step holds Python's lock, so it waits for one; a second would be many of them.
    assert server.ask(work) < 2.0


def test_it_opens_no_connection_and_stays_within_its_memory(server: Server) -> None:
    """Runs after the tests above: importing openvino would have told its maker by now."""
    sockets = Path(f"/proc/{server.process.pid}/net/tcp")
    if not sockets.exists():
        pytest.skip("this system does not show a process's connections")
    own = {
        os.readlink(fd) for fd in Path(f"/proc/{server.process.pid}/fd").iterdir() if fd.exists()
    }
    inodes = {name[len("socket:[") : -1] for name in own if name.startswith("socket:")}
    for table in ("tcp", "tcp6", "udp", "udp6"):
        path = Path(f"/proc/{server.process.pid}/net/{table}")
        rows = path.read_text().splitlines()[1:] if path.exists() else []
        assert not [row for row in rows if row.split()[9] in inodes], table
    assert resident_bytes(Path(f"/proc/{server.process.pid}/status")) < 1_500_000_000
    modules = Path(f"/proc/{server.process.pid}/maps").read_text()
    assert "libopenvino_genai" in modules


def test_a_file_that_is_no_model_is_told_by_its_last_line(model: ChatModel, tmp_path: Path) -> None:
    whole = model.gguf.read_bytes()[:3_000_000]
    (tmp_path / "cut.gguf").write_bytes(whole)
    server = Server(model, tmp_path)
    assert server.process.wait(60) == 3, server.log()
    last = server.log().strip().splitlines()[-1]
    assert last.startswith("error: model `chat` version `7` does not load: ")
    assert not list(server.folder.glob("**/*.gguf")), "its copy is gone"


def test_it_finishes_what_runs_when_it_is_told_to_stop(model: ChatModel) -> None:
    server = Server(model, model.folder()).wait_ready()

    async def work(client: openai.AsyncOpenAI) -> tuple[str, str, Any]:
        answer = asyncio.ensure_future(streamed(client, max_tokens=30, temperature=2))
        while server.metric("plinth_llm_running") == 0 and not answer.done():
            await asyncio.sleep(0.01)
        server.process.send_signal(signal.SIGTERM)
        return await answer

    try:
        text, reason, _ = server.ask(work)
        assert text
        assert reason in ("stop", "length")
        assert server.process.wait(30) == 0, server.log()
    finally:
        server.stop()
