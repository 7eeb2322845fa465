"""A model that somebody else serves, behind an endpoint of ours: keys, secrets, addresses."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from plinth.kit.errors import Conflict, Invalid, NotFound, PlinthError
from plinth.units.client import AgentClient
from tests.journeys.openai_mock import Provider, running_provider
from tests.journeys.plinth_node import Plinth, running_plinth, wait_for

TEAM = "research"
NAME = "chat"
SECRET = "sk-very-secret-0123456789"
CHAT = {"model": NAME, "messages": [{"role": "user", "content": "hello"}]}


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with running_provider() as provider:
        yield provider


@pytest.fixture(scope="module")
def plinth(managed_environments: Path, free_port: Callable[[], int]) -> Iterator[Plinth]:
    """Start Plinth with a setting that allows this machine's own addresses."""
    folder = Path(tempfile.mkdtemp(prefix="pl-"))
    (folder / "settings.toml").write_text("allow_private_upstreams = true\n")
    port = free_port()
    with running_plinth(managed_environments, port, teams=[TEAM], folder=folder) as plinth:
        plinth.client.set_secret("provider", SECRET.encode(), team=TEAM)
        yield plinth


@pytest.fixture(scope="module")
def caller(plinth: Plinth) -> httpx.Client:
    return plinth.http(plinth.key(TEAM))


def external(provider: Provider, **fields: Any) -> dict[str, Any]:
    return {
        "url": provider.url,
        "protocol": "openai",
        "model": "gpt-9",
        "credential": "secret:provider",
        **fields,
    }


def apply(plinth: Plinth, **fields: Any) -> str:
    return plinth.cli("apply", plinth.write(kind="endpoint", name=NAME, team=TEAM, **fields)).err


def test_a_request_goes_there_with_the_credential_and_without_the_callers_key(
    plinth: Plinth, provider: Provider, caller: httpx.Client
) -> None:
    said = apply(plinth, external=external(provider))
    assert f"endpoint `{NAME}` serves what 127.0.0.1 has at {plinth.address}/v1" in said
    answer = caller.post("/v1/chat/completions", json=CHAT)
    assert answer.status_code == 200, answer.text
    assert answer.json()["choices"][0]["message"]["content"] == "hello"
    path, headers, body = provider.seen[-1]
    assert path == "/v1/chat/completions"
    assert headers["authorization"] == f"Bearer {SECRET}"
    assert body == {**CHAT, "model": "gpt-9"}
    key = caller.headers["authorization"].removeprefix("Bearer ")
    sent = repr(provider.seen)
    assert key not in sent
    assert not any(name.startswith("x-plinth") for name in headers)


def test_the_credential_stands_in_no_file_of_the_home_and_no_answer(
    plinth: Plinth, provider: Provider, caller: httpx.Client
) -> None:
    caller.post("/v1/chat/completions", json=CHAT)
    found = subprocess.run(
        ["grep", "-rl", "--binary-files=text", SECRET, str(plinth.home.root)],
        capture_output=True,
        text=True,
        check=False,
    )
    inside = [line for line in found.stdout.splitlines() if "/gateway/credentials/" not in line]
    assert inside == []
    told = plinth.cli("get", NAME, "--json").out + plinth.cli("audit-log", "--json").out
    assert SECRET not in told


def test_the_models_of_a_key_are_listed_as_openai_does(
    plinth: Plinth, caller: httpx.Client
) -> None:
    listed = caller.get("/v1/models").json()
    assert [model["id"] for model in listed["data"]] == [NAME]
    assert caller.get(f"/v1/models/{NAME}").json()["owned_by"] == TEAM
    assert caller.get("/v1/models/other").status_code == 404
    stranger = plinth.http(plinth.key("default"))
    assert stranger.get("/v1/models").json()["data"] == []
    assert stranger.post("/v1/chat/completions", json=CHAT).status_code in (403, 404)


def test_it_is_shown_with_where_it_goes(plinth: Plinth, provider: Provider) -> None:
    shown = plinth.client.endpoint(NAME)
    assert (shown["protocol"], shown["ready"], shown["serving"]) == ("openai", True, {})
    assert shown["addresses"] == {
        "openai": f"{plinth.address}/v1",
        "azure-openai": f"{plinth.address}/openai/deployments/{NAME}",
    }
    (one,) = shown["deployments"].values()
    assert (one["kind"], one["share"], one["external"]["url"]) == ("external", 100, provider.url)
    assert "127.0.0.1" in plinth.cli("get", NAME).out


