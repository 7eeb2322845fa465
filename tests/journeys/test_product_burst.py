"""A model of this machine as the base, and one of somebody else as the burst, behind one name.

The base is the small chat model of the examples and the burst a provider on loopback that speaks
OpenAI's protocol; the callers are the official `openai` client, with streams in parallel. What a
caller was told about its tokens is what must have been counted.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from tests.journeys.chat_model import EXAMPLES, build_chat_model
from tests.journeys.openai_mock import USAGE, Provider, running_provider
from tests.journeys.plinth_node import Plinth, kill, running_plinth, wait_for

TEAM = "research"
NAME = "chat"
BASE_TAKES = 2
AT_ONCE = 8
# In this order: only a caller that did not ask for its usage is not told it.
TELLING = (True, True, False, True)


@dataclass(frozen=True)
class Told:
    """What a caller saw of one answer; `usage` is None where it did not ask for it."""

    id: str
    text: str
    usage: tuple[int, int] | None


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with running_provider() as provider:
        yield provider


@pytest.fixture(scope="module")
def plinth(managed_environments: Path, free_port: Callable[[], int]) -> Iterator[Plinth]:
    build_chat_model(managed_environments)
    folder = Path(tempfile.mkdtemp(prefix="pl-"))
    (folder / "settings.toml").write_text("allow_private_upstreams = true\n")
    port = free_port()
    with running_plinth(managed_environments, port, teams=[TEAM], folder=folder) as plinth:
        plinth.client.set_secret("provider", b"sk-provider", team=TEAM)
        plinth.cli("run", str(EXAMPLES / "register.yaml"))
        yield plinth


@pytest.fixture(scope="module")
def base(plinth: Plinth, provider: Provider) -> str:
    """Apply the endpoint; return the run that is its base, once that serves."""
    hosted = {"model": "models:/smollm2@champion", "runtime": "llmserver"}
    external = {
        "url": provider.url,
        "protocol": "openai",
        "model": "gpt-9",
        "credential": "secret:provider",
    }
    file = plinth.write(
        kind="endpoint",
        name=NAME,
        team=TEAM,
        deployments={"own": hosted, "theirs": {"external": external}},
        capacity={"base": "own", "burst": "theirs", "concurrency": BASE_TAKES},
    )
    plinth.cli("apply", file)

    def serves() -> str | None:
        endpoint = plinth.client.endpoint(NAME)
        run = endpoint["serving"].get("own")
        return str(run) if run and endpoint["deployments"]["own"]["ready"] else None

    return str(wait_for(serves, "the base serving"))


@pytest.fixture(scope="module")
def client(plinth: Plinth, base: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(
        base_url=f"{plinth.address}/v1",
        api_key=plinth.key(TEAM),
        max_retries=0,
        http_client=httpx.Client(trust_env=False, timeout=60),
    ) as client:
        yield client


def ask(client: openai.OpenAI, is_telling: bool) -> Told:
    asked: dict[str, Any] = {"stream_options": {"include_usage": True}} if is_telling else {}
    stream = client.chat.completions.create(
        model=NAME,
        messages=[{"role": "user", "content": "Tell me about the sea."}],
        max_tokens=60,
        stream=True,
        **asked,
    )
    chunks = list(stream)
    usages = [chunk.usage for chunk in chunks if chunk.usage]
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    told = (usages[-1].prompt_tokens, usages[-1].completion_tokens) if usages else None
    assert (told is not None) == is_telling
    return Told(stream.response.headers["x-plinth-id"], text, told)


def ask_at_once(client: openai.OpenAI) -> list[Told]:
    """Send `AT_ONCE` streams in parallel; an error of any of them is raised."""
    telling = [TELLING[number % len(TELLING)] for number in range(AT_ONCE)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = list(pool.map(lambda is_telling: ask(client, is_telling), telling))
    assert all(answer.text for answer in answers)
    return answers


def lines_of(plinth: Plinth, answers: Sequence[Told]) -> list[dict[str, Any]]:
    """Return the log's line of each answer, as a person reads it."""

    def seen() -> list[dict[str, Any]] | None:
        told = plinth.cli("gateway", "tail", "--once", "--json", "--last", "1000").out
        by_id = {line["id"]: line for line in map(json.loads, told.splitlines())}
        found = [by_id[answer.id] for answer in answers if answer.id in by_id]
        return found if len(found) == len(answers) else None

    found: list[dict[str, Any]] = wait_for(seen, "the lines of all answers")
    return found


