"""Endpoints are applied, shown, stopped and deleted."""

from __future__ import annotations

from typing import Any

import pytest

from plinth.domain.access import Role
from tests.api.service import OTHER, TEAM, Service, error_of

FILE = {"kind": "endpoint", "name": "delay", "team": TEAM, "model": "models:/m@champion"}

CHAT = {"url": "https://1.1.1.1/v1", "protocol": "openai"}


def apply(service: Service, name: str = "delay", key: str = "", **fields: Any) -> Any:
    body = {**FILE, "name": name, **fields}
    return service.call(key or service.admin, "PUT", f"/endpoints/{name}", json=body)


def test_an_alias_is_resolved_when_the_file_is_applied(service: Service) -> None:
    service.plane.tracking.add_model(TEAM, "m", ("champion",))
    applied = apply(service).json()
    assert (applied["changed"], applied["model"]["version"], applied["ready"]) == (True, 1, False)
    assert applied["next"] == {"main": applied["deployment"]}
    service.plane.tracking.add_model(TEAM, "m", ("champion",))
    assert service.as_admin("GET", "/endpoints/delay")["model"]["version"] == 1
    assert apply(service).json()["changed"] is True
    assert apply(service).json()["changed"] is False


def test_an_endpoint_that_serves_is_ready(service: Service) -> None:
    run = service.plane.apply().deployment
    service.plane.until(lambda: service.plane.serves(run))
    assert service.as_admin("GET", "/endpoints/delay")["ready"] is False
    service.plane.step()
    shown = service.as_admin("GET", "/endpoints/delay")
    assert (shown["ready"], shown["serving"]) == (True, {"main": run})
    assert [each["id"] for each in shown["runs"]] == [run]
    assert service.as_admin("GET", "/endpoints")[0]["ready"] is True


@pytest.mark.parametrize("name", ["UPPER", "a_b", "x" * 41, "-a", "1a"])
def test_a_name_in_the_address_is_checked_like_one_in_the_file(service: Service, name: str) -> None:
    service.plane.tracking.add_model(TEAM, "m", ("champion",))
    body = {**FILE, "name": "fine"}
    answer = service.call(service.admin, "PUT", f"/endpoints/{name}", json=body)
    assert answer.status_code == 422
    assert service.as_admin("GET", "/endpoints") == []


def test_the_address_and_the_file_name_the_same_endpoint(service: Service) -> None:
    answer = service.call(service.admin, "PUT", "/endpoints/other", json=FILE)
    assert (answer.status_code, error_of(answer)["code"]) == (400, "invalid")


def test_an_unknown_model_or_runtime_is_refused(service: Service) -> None:
    assert apply(service).status_code == 404
    assert apply(service, runtime="nope").status_code == 400
    assert service.as_admin("GET", "/endpoints") == []


def test_stopping_and_deleting_change_the_intent(service: Service) -> None:
    service.plane.apply()
    assert service.as_admin("POST", "/endpoints/delay/stop")["desired"] == "stop"
    assert service.as_admin("DELETE", "/endpoints/delay")["desired"] == "delete"
    service.plane.until(lambda: service.plane.endpoint() is None)
    assert service.call(service.admin, "GET", "/endpoints/delay").status_code == 404


def test_the_runs_of_a_name_stay_with_the_team_that_had_them(service: Service) -> None:
    service.plane.apply()
    service.as_admin("DELETE", "/endpoints/delay")
    service.plane.until(lambda: service.plane.endpoint() is None)
    service.plane.tracking.add_model(OTHER, "m", ("champion",))
    apply(service, team=OTHER)
    shown = service.call(service.caller(Role.VIEWER, OTHER), "GET", "/endpoints/delay").json()
    assert [each["team"] for each in shown["runs"]] == [OTHER]


def test_who_was_granted_one_endpoint_sees_that_one(service: Service) -> None:
    service.plane.apply()
    service.plane.apply(name="hidden")
    grant = {"role": "viewer", "subject_team": OTHER, "team": TEAM, "resource": "endpoint/delay"}
    service.as_admin("POST", "/grants", json=grant)
    key = service.as_admin("POST", "/keys", json={"team": OTHER, "name": "dash"})["token"]
    shown = service.call(key, "GET", "/endpoints").json()
    assert [each["name"] for each in shown] == ["delay"]
    assert service.call(key, "GET", "/endpoints/hidden").status_code == 404
    assert service.call(key, "POST", "/endpoints/delay/stop").status_code == 403


