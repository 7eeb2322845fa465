"""Clients that other people wrote, unmodified, before the gateway: they see OpenAI, Azure, Triton.

A journey because each is a program of its own. LangChain and Triton's client have an environment of
their own, made once for each user; without packages to make it from they are skipped.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from plinth.domain.traffic import Deployment, EndpointRoute, Upstream
from tests.journeys.gateway_stand import Gateway, running_gateway
from tests.journeys.mlflow_server import environment
from tests.journeys.openai_stand import WORDS, ModelServer, OpenAIServer, chat_endpoint

PACKAGES = ("langchain-openai>=1.0", "tritonclient[http]>=2.60")
HELLO: Any = [{"role": "user", "content": "hello"}]


@pytest.fixture(scope="module")
def gateway(free_port: Callable[[], int]) -> Iterator[Gateway]:
    """Have a chat model and one of the Open Inference Protocol behind a gateway."""
    with running_gateway(free_port()) as running:
        blue = OpenAIServer("blue", running.root / "run" / "r_blue.0.1.sock")
        model = ModelServer(running.root / "run" / "r_sum.0.1.sock")
        serving = Deployment(id="r_sum", upstreams=(Upstream(socket=str(model.path)),))
        total = EndpointRoute(name="sum", team="ops", deployments=(serving,), callers=("p_ann",))
        running.apply(endpoints=(chat_endpoint("chat", blue), total))
        yield running
        blue.end()
        model.end()


@pytest.fixture(scope="module")
def address(gateway: Gateway) -> str:
    """Return the one address."""
    return f"http://127.0.0.1:{gateway.state.port}"


@pytest.fixture(params=["openai", "azure"])
def client(
    gateway: Gateway, address: str, request: pytest.FixtureRequest
) -> Iterator[openai.OpenAI]:
    """Return the official client, in both of its kinds."""
    key = gateway.key()
    made: openai.OpenAI
    if request.param == "azure":
        made = openai.AzureOpenAI(
            azure_endpoint=address, api_key=key, api_version="2024-10-21", max_retries=0
        )
    else:
        made = openai.OpenAI(base_url=f"{address}/v1", api_key=key, max_retries=0)
    with made:
        yield made


def test_the_official_client_chats(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="chat", messages=HELLO)
    assert answer.choices[0].message.content == "hello from blue"
    assert answer.usage is not None
    assert answer.usage.total_tokens == 15


def test_the_official_client_reads_a_stream_as_if_nobody_counted(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(model="chat", messages=HELLO, stream=True)
    # A piece without choices, which only says what was used, would break this very line.
    assert [piece.choices[0].delta.content for piece in stream] == list(WORDS)


def test_the_official_client_gets_the_usage_that_it_asks_for(client: openai.OpenAI) -> None:
    pieces = list(
        client.chat.completions.create(
            model="chat", messages=HELLO, stream=True, stream_options={"include_usage": True}
        )
    )
    assert pieces[-1].usage is not None
    assert pieces[-1].usage.total_tokens == 15


def test_the_official_client_completes_and_embeds(client: openai.OpenAI) -> None:
    completion = client.completions.create(model="chat", prompt="hello")
    assert completion.choices[0].text == "hello from blue"
    embedding = client.embeddings.create(model="chat", input="hello", encoding_format="float")
    assert embedding.data[0].embedding == [0.5, 0.25]


def test_the_official_client_understands_our_errors(client: openai.OpenAI, address: str) -> None:
    with pytest.raises(openai.PermissionDeniedError, match="may call nothing"):
        client.chat.completions.create(model="absent", messages=HELLO)
    with pytest.raises(openai.PermissionDeniedError, match="/v2/models/NAME"):
        client.chat.completions.create(model="sum", messages=HELLO)
    with (
        openai.OpenAI(base_url=f"{address}/v1", api_key="plk_wrong", max_retries=0) as stranger,
        pytest.raises(openai.AuthenticationError) as caught,
    ):
        stranger.chat.completions.create(model="chat", messages=HELLO)
    assert caught.value.code == "key_forged"


def test_curl_chats_and_sees_the_stream(gateway: Gateway, address: str) -> None:
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("there is no curl")
    command = [
        curl,
        "--silent",
        "--no-buffer",
        f"{address}/v1/chat/completions",
        *("--header", f"Authorization: Bearer {gateway.key()}"),
        *("--header", "Content-Type: application/json"),
        *("--data", json.dumps({"model": "chat", "messages": HELLO, "stream": True})),
    ]
    answer = subprocess.run(command, capture_output=True, check=True, timeout=20)
    assert answer.stdout.count(b"data: ") == len(WORDS) + 1
    assert answer.stdout.endswith(b"data: [DONE]\n\n")


def test_langchain_and_tritons_client_work_unmodified(gateway: Gateway, address: str) -> None:
    try:
        python = environment("openai-clients", PACKAGES)
    except subprocess.CalledProcessError:
        pytest.skip("the packages of LangChain and Triton's client cannot be installed here")
    script = Path(__file__).with_name("openai_clients.py")
    answer = subprocess.run(
        (str(python), str(script), address, gateway.key()),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert answer.returncode == 0, answer.stderr
    found = json.loads(answer.stdout)
    chain, triton = found["langchain"], found["triton"]
    assert chain["chat"] == chain["azure"] == "hello from blue"
    assert chain["usage"]["total_tokens"] == 15
    for kind in ("stream", "azure_stream"):
        assert [piece for piece in chain[kind] if piece] == list(WORDS)
    assert chain["embedding"] == [0.5, 0.25]
    assert (triton["is_live"], triton["is_ready"]) == (True, True)
    assert triton["metadata"]["name"] == "sum"
    assert triton["y"] == [[3.0]]
