"""An endpoint is shown with its deployments by name, and where it is called."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from plinth.control.published import Published, Refused
from tests.api.service import TEAM, Service
from tests.control.conversions.form_case import conversion, finish, with_models
from tests.control.endpoints.keeping import keep_secret

CHAT = {"url": "https://1.1.1.1/v1", "protocol": "openai", "model": "gpt-9"}
TWO: dict[str, Any] = {
    "deployments": {"blue": {"model": "models:/m/1"}, "green": {"model": "models:/m/2"}},
    "traffic": {"blue": 90, "green": 10},
}


def shown(service: Service, name: str = "delay") -> Any:
    return service.as_admin("GET", f"/endpoints/{name}")


def deploy(service: Service, **fields: Any) -> dict[str, str]:
    plane = service.plane
    for _ in range(2):
        plane.tracking.add_model(TEAM, "m", ("champion",))
    runs = plane.apply(**fields).deployments
    plane.until(lambda: getattr(plane.endpoint(), "serving", None) == runs)
    plane.step()
    return runs


def test_each_deployment_has_its_run_its_share_and_its_model(service: Service) -> None:
    runs = deploy(service, **TWO)
    answer = shown(service)
    assert (answer["ready"], answer["up_to_date"], answer["protocol"]) == (
        True,
        True,
        "open-inference",
    )
    blue, green = answer["deployments"].values()
    assert (blue["run"], blue["share"], blue["model"]["version"]) == (runs["blue"], 90, 1)
    assert (green["kind"], green["phase"], green["next"]) == ("hosted", "running", None)
    assert {run["deployment"] for run in answer["runs"]} == {"blue", "green"}
    assert set(answer["plans"]) == {"blue", "green"}
    assert answer["workload"]["traffic"] == {"blue": 90, "green": 10}
    assert answer["url"].endswith("/v2/models/delay")


def test_how_a_model_answers_is_shown_with_the_reason(service: Service) -> None:
    deploy(service, **TWO)
    blue, _ = shown(service)["deployments"].values()
    assert (blue["form"]["form"], blue["form"]["asked"]) == ("pyfunc", "auto")
    assert blue["form"]["words"] == [
        "answers as MLflow loads it: its description says of no flavor that ONNX could be made of"
    ]


def test_one_that_moves_to_its_onnx_form_is_up_to_date_meanwhile(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    plane = with_models(service.plane, monkeypatch)
    first = plane.apply().deployment
    plane.until(lambda: plane.serves(str(first)))
    finish(plane, conversion(plane))
    plane.not_ready = "the model is loading"
    plane.until(lambda: bool(getattr(plane.endpoint(), "next", {})))
    answer = shown(service)
    assert (answer["up_to_date"], answer["deployments"]["main"]["run"]) == (True, first)
    assert "takes over when it is ready" in answer["deployments"]["main"]["form"]["why"]
    plane.not_ready = None
    plane.until(lambda: not plane.serves(str(first)))
    form = shown(service)["deployments"]["main"]["form"]
    assert (form["form"], form["comparison"]["onnx"]["one_row_ms"]) == ("onnx", 0.007)


def test_what_is_not_ready_has_no_share_and_keeps_it_from_being_up_to_date(
    service: Service,
) -> None:
    plane = service.plane
    for _ in range(2):
        plane.tracking.add_model(TEAM, "m", ("champion",))
    runs = plane.apply(**TWO).deployments
    plane.why_not[runs["green"]] = "the model is loading"
    plane.until(lambda: getattr(plane.endpoint(), "serving", None) == {"blue": runs["blue"]})
    for _ in range(4):
        plane.step()
    answer = shown(service)
    assert (answer["ready"], answer["up_to_date"]) == (True, False)
    blue, green = answer["deployments"].values()
    assert (blue["share"], green["share"]) == (100, 0)
    assert (green["next"], green["message"]) == (runs["green"], "the model is loading")


def test_a_change_that_the_gateway_does_not_run_yet_is_not_up_to_date(service: Service) -> None:
    deploy(service, **TWO)
    service.plane.apply(**{**TWO, "traffic": {"blue": 0, "green": 100}})
    assert shown(service)["up_to_date"] is False
    service.plane.step()
    answer = shown(service)
    assert answer["up_to_date"] is True
    assert [one["share"] for one in answer["deployments"].values()] == [0, 100]


def test_an_external_one_is_shown_with_where_it_is(service: Service) -> None:
    plane = service.plane
    keep_secret(plane, "provider", b"sk-1")
    both = {
        "base": {"external": {**CHAT, "credential": "secret:provider"}},
        "burst": {"external": CHAT},
    }
    plane.apply(name="chat", deployments=both, capacity={"base": "base", "burst": "burst"})
    plane.step()
    answer = shown(service, "chat")
    assert list(answer["addresses"]) == ["openai", "azure-openai"]
    assert answer["addresses"]["azure-openai"].endswith("/openai/deployments/chat")
    base, burst = answer["deployments"].values()
    assert (base["phase"], base["share"], burst["share"]) == ("external", 100, None)
    assert base["external"]["credential"] == "secret:provider"
    assert "sk-1" not in str(answer)
    service.as_admin("DELETE", "/secrets/provider", params={"team": TEAM})
    base = shown(service, "chat")["deployments"]["base"]
    assert (base["phase"], base["ready"]) == ("no credential", False)
    assert base["message"] == f"team `{TEAM}` has no secret `provider`"


def test_why_the_gateway_refuses_it_is_told_until_the_file_is_another(service: Service) -> None:
    plane = service.plane
    plane.apply(name="chat", external=CHAT)
    endpoint = plane.endpoint("chat")
    assert endpoint is not None
    refused = {"chat": Refused(endpoint.version, "no such host")}
    plane.gateway.note(Published("v", {}, frozenset(), {}, refused))
    assert shown(service, "chat")["refused"] == "no such host"
    plane.apply(name="chat", external={**CHAT, "model": "gpt-10"})
    assert shown(service, "chat")["refused"] is None


@pytest.mark.parametrize("desired", ["stop", "delete"])
def test_what_is_stopped_answers_nobody(service: Service, desired: str) -> None:
    plane = service.plane
    plane.apply(name="chat", external=CHAT)
    plane.step()
    assert shown(service, "chat")["ready"] is True
    if desired == "stop":
        service.as_admin("POST", "/endpoints/chat/stop")
    else:
        service.as_admin("DELETE", "/endpoints/chat")
    answer = shown(service, "chat")
    assert (answer["ready"], answer["deployments"]["main"]["share"]) == (False, 0)


def test_a_server_elsewhere_that_does_not_answer_is_not_ready_and_says_since_when(
    service: Service,
) -> None:
    plane = service.plane
    plane.apply(name="chat", external=CHAT)
    plane.step()
    assert shown(service, "chat")["deployments"]["main"]["health"]["state"] == "unknown"
    note = {"chat.main": {"state": "unhealthy", "since": "2026-11-23T10:00:00+00:00", "why": "x"}}
    (plane.home.gateway / "health.json").write_text(json.dumps(note))
    answer = shown(service, "chat")
    assert answer["deployments"]["main"]["health"]["since"] == "2026-11-23T10:00:00+00:00"
    # What the file says holds: nobody waits for somebody else's server.
    assert (answer["ready"], answer["up_to_date"]) == (False, True)
    service.as_admin("POST", "/endpoints/chat/stop")
    assert shown(service, "chat")["deployments"]["main"]["health"] is None


def test_a_credential_that_cannot_be_sent_is_told_with_its_deployment(service: Service) -> None:
    plane = service.plane
    plane.apply(name="chat", external=CHAT)
    plane.apply(name="other", external=CHAT)
    plane.step()
    published = plane.gateway.published
    assert published is not None
    plane.gateway.note(replace(published, credentials={"chat.main": "it holds a space"}))
    health = shown(service, "chat")["deployments"]["main"]["health"]
    assert (health["state"], health["why"]) == ("old credential", "it holds a space")
    assert shown(service, "other")["deployments"]["main"]["health"]["state"] == "unknown"
