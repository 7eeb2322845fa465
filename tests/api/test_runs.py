"""Runs are submitted, shown, stopped and deleted."""

from __future__ import annotations

from typing import Any

from plinth.domain.access import Role
from tests.api.service import OTHER, TEAM, Service, error_of

JOB = {"kind": "job", "name": "train", "team": TEAM, "command": "python train.py"}


def submit(service: Service, key: str = "", **fields: Any) -> Any:
    body = {"workload": {**JOB, **fields}}
    return service.call(key or service.admin, "POST", "/runs", json=body)


def finished(service: Service) -> str:
    plane = service.plane
    plane.world.behave = lambda world, unit: world.end(unit)
    run = str(submit(service).json()["id"])
    plane.until(lambda: plane.run(run).closed)
    return run


def test_a_submitted_job_is_shown_with_its_plan(service: Service) -> None:
    answer = submit(service)
    assert answer.status_code == 201
    run = service.as_admin("GET", f"/runs/{answer.json()['id']}")
    assert run == answer.json()
    assert run["plan"]["chosen"]["platform"] == "local"
    assert (run["phase"], run["reason"]) == ("pending", "Accepted")
    assert [event["reason"] for event in run["events"]] == ["Accepted"]
    assert service.plane.hints > 0


def test_the_team_is_the_callers_own_when_none_is_named(service: Service) -> None:
    made = service.as_admin("POST", "/keys", json={"team": OTHER, "name": "ci", "role": "operator"})
    assert submit(service, made["token"], team=None).json()["team"] == OTHER


def test_what_fits_nowhere_is_refused_with_reasons_and_leaves_no_run(service: Service) -> None:
    answer = submit(service, resources={"cpu": 512})
    assert (answer.status_code, error_of(answer)["code"]) == (400, "no_platform_fits")
    assert service.as_admin("GET", "/runs") == []


def test_code_that_was_not_uploaded_is_refused(service: Service) -> None:
    body = {"workload": JOB, "code_digest": "0" * 64}
    answer = service.call(service.admin, "POST", "/runs", json=body)
    assert (answer.status_code, "was not uploaded" in answer.text) == (400, True)


def test_a_file_of_the_callers_machine_is_refused(service: Service) -> None:
    answer = submit(service, environment={"file": "requirements.txt"})
    assert (answer.status_code, "caller's machine" in answer.text) == (400, True)


def test_data_is_resolved_when_it_is_submitted(service: Service) -> None:
    service.add_data()
    run = submit(service, data={"input": "flights@latest"}).json()
    assert run["data"]["input"]["version"] == 1
    answer = submit(service, data={"input": "flights@7"})
    assert answer.status_code == 404
    assert "it has flights@1" in error_of(answer)["message"]


def test_a_team_sees_its_runs_however_many_others_have(service: Service) -> None:
    mine = submit(service, team=OTHER).json()["id"]
    for _ in range(3):
        service.plane.clock.advance(1)
        submit(service)
    key = service.caller(Role.VIEWER, OTHER)
    shown = service.call(key, "GET", "/runs", params={"limit": 2}).json()
    assert [run["id"] for run in shown] == [mine]
    assert service.call(service.caller(), "GET", "/runs").json() == []


def test_runs_are_listed_by_kind_and_activity_newest_first(service: Service) -> None:
    done = finished(service)
    service.plane.clock.advance(1)
    active = submit(service).json()["id"]
    service.plane.apply()

    def ids(**params: Any) -> list[str]:
        return [run["id"] for run in service.as_admin("GET", "/runs", params=params)]

    assert ids(kind="job") == [active, done]
    assert ids(kind="job", active=True) == [active]
    assert len(ids()) == 3
    assert len(ids(limit=1)) == 1


def test_logs_go_on_from_an_offset(service: Service) -> None:
    run = finished(service)
    service.plane.world.replicas[f"{run}.0.1"].output = b"one\ntwo\n"
    path = f"/runs/{run}/logs"
    answer = service.call(service.admin, "GET", path)
    assert answer.content == b"one\ntwo\n"
    assert answer.headers["x-plinth-next-offset"] == "8"
    assert answer.headers["x-plinth-phase"] == "succeeded"
    rest = service.call(service.admin, "GET", path, params={"offset": 4, "attempt": 1})
    assert rest.content == b"two\n"
    answer = service.call(service.admin, "GET", path, params={"attempt": 2})
    assert (answer.status_code, "no attempt 2" in answer.text) == (404, True)


