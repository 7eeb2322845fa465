"""Members come with a key shown once, change their role, and go with all their keys."""

from __future__ import annotations

from typing import Any

import pytest

from plinth.domain.access import Role
from tests.api.service import OTHER, TEAM, Service, error_of


def add(service: Service, name: str = "anna", **fields: Any) -> Any:
    return service.as_admin("POST", "/members", json={"team": TEAM, "name": name, **fields})


def names(service: Service, key: str, **params: Any) -> list[str]:
    answer = service.call(key, "GET", "/members", params=params)
    assert answer.status_code == 200, answer.text
    return [member["name"] for member in answer.json()]


def test_a_members_first_key_is_shown_once(service: Service) -> None:
    made = add(service, role="contributor")
    shown = service.call(made["token"], "GET", "/whoami").json()["principal"]
    assert (shown["name"], shown["kind"], shown["team"]) == ("anna", "user", TEAM)
    assert made["token"] not in str(service.as_admin("GET", "/members"))
    assert len(made["token"]) <= 255


def test_members_are_listed_with_role_and_keys(service: Service) -> None:
    add(service, role="operator")
    service.as_admin("POST", "/keys", json={"team": TEAM, "name": "dash"})
    (anna, dash) = service.as_admin("GET", "/members", params={"team": TEAM})
    assert (anna["name"], anna["kind"], anna["role"], anna["keys"]) == (
        "anna",
        "user",
        "operator",
        1,
    )
    assert (dash["name"], dash["kind"], dash["role"]) == ("dash", "service", "viewer")


def test_a_teams_members_are_seen_by_who_may_see_the_team(service: Service) -> None:
    add(service)
    viewer = service.caller(Role.VIEWER)
    assert names(service, viewer) == ["anna"]
    assert names(service, service.caller(Role.OPERATOR, OTHER)) == []
    answer = service.call(viewer, "GET", "/members", params={"team": OTHER})
    assert answer.status_code == 404


def test_plinth_itself_is_no_member(service: Service) -> None:
    assert "platform" not in names(service, service.admin)
    answer = service.call(service.admin, "DELETE", "/members/default/platform")
    assert answer.status_code == 404


def test_teams_say_how_many_members_they_have(service: Service) -> None:
    add(service)
    add(service, "ben")
    counts = {team["name"]: team["members"] for team in service.as_admin("GET", "/teams")}
    assert (counts[TEAM], counts["default"], counts[OTHER]) == (2, 1, 0)


def test_who_was_removed_is_refused_at_once_and_may_come_back_as_another(service: Service) -> None:
    made = add(service, role="operator")
    hints = service.plane.hints
    service.as_admin("DELETE", f"/members/{TEAM}/anna")
    assert service.plane.hints > hints
    assert service.call(made["token"], "GET", "/whoami").status_code == 401
    assert names(service, service.admin, team=TEAM) == []
    again = service.call(service.admin, "DELETE", f"/members/{TEAM}/anna")
    assert again.status_code == 404
    assert "has no member `anna`" in error_of(again)["message"]
    assert add(service)["principal"]["id"] != made["principal"]["id"]


def test_nothing_is_granted_to_who_left(service: Service) -> None:
    made = add(service)
    service.as_admin("DELETE", f"/members/{TEAM}/anna")
    grant = {"role": "viewer", "principal": made["principal"]["id"], "team": TEAM}
    answer = service.call(service.admin, "POST", "/grants", json=grant)
    assert answer.status_code == 404


def test_an_operator_runs_the_team_but_makes_no_administrator(service: Service) -> None:
    operator = service.caller(Role.OPERATOR)
    body = {"team": TEAM, "name": "ben"}
    assert service.call(operator, "POST", "/members", json=body).status_code == 201
    path = f"/members/{TEAM}/ben"
    assert service.call(operator, "PUT", path, json={"role": "operator"}).status_code == 200
    answer = service.call(operator, "PUT", path, json={"role": "admin"})
    assert answer.status_code == 403
    assert "may not grant `admin`" in error_of(answer)["message"]
    assert service.call(operator, "DELETE", path).status_code == 200


def test_a_new_role_acts_at_once(service: Service) -> None:
    key = add(service)["token"]
    run = service.plane.submit()
    assert service.call(key, "POST", f"/runs/{run}/stop").status_code == 403
    service.as_admin("PUT", f"/members/{TEAM}/anna", json={"role": "contributor"})
    assert service.call(key, "POST", f"/runs/{run}/stop").status_code == 200


def test_the_administrator_can_neither_be_removed_nor_lose_the_grant(service: Service) -> None:
    answer = service.call(service.admin, "DELETE", "/members/default/admin")
    assert (answer.status_code, error_of(answer)["code"]) == (409, "administrator")
    (grant,) = [g["id"] for g in service.as_admin("GET", "/grants") if g["principal"] == "admin"]
    answer = service.call(service.admin, "DELETE", f"/grants/{grant}")
    assert (answer.status_code, error_of(answer)["code"]) == (409, "administrator")


@pytest.mark.parametrize(
    "body",
    [
        {"name": "Anna"},
        {"name": "x" * 41},
        {"name": "anna", "role": "king"},
        {"name": "anna", "days": 0},
        {"name": "anna", "days": 366},
        {"name": "anna", "kind": "service"},
    ],
)
def test_a_member_that_means_nothing_is_refused(service: Service, body: dict[str, Any]) -> None:
    answer = service.call(service.admin, "POST", "/members", json={"team": TEAM, **body})
    assert answer.status_code == 422
