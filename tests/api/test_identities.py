"""Teams, grants and keys: nobody hands out, or takes over, more than they hold."""

from __future__ import annotations

from typing import Any

import pytest

from plinth.domain.access import Role
from tests.api.service import OTHER, TEAM, Service, error_of


def post(service: Service, key: str, path: str, body: Any) -> Any:
    return service.call(key, "POST", path, json=body)


def test_members_of_a_new_team_may_read_what_it_has(service: Service) -> None:
    service.as_admin("POST", "/teams", json={"name": "fresh"})
    made = service.as_admin("POST", "/keys", json={"team": "fresh", "name": "dash"})
    seen = service.call(made["token"], "GET", "/teams").json()
    assert [team["name"] for team in seen] == ["fresh"]
    assert len(made["token"]) <= 255
    answer = post(service, service.admin, "/teams", {"name": "fresh"})
    assert (answer.status_code, error_of(answer)["code"]) == (409, "team_exists")


def test_an_administrator_of_a_team_is_told_who_adds_teams(service: Service) -> None:
    answer = post(service, service.caller(Role.ADMIN), "/teams", {"name": "fresh"})
    assert (answer.status_code, error_of(answer)["code"]) == (403, "denied")
    assert "this needs role `admin` on the platform" in error_of(answer)["message"]
    assert error_of(answer)["hint"] == "an admin of the platform can grant the role"


def test_the_keys_of_one_team_are_listed_to_who_manages_them(service: Service) -> None:
    made = service.as_admin("POST", "/keys", json={"team": TEAM, "name": "dash"})
    listed = service.as_admin("GET", "/keys", params={"team": TEAM})
    assert made["id"] in {key["id"] for key in listed}
    assert {key["principal"]["team"] for key in listed} == {TEAM}
    absent = service.call(service.admin, "GET", "/keys", params={"team": "nobody"})
    hidden = service.call(service.caller(Role.OPERATOR), "GET", "/keys", params={"team": OTHER})
    for answer in (absent, hidden):
        assert (answer.status_code, error_of(answer)["message"][:16]) == (404, "there is no team")


def test_a_key_is_shown_once(service: Service) -> None:
    made = service.as_admin("POST", "/keys", json={"team": TEAM, "name": "dash"})
    listed = service.as_admin("GET", "/keys")
    assert made["id"] in [key["id"] for key in listed]
    assert made["token"] not in str(listed)
    assert all("token" not in key for key in listed)


def test_a_second_key_of_one_name_is_the_same_principal(service: Service) -> None:
    first, second = (
        service.as_admin("POST", "/keys", json={"team": TEAM, "name": "dash"}) for _ in range(2)
    )
    assert first["principal"] == second["principal"]
    assert first["id"] != second["id"]


def test_a_key_with_a_role_may_do_what_the_role_may(service: Service) -> None:
    body = {"team": TEAM, "name": "ci", "role": "contributor"}
    made = service.as_admin("POST", "/keys", json=body)
    assert Role.CONTRIBUTOR in [grant.role for grant in service.actor(made["token"]).grants]


def test_nobody_grants_more_than_they_hold(service: Service) -> None:
    key = service.caller(Role.OPERATOR)
    body = {"role": "admin", "subject_team": OTHER, "team": TEAM}
    assert post(service, key, "/grants", body).status_code == 403
    assert post(service, key, "/grants", {**body, "role": "operator"}).status_code == 201
    answer = post(service, key, "/keys", {"team": TEAM, "name": "x", "role": "admin"})
    assert answer.status_code == 403


def test_nobody_makes_a_key_of_the_platform_itself(service: Service) -> None:
    operator = service.caller(Role.OPERATOR, "default")
    for key in (operator, service.admin):
        answer = post(service, key, "/keys", {"team": "default", "name": "platform"})
        assert answer.status_code == 403