def test_a_run_that_has_not_started_has_printed_nothing(service: Service) -> None:
    run = submit(service).json()["id"]
    answer = service.call(service.admin, "GET", f"/runs/{run}/logs")
    assert (answer.content, answer.headers["x-plinth-attempt"]) == (b"", "0")


def test_only_a_run_that_has_ended_is_deleted_with_its_files(service: Service) -> None:
    active = submit(service).json()["id"]
    answer = service.call(service.admin, "DELETE", f"/runs/{active}")
    assert (answer.status_code, error_of(answer)["code"]) == (409, "conflict")
    service.as_admin("POST", f"/runs/{active}/stop")
    done = finished(service)
    assert (service.plane.home.runs / done).exists()
    service.plane.parts.metering.collect()
    assert service.as_admin("DELETE", f"/runs/{done}") == {"deleted": done}
    assert not (service.plane.home.runs / done).exists()
    assert f"{done}.0.1" not in service.plane.world.replicas
    assert service.call(service.admin, "GET", f"/runs/{done}").status_code == 404


def test_a_run_is_not_deleted_before_its_usage_is_written(service: Service) -> None:
    plane = service.plane
    run = str(submit(service).json()["id"])
    plane.until(lambda: plane.run(run).phase == "running")
    plane.clock.advance(90)
    plane.world.end(f"{run}.0.1")
    plane.until(lambda: plane.run(run).closed)
    answer = service.call(service.admin, "DELETE", f"/runs/{run}")
    assert (answer.status_code, error_of(answer)["code"]) == (503, "unavailable")
    plane.parts.metering.collect()
    service.as_admin("DELETE", f"/runs/{run}")
    (row,) = service.as_admin("GET", "/usage")
    assert row["training_seconds"] >= 90


def test_a_deployment_is_stopped_and_deleted_with_its_endpoint(service: Service) -> None:
    run = service.plane.apply().deployment
    answer = service.call(service.admin, "POST", f"/runs/{run}/stop")
    assert (answer.status_code, "plinth stop delay" in answer.text) == (409, True)
    assert service.call(service.admin, "DELETE", f"/runs/{run}").status_code == 409


def test_runs_are_found_by_name(service: Service) -> None:
    wanted = submit(service, name="wanted").json()["id"]
    submit(service)
    found = service.as_admin("GET", "/runs", params={"name": "wanted"})
    assert [run["id"] for run in found] == [wanted]


def test_who_was_granted_one_job_lists_it_however_many_the_team_has(service: Service) -> None:
    wanted = submit(service, name="wanted").json()["id"]
    for _ in range(3):
        service.plane.clock.advance(1)
        submit(service)
    granted = service.principal()
    grant = {"role": "viewer", "principal": granted.id, "team": TEAM, "resource": "job/wanted"}
    service.as_admin("POST", "/grants", json=grant)
    key = service.key_of(granted)
    shown = service.call(key, "GET", "/runs", params={"limit": 2}).json()
    assert [run["id"] for run in shown] == [wanted]


def test_the_end_of_an_output_is_read_without_its_beginning(service: Service) -> None:
    run = finished(service)
    service.plane.world.replicas[f"{run}.0.1"].output = b"one\ntwo\nthree\n"
    path = f"/runs/{run}/logs"
    answer = service.call(service.admin, "GET", path, params={"offset": -8})
    assert answer.content == b"three\n"
    assert answer.headers["x-plinth-next-offset"] == "14"
    assert answer.headers["x-plinth-attempts"] == "1"
    answer = service.call(service.admin, "GET", path, params={"offset": 4, "limit": 4})
    assert answer.content == b"two\n"
    answer = service.call(service.admin, "GET", path, params={"offset": 2**63 - 1})
    assert (answer.status_code, answer.content) == (200, b"")