def test_what_was_applied_is_told_by_deployment_and_written_down(service: Service) -> None:
    for _ in range(2):
        service.plane.tracking.add_model(TEAM, "m", ("champion",))
    deployments = {
        "blue": {"model": "models:/m/1"},
        "green": {"model": "models:/m@champion"},
        "burst": {"external": {"url": "https://1.1.1.1", "protocol": "open-inference"}},
    }
    body = {**FILE, "deployments": deployments, "traffic": {"blue": 90, "green": 10, "burst": 0}}
    del body["model"]
    answer = service.call(service.admin, "PUT", "/endpoints/delay", json=body).json()
    assert set(answer["applied"]) == {"blue", "green"}
    assert answer["deployment"] == answer["applied"]["blue"]
    (entry,) = service.as_admin("GET", "/audit-log", params={"action": "apply"})
    assert entry["detail"]["deployments"] == {"blue": "m/1", "green": "m/2", "burst": "external"}


def test_a_private_address_is_refused(service: Service) -> None:
    external = {"url": "http://169.254.169.254", "protocol": "open-inference"}
    body = {**FILE, "external": external}
    del body["model"]
    answer = service.call(service.admin, "PUT", "/endpoints/delay", json=body)
    assert (answer.status_code, error_of(answer)["code"]) == (400, "private_address")
    assert service.as_admin("GET", "/endpoints") == []


def check(service: Service, key: str = "", **fields: Any) -> Any:
    body = {"kind": "endpoint", "name": "chat", "team": TEAM, **fields}
    return service.call(key or service.admin, "POST", "/endpoints/chat/check", json=body)


@pytest.mark.parametrize(
    "fields",
    [
        {"external": {**CHAT, "url": "http://127.0.0.1:9/v1"}},
        {"external": {**CHAT, "url": "https://10.0.0.1/v1"}},
        {"external": {**CHAT, "credential": "secret:nothing"}},
        {"external": CHAT, "runtime": "nope"},
        {"external": CHAT, "runtime": "llmserver"},
        {"external": CHAT, "replicas": 2},
        {"external": CHAT, "max_body": "17MiB"},
        {"external": {**CHAT, "url": "https://1.1.1.1:0/v1"}},
        {"external": {**CHAT, "protocol": "azure-openai", "model": ".."}},
        {"external": {**CHAT, "region": "westeurop"}, "requirements": {"regions": ["westeurope"]}},
        {"external": CHAT, "requirements": {"regions": ["westeurop"]}},
        {"external": CHAT, "limits": [{"team": "nobody", "requests_per_minute": 1}]},
        {
            "deployments": {
                "a": {"external": CHAT},
                "b": {"external": {**CHAT, "protocol": "open-inference"}},
            },
            "failover": ["a", "b"],
        },
    ],
)
def test_a_check_refuses_what_applying_refuses_in_the_same_words(
    service: Service, fields: dict[str, Any]
) -> None:
    checked = check(service, **fields)
    body = {"kind": "endpoint", "name": "chat", "team": TEAM, **fields}
    applied = service.call(service.admin, "PUT", "/endpoints/chat", json=body)
    assert applied.status_code >= 400
    assert (checked.status_code, error_of(checked)) == (applied.status_code, error_of(applied))


def test_a_check_changes_nothing_and_warns_of_what_gets_no_request(service: Service) -> None:
    fields = {
        "deployments": {"a": {"external": CHAT}, "b": {"external": CHAT}},
        "failover": ["a"],
    }
    (warning,) = check(service, **fields).json()["warnings"]
    assert warning.startswith("deployment `b` gets no request")
    assert service.as_admin("GET", "/endpoints") == []
    body = {"kind": "endpoint", "name": "chat", "team": TEAM, **fields}
    applied = service.as_admin("PUT", "/endpoints/chat", json=body)
    assert applied["warnings"] == [warning]


def test_a_check_warns_of_what_applying_warns_of(service: Service) -> None:
    fields = {
        "external": {**CHAT, "region": "swedncentral"},
        "limits": [{"tokens_per_minute": 100}],
        "timeouts": {"request": 1, "attempt": 2},
    }
    warnings = check(service, **fields).json()["warnings"]
    assert len(warnings) == 3
    body = {"kind": "endpoint", "name": "chat", "team": TEAM, **fields}
    applied = service.as_admin("PUT", "/endpoints/chat", json=body)
    assert applied["warnings"] == warnings
