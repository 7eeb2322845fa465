"""Workspaces over the API: who may, what is refused and how, what the audit log says."""

from __future__ import annotations

from typing import Any

import pytest

from plinth.api import workspaces
from plinth.control.workspaces.service import Busy
from plinth.domain.access import Role
from tests.api.service import LONELY, OTHER, TEAM, Service, error_of
from tests.control.workspaces.session import until_open, until_stopped


def file(name: str = "lab", **fields: Any) -> dict[str, Any]:
    return {"kind": "workspace", "name": name, "team": TEAM, **fields}


def up(service: Service, key: str, **fields: Any) -> Any:
    body = file(**fields)
    return service.call(key, "PUT", f"/workspaces/{body['name']}", json=body)


@pytest.fixture
def ann(service: Service) -> str:
    return service.caller(Role.CONTRIBUTOR, TEAM)


def test_one_is_opened_shown_and_stopped(service: Service, ann: str) -> None:
    made = up(service, ann)
    assert made.status_code == 200, made.text
    assert made.json()["changed"]
    assert not up(service, ann).json()["changed"]
    until_open(service.plane)
    shown = service.call(ann, "GET", "/workspaces/lab").json()
    assert shown["url"] == "http://lab-ws.localhost:1"
    assert (shown["phase"], shown["profile"], shown["shared"]) == ("running", "small", False)
    assert [each["reason"] for each in shown["events"]] == ["Starting", "Open"]
    assert [each["name"] for each in service.call(ann, "GET", "/workspaces").json()] == ["lab"]
    forced = service.call(ann, "POST", "/workspaces/lab/stop", json={"force": True})
    assert forced.status_code == 200
    until_stopped(service.plane)
    assert service.call(ann, "POST", "/workspaces/lab/start").json()["changed"]


def test_stopping_what_is_busy_is_a_conflict(
    service: Service, ann: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    up(service, ann)
    until_open(service.plane)

    def busy(*_: object) -> None:
        raise Busy("workspace `lab` is busy: a cell of `a.ipynb` runs", hint="--force")

    monkeypatch.setattr(workspaces, "require_idle", busy)
    for method, path in (("POST", "/workspaces/lab/stop"), ("DELETE", "/workspaces/lab")):
        options = {"json": {}} if method == "POST" else {}
        answer = service.call(ann, method, path, **options)
        assert answer.status_code == 409
        assert error_of(answer)["code"] == "workspace_busy"
    assert service.call(ann, "DELETE", "/workspaces/lab", params={"force": True}).status_code == 200


def test_it_is_its_owner_s_unless_it_is_shared(service: Service, ann: str) -> None:
    up(service, ann)
    bob, operator = service.caller(Role.CONTRIBUTOR, TEAM), service.caller(Role.OPERATOR, TEAM)
    viewer, stranger = service.caller(Role.VIEWER, TEAM), service.caller(Role.CONTRIBUTOR, OTHER)
    page = {"json": {"page": "lab-ws"}}
    assert service.call(ann, "POST", "/sign-in", **page).status_code == 200
    for key, status in ((bob, 403), (viewer, 403), (operator, 403), (stranger, 404)):
        assert service.call(key, "POST", "/sign-in", **page).status_code == status
        start = service.call(key, "POST", "/workspaces/lab/start")
        assert start.status_code == status
        size = {"json": {"profile": "medium"}}
        assert service.call(key, "POST", "/workspaces/lab/resize", **size).status_code == status
    denied = service.call(bob, "POST", "/sign-in", **page)
    assert "somebody else's" in error_of(denied)["message"]
    stop = {"json": {"force": True}}
    assert service.call(bob, "POST", "/workspaces/lab/stop", **stop).status_code == 403
    assert service.call(operator, "POST", "/workspaces/lab/stop", **stop).status_code == 200
    up(service, ann, name="room", shared=True)
    room = {"json": {"page": "room-ws"}}
    assert service.call(bob, "POST", "/sign-in", **room).status_code == 200
    assert service.call(viewer, "POST", "/sign-in", **room).status_code == 403
    assert service.call(stranger, "POST", "/sign-in", **room).status_code == 404


def test_a_gpu_is_asked_for_with_a_reason_which_the_audit_log_keeps(
    service: Service, ann: str
) -> None:
    refused = up(service, ann, profile="gpu")
    assert refused.status_code == 422
    assert "for a reason and a time" in refused.text
    up(service, ann)
    service.call(ann, "POST", "/workspaces/lab/stop", json={"force": True})
    until_stopped(service.plane)
    answer = service.call(ann, "POST", "/workspaces/lab/resize", json={"profile": "gpu"})
    assert answer.status_code == 400
    assert "for a reason and a time" in error_of(answer)["message"]
    answer = service.call(ann, "POST", "/workspaces/lab/resize", json={"profile": "vast"})
    assert answer.status_code == 400
    assert "vast" in error_of(answer)["message"]
    answer = service.call(ann, "POST", "/workspaces/lab/resize", json={"profile": "medium"})
    assert answer.json()["profile"] == "medium"
    entries = service.as_admin("GET", "/audit-log")
    (entry,) = [each for each in entries if each["action"] == "resize"]
    assert entry["detail"] == {"profile": "medium"}


def test_who_may_not_write_opens_none(service: Service) -> None:
    assert up(service, service.caller(Role.VIEWER, TEAM)).status_code == 403
    assert up(service, service.caller(Role.CONTRIBUTOR, OTHER)).status_code == 404
    assert up(service, service.caller(None, home_team=LONELY)).status_code == 404


def test_the_address_and_the_name_agree(service: Service, ann: str) -> None:
    answer = service.call(ann, "PUT", "/workspaces/other", json=file())
    assert answer.status_code == 400
    assert service.call(ann, "GET", "/workspaces/none").status_code == 404
