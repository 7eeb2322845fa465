"""Flows are applied, evaluated and traced over the API."""

from __future__ import annotations

from typing import Any

import pytest

from plinth.domain.access import Grant, Role
from plinth.store.identities import add_grant
from tests.api.service import LONELY, OTHER, TEAM, Service, error_of
from tests.control.flows.stand import PLAIN, serves, upload

FLOW = {"kind": "flow", "name": "answers", "team": TEAM, "app": "main:app"}
EVALUATION = {"kind": "evaluation", "name": "answers", "team": TEAM, "app": "main:app"}


def apply(service: Service, key: str = "", digest: str = "", **fields: Any) -> Any:
    body = {
        "workload": FLOW | fields,
        "code_digest": digest or upload(service.plane, PLAIN),
    }
    return service.call(key or service.admin, "PUT", "/flows/answers", json=body)


def test_a_flow_is_an_endpoint_that_says_what_it_is(service: Service) -> None:
    applied = apply(service).json()
    assert (applied["kind"], applied["protocol"], applied["changed"]) == ("flow", "flow", True)
    assert applied["addresses"] == {"flow": f"{service.plane.context.address}/flows/answers"}
    service.plane.until(lambda: serves(service.plane, applied["deployment"]))
    service.plane.step()
    shown = service.as_admin("GET", "/endpoints/answers")
    assert (shown["ready"], shown["workload"]["app"]) == (True, "main:app")
    assert shown["deployments"]["main"]["code"].startswith("code ")
    assert shown["runs"][0]["kind"] == "flow"
    assert apply(service).json()["changed"] is False


def test_the_address_and_the_file_name_the_same_flow(service: Service) -> None:
    answer = apply(service, name="other")
    assert (answer.status_code, error_of(answer)["code"]) == (400, "invalid")


def test_what_cannot_run_is_refused_and_leaves_nothing(service: Service) -> None:
    answer = apply(service, app="main:nothing")
    assert answer.status_code == 400
    assert "`main.py` has no `nothing`" in error_of(answer)["message"]
    assert service.as_admin("GET", "/endpoints") == []


@pytest.mark.parametrize("digest", ["x" * 64, "../" + "a" * 61, "a"])
def test_a_digest_is_checked_before_it_names_a_file(service: Service, digest: str) -> None:
    assert apply(service, digest=digest).status_code == 422


def test_a_folder_that_was_not_uploaded_is_told(service: Service) -> None:
    answer = apply(service, digest="0" * 64)
    assert (answer.status_code, "was not uploaded" in answer.text) == (400, True)


def test_only_who_may_write_on_the_team_applies_or_evaluates(service: Service) -> None:
    body = {"workload": EVALUATION, "code_digest": upload(service.plane, PLAIN)}
    for key, status in (
        (service.caller(), 404),
        (service.caller(Role.VIEWER), 403),
        (service.caller(Role.CONTRIBUTOR), 200),
    ):
        assert apply(service, key).status_code == status
        asked = service.call(key, "POST", "/flow-evaluations", json=body)
        assert asked.status_code == (201 if status == 200 else status)


def test_an_evaluation_is_a_run(service: Service) -> None:
    body = {"workload": EVALUATION, "code_digest": upload(service.plane, PLAIN)}
    run = service.as_admin("POST", "/flow-evaluations", json=body)
    assert (run["kind"], run["name"], run["phase"]) == ("evaluation", "answers", "pending")
    assert service.as_admin("GET", f"/runs/{run['id']}")["code_digest"] == body["code_digest"]
    (entry, *_) = service.as_admin("GET", "/audit-log", params={"limit": 1})
    assert (entry["action"], entry["subject"]) == ("evaluate", f"run/{run['id']}")


def test_traces_are_only_of_flows_and_of_those_one_may_see(service: Service) -> None:
    apply(service)
    service.plane.apply()
    assert service.as_admin("GET", "/flows/answers/traces") == []
    assert service.call(service.admin, "GET", "/flows/delay/traces").status_code == 400
    assert service.call(service.admin, "GET", "/flows/nothing/traces").status_code == 404
    stranger = service.caller(Role.VIEWER, OTHER, home_team=LONELY)
    # Who was let call it does not see what others asked.
    called = service.principal()
    grant = Grant(role=Role.VIEWER, principal=called.id, team=TEAM, resource="endpoint/answers")
    with service.plane.write() as connection:
        now = service.plane.clock.now()
        add_grant(connection, grant, created_by="admin", now=now)
    key = service.key_of(called)
    assert service.call(key, "GET", "/endpoints/answers").status_code == 200
    assert service.call(key, "GET", "/flows/answers/traces").status_code == 404
    assert service.call(stranger, "GET", "/flows/answers/traces").status_code == 404
    assert service.call(service.admin, "GET", "/flows/answers/traces/tr-x").status_code == 404
