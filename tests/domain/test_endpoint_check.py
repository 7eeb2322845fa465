"""What a file alone shows is refused without a control plane."""

from __future__ import annotations

from typing import Any

import pytest

from plinth.domain.endpoint_check import check_file, check_runtime, field_of, spoken_by
from plinth.domain.workload import Endpoint
from plinth.kit.errors import Invalid

SPEAKS: Any = {"v2server": "open-inference", "llmserver": "openai"}
CHAT = {"url": "https://api.example.com/v1", "protocol": "openai"}


def endpoint(**fields: Any) -> Endpoint:
    return Endpoint.model_validate({"kind": "endpoint", "name": "chat", **fields})


def pair(first: dict[str, Any], second: dict[str, Any]) -> Endpoint:
    return endpoint(deployments={"a": first, "b": second}, failover=["a", "b"])


def test_all_deployments_speak_the_same() -> None:
    azure = {"url": "https://x.openai.azure.com", "protocol": "azure-openai"}
    ours = {"model": "models:/m/1", "runtime": "llmserver"}
    check_file(pair({"external": CHAT}, {"external": azure}), SPEAKS)
    check_file(pair({"external": CHAT}, ours), SPEAKS)
    mixed = pair({"external": CHAT}, {"model": "models:/m/1"})
    with pytest.raises(Invalid, match="`a` speaks `openai`, `b` speaks `open-inference`") as caught:
        check_file(mixed, SPEAKS)
    assert caught.value.code == "mixed_protocols"
    assert {spoken_by(one, SPEAKS) for one in mixed.by_name().values()} == {
        "openai",
        "open-inference",
    }


def test_an_unknown_runtime_is_refused_with_its_field_and_those_there_are() -> None:
    wrong = pair({"model": "models:/m/1"}, {"model": "models:/m/2", "runtime": "nope"})
    with pytest.raises(Invalid, match=r"`deployments\.b\.runtime` is `nope`; there are"):
        check_file(wrong, SPEAKS)
    check_runtime(wrong.by_name()["a"], SPEAKS)
    assert field_of(endpoint(external=CHAT), "main", "runtime") == "runtime"


def test_an_address_of_this_machine_is_refused_unless_it_is_allowed() -> None:
    here = endpoint(external={**CHAT, "url": "http://127.0.0.1:8000/v1"})
    with pytest.raises(Invalid, match=r"`external\.url`: `127\.0\.0\.1` is this machine itself"):
        check_file(here, SPEAKS)
    check_file(here, SPEAKS, port=8470, allow_private=True)
    with pytest.raises(Invalid, match="Plinth's own address"):
        check_file(here, SPEAKS, port=8000, allow_private=True)


@pytest.mark.parametrize("allow", [False, True])
def test_a_cloud_s_metadata_is_never_allowed(*, allow: bool) -> None:
    there = endpoint(external={**CHAT, "url": "http://169.254.169.254/v1"})
    with pytest.raises(Invalid, match=r"where clouds answer for their metadata"):
        check_file(there, SPEAKS, allow_private=allow)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"replicas": 3}, r"`replicas` is `3`, but somebody else serves the model"),
        ({"runtime": "llmserver"}, r"`runtime` is `llmserver`, but somebody else"),
        ({"resources": {"cpu": 2}}, r"`resources` is given, but somebody else"),
    ],
)
def test_what_says_how_plinth_runs_a_model_is_refused_of_one_elsewhere(
    fields: dict[str, Any], said: str
) -> None:
    with pytest.raises(Invalid, match=said) as caught:
        check_file(endpoint(external=CHAT, **fields), SPEAKS)
    assert "leave `" in str(caught.value.hint)
    (field,) = fields
    ours = {"model": "models:/m/1", "runtime": "llmserver"}
    with pytest.raises(Invalid, match=rf"`deployments\.b\.{field}`"):
        check_file(pair(ours, {"external": CHAT, **fields}), SPEAKS)


def test_resources_of_the_deployments_that_plinth_runs_may_stand_for_all() -> None:
    ours = {"model": "models:/m/1", "runtime": "llmserver", "replicas": 2}
    both = {"a": ours, "b": {"external": CHAT}}
    check_file(endpoint(deployments=both, failover=["a", "b"], resources={"cpu": 2}), SPEAKS)
    # What is usual says nothing.
    check_file(endpoint(external=CHAT, replicas=1, runtime="v2server"), SPEAKS)


def test_a_larger_body_than_openai_s_addresses_take_is_refused() -> None:
    with pytest.raises(Invalid, match=r"`max_body` is 17MiB; at the addresses of OpenAI .* 16MiB"):
        check_file(endpoint(external=CHAT, max_body="17MiB"), SPEAKS)
    ours = endpoint(model="models:/m/1", runtime="llmserver", max_body="1GiB")
    with pytest.raises(Invalid, match="`max_body` is 1GiB"):
        check_file(ours, SPEAKS)
    check_file(endpoint(external=CHAT, max_body="16MiB"), SPEAKS)
    check_file(endpoint(model="models:/m/1", max_body="1GiB"), SPEAKS)
