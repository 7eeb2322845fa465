"""Flows are applied, evaluated and traced over the API."""

from __future__ import annotations

from typing import Any

import pytest

from plinth.domain.access import Grant, Role
from plinth.domain.run import WorkerTime
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


def test_what_an_evaluation_found_is_read_from_its_own_file(service: Service) -> None:
    body = {"workload": EVALUATION, "code_digest": upload(service.plane, PLAIN)}
    run = service.as_admin("POST", "/flow-evaluations", json=body)["id"]
    path = f"/flow-evaluations/{run}/results"
    assert service.call(service.admin, "GET", path).status_code == 404
    service.plane.until(lambda: f"{run}.0.1" in service.plane.world.replicas)
    file = service.plane.home.runs / run / "work" / ".plinth-results.jsonl"
    file.write_text('{"metrics": {}}\n')
    assert service.call(service.admin, "GET", path).text == '{"metrics": {}}\n'
    # Whatever the flow's code puts there: no link is followed.
    file.unlink()
    file.symlink_to(service.plane.home.admin_token)
    assert service.call(service.admin, "GET", path).status_code == 404
    job = service.plane.submit()
    answer = service.call(service.admin, "GET", f"/flow-evaluations/{job}/results")
    assert (answer.status_code, "is no evaluation" in answer.text) == (404, True)


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


def test_a_flow_that_scales_says_how_many_workers_run(service: Service) -> None:
    run = apply(service, workers="0..4").json()["deployment"]

    def workers() -> Any:
        return service.as_admin("GET", "/endpoints/answers")["deployments"]["main"]["workers"]

    assert workers()["words"] == "its host is being started"
    service.plane.until(lambda: serves(service.plane, run))
    told = workers()
    assert (told["running"], told["least"], told["most"]) == (0, 0, 4)
    assert told["words"].startswith("asleep: 0 of 4 workers run, which costs nothing")
    replica = service.plane.world.replicas[f"{run}.0.1"]
    replica.workers = [WorkerTime(number=1, started_at=replica.started_at)]
    service.plane.until(lambda: workers()["running"] == 1)
    assert workers()["words"] == "1 of 4 workers run"
    # One that does not start any more says so while nobody asks.
    service.plane.world.end(f"{run}.0.1", 3, "exited with code 3")
    service.plane.until(lambda: f"{run}.0.2" in service.plane.world.replicas)
    service.plane.until(lambda: workers()["words"].startswith("asleep"))
    assert workers()["words"].endswith("; attempt 1 ended: exited with code 3")


def test_one_that_always_runs_says_nothing_of_workers(service: Service) -> None:
    apply(service)
    assert service.as_admin("GET", "/endpoints/answers")["deployments"]["main"]["workers"] is None


def test_who_was_granted_a_flow_sees_its_runs_and_not_what_they_print(service: Service) -> None:
    apply(service)
    granted = service.principal()
    grant = Grant(
        role=Role.VIEWER, principal=granted.id, team=TEAM, resource=f"endpoint/{FLOW['name']}"
    )
    with service.plane.write() as connection:
        add_grant(connection, grant, created_by="admin", now=service.plane.clock.now())
    key = service.key_of(granted)
    (run,) = service.call(key, "GET", "/runs").json()
    assert run["kind"] == "flow"
    assert service.call(key, "GET", f"/runs/{run['id']}").status_code == 200
    assert service.call(key, "GET", f"/runs/{run['id']}/logs").status_code == 404
    assert service.call(key, "GET", "/flows/answers/traces").status_code == 404