def test_a_new_value_of_the_secret_is_sent_from_then_on(
    plinth: Plinth, provider: Provider, caller: httpx.Client
) -> None:
    plinth.client.set_secret("provider", b"sk-another", team=TEAM)

    def seen() -> bool:
        caller.post("/v1/chat/completions", json=CHAT)
        return provider.seen[-1][1]["authorization"] == "Bearer sk-another"

    wait_for(seen, "the new credential")


def test_the_other_one_answers_while_the_first_does_not(
    plinth: Plinth, provider: Provider, caller: httpx.Client
) -> None:
    with running_provider() as second:
        apply(
            plinth,
            deployments={
                "first": {"external": external(provider)},
                "second": {"external": external(second, model="other")},
            },
            failover=["first", "second"],
        )
        assert caller.post("/v1/chat/completions", json=CHAT).status_code == 200
        assert second.seen == []
        provider.status = 503
        try:
            for _ in range(5):
                assert caller.post("/v1/chat/completions", json=CHAT).status_code == 200
        finally:
            provider.status = 200
        assert len(second.seen) == 5
        assert second.seen[0][2]["model"] == "other"
        shown = plinth.client.endpoint(NAME)["deployments"]
        assert {name: one["share"] for name, one in shown.items()} == {"first": 100, "second": None}
        apply(plinth, external=external(provider))


def test_what_cannot_be_is_refused_before_anything_changes(
    plinth: Plinth, provider: Provider
) -> None:
    def refused(**fields: Any) -> str:
        with pytest.raises(PlinthError) as caught:
            plinth.client.apply(plinth.endpoint_of("other", TEAM, **fields))
        assert isinstance(caught.value, Conflict | Invalid | NotFound)
        return f"{caught.value.message} {caught.value.hint}"

    absent = external(provider, credential="secret:absent")
    assert "plinth secrets set absent" in refused(external=absent)
    mixed = {
        "one": {"external": external(provider)},
        "two": {"external": {"url": provider.url, "protocol": "open-inference"}},
    }
    assert "`one` speaks `openai`" in refused(deployments=mixed, failover=["one", "two"])
    assert [each["name"] for each in plinth.client.endpoints()] == [NAME]


def test_a_limit_of_tokens_starts_the_guard_and_without_one_it_ends(
    plinth: Plinth, provider: Provider
) -> None:
    # A request holds 60: half the bytes of its body, and 20. It uses 9.
    limits = [{"each": "key", "tokens_per_minute": 100, "default_max_tokens": 20}]
    apply(plinth, external=external(provider), limits=limits)
    wait_for(lambda: "guard" in plinth.units(), "the guard")
    # What the other one used in the last minute counts already.
    fresh = plinth.http(plinth.key(TEAM))
    codes = []

    def limited() -> bool:
        codes.append(fresh.post("/v1/chat/completions", json=CHAT).status_code)
        return codes[-1] == 429

    wait_for(limited, "the limit being held")
    assert set(codes) == {200, 429}
    apply(plinth, external=external(provider))
    wait_for(lambda: "guard" not in plinth.units(), "the guard's end")
    assert fresh.post("/v1/chat/completions", json=CHAT).status_code == 200
    assert AgentClient(plinth.home.socket("agent")).ping()


def test_a_secret_that_is_deleted_takes_its_deployment_out(
    plinth: Plinth, provider: Provider, caller: httpx.Client
) -> None:
    plinth.client.delete_secret("provider", team=TEAM)
    wait_for(
        lambda: caller.post("/v1/chat/completions", json=CHAT).status_code == 503, "its refusal"
    )
    (one,) = plinth.client.endpoint(NAME)["deployments"].values()
    assert (one["phase"], one["ready"]) == ("no credential", False)
    assert "no secret `provider`" in one["message"]
    plinth.client.set_secret("provider", SECRET.encode(), team=TEAM)
    wait_for(
        lambda: caller.post("/v1/chat/completions", json=CHAT).status_code == 200, "its answer"
    )