def used(plinth: Plinth) -> tuple[float, float, float]:
    """Return the requests, input tokens and output tokens of the endpoint."""
    for row in plinth.client.usage():
        if row["workload"] == f"endpoint/{NAME}":
            return row["requests"], row["input_tokens"], row["output_tokens"]
    return 0, 0, 0


def by_deployment(lines: Sequence[dict[str, Any]]) -> dict[str, int]:
    names = [line["deployment"] for line in lines]
    return {name: names.count(name) for name in set(names)}


THEIRS = f"{NAME}.theirs"


def test_what_the_base_does_not_take_spills_and_everything_is_counted(
    plinth: Plinth, base: str, client: openai.OpenAI, provider: Provider
) -> None:
    before = used(plinth)
    answers = ask_at_once(client) + ask_at_once(client)
    lines = lines_of(plinth, answers)
    served = by_deployment(lines)
    assert set(served) == {base, THEIRS}
    assert served[THEIRS] == len(provider.seen)
    assert {line["code"] for line in lines} == {200}
    for told, line in zip(answers, lines, strict=True):
        is_ours = line["deployment"] == base
        assert (line["attempts"], line["spilled"]) == ((1, False) if is_ours else (2, True))
        assert (told.text == "hello") != is_ours
        counted = (line["input_tokens"], line["output_tokens"])
        assert not line["estimated"]
        assert counted == told.usage or told.usage is None
        if not is_ours:
            assert counted == (USAGE["prompt_tokens"], USAGE["completion_tokens"])
        assert all(counted)
    after = (
        before[0] + len(lines),
        before[1] + sum(line["input_tokens"] for line in lines),
        before[2] + sum(line["output_tokens"] for line in lines),
    )
    wait_for(lambda: used(plinth) == after, f"usage being {after}")


def test_the_provider_is_asked_with_its_own_key_and_for_the_usage(
    base: str, client: openai.OpenAI, provider: Provider
) -> None:
    ask_at_once(client)
    for path, headers, body in provider.seen:
        assert (path, body["model"]) == ("/v1/chat/completions", "gpt-9")
        assert headers["authorization"] == "Bearer sk-provider"
        assert body["stream_options"] == {"include_usage": True}


def test_callers_get_their_answers_while_the_control_plane_is_dead(
    plinth: Plinth, base: str, client: openai.OpenAI
) -> None:
    pid = plinth.pid_of("control")
    kill(pid)
    answers = ask_at_once(client)
    wait_for(plinth.is_up, "the control plane being back")
    assert plinth.pid_of("control") != pid
    assert set(by_deployment(lines_of(plinth, answers))) == {base, THEIRS}


def test_while_the_base_is_dead_the_burst_answers_everything(
    plinth: Plinth, base: str, client: openai.OpenAI
) -> None:
    kill(plinth.pid_of(f"{base}.0.1"))
    lines = lines_of(plinth, ask_at_once(client))
    assert by_deployment(lines) == {THEIRS: AT_ONCE}
    assert {line["code"] for line in lines} == {200}

    def serves_again() -> bool:
        return base in by_deployment(lines_of(plinth, ask_at_once(client)))

    wait_for(serves_again, "the base being asked again")


def test_the_share_that_spilled_is_a_metric(plinth: Plinth, base: str) -> None:
    series = [
        line for line in plinth.client.metrics().splitlines() if line.startswith("plinth_spilled")
    ]
    assert series
    assert all(f'endpoint="{NAME}"' in line and "theirs" in line for line in series)