def test_nobody_makes_a_key_of_somebody_mightier(service: Service) -> None:
    made = service.as_admin("POST", "/keys", json={"team": TEAM, "name": "mighty"})
    grant = {"role": "admin", "principal": made["principal"]["id"]}
    service.as_admin("POST", "/grants", json=grant)
    operator = service.caller(Role.OPERATOR)
    answer = post(service, operator, "/keys", {"team": TEAM, "name": "mighty"})
    assert answer.status_code == 403
    assert "holds role `admin`" in error_of(answer)["message"]
    assert service.call(operator, "DELETE", f"/keys/{made['id']}").status_code == 403
    assert service.call(made["token"], "GET", "/whoami").status_code == 200


def test_an_operator_of_the_default_team_cannot_revoke_the_administrator(
    service: Service,
) -> None:
    operator = service.caller(Role.OPERATOR, "default")
    (key,) = [
        key["id"]
        for key in service.call(operator, "GET", "/keys").json()
        if key["principal"]["id"] == "admin"
    ]
    assert service.call(operator, "DELETE", f"/keys/{key}").status_code == 403


@pytest.mark.parametrize(
    ("grant", "status", "words"),
    [
        ({"role": "viewer", "team": TEAM}, 400, "who gets it"),
        (
            {"role": "viewer", "team": TEAM, "principal": "admin", "subject_team": OTHER},
            400,
            "who gets it",
        ),
        ({"role": "viewer", "subject_team": OTHER, "resource": "endpoint/x"}, 400, "kind/name"),
        (
            {"role": "viewer", "subject_team": OTHER, "team": TEAM, "resource": "x"},
            400,
            "kind/name",
        ),
        (
            {"role": "viewer", "subject_team": OTHER, "team": TEAM, "resource": "endpoint/x"},
            404,
            "has no endpoint",
        ),
        ({"role": "viewer", "subject_team": "nobody", "team": TEAM}, 404, "nobody"),
        ({"role": "viewer", "principal": "p_nobody", "team": TEAM}, 404, "p_nobody"),
        ({"role": "king", "subject_team": OTHER, "team": TEAM}, 422, "role: "),
    ],
)
def test_a_grant_that_means_nothing_is_refused(
    service: Service, grant: dict[str, str], status: int, words: str
) -> None:
    before = service.as_admin("GET", "/grants")
    answer = post(service, service.admin, "/grants", grant)
    assert answer.status_code == status
    assert words in error_of(answer)["message"]
    assert service.as_admin("GET", "/grants") == before


def test_the_same_grant_twice_is_one(service: Service) -> None:
    grant = {"role": "viewer", "subject_team": OTHER, "team": TEAM}
    first, second = (service.as_admin("POST", "/grants", json=grant) for _ in range(2))
    assert first == second
    assert service.as_admin("DELETE", f"/grants/{first['id']}") == {"deleted": first["id"]}


@pytest.mark.parametrize("days", [0, -1, 366, "nan", None])
def test_a_key_holds_for_a_day_to_a_year(service: Service, days: Any) -> None:
    answer = post(service, service.admin, "/keys", {"team": TEAM, "name": "x", "days": days})
    assert answer.status_code == 422


def test_revoking_twice_is_no_trouble(service: Service) -> None:
    made = service.as_admin("POST", "/keys", json={"team": TEAM, "name": "dash"})
    for _ in range(2):
        assert service.as_admin("DELETE", f"/keys/{made['id']}") == {"revoked": made["id"]}
    hints = service.plane.hints
    assert hints >= 3


def test_whoever_revokes_the_administrators_key_finds_another_in_its_file(service: Service) -> None:
    old = service.admin
    claims = service.plane.context.claims_of(old)
    assert claims is not None
    assert service.as_admin("DELETE", f"/keys/{claims.key_id}") == {"revoked": claims.key_id}
    assert service.call(old, "GET", "/whoami").status_code == 401
    new = service.plane.home.admin_token.read_text()
    assert service.call(new, "GET", "/whoami").status_code == 200
    assert service.plane.home.admin_token.stat().st_mode & 0o777 == 0o600
