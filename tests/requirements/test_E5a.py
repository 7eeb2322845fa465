"""E5a, access and authorisation: keys, roles and grants decide; a denial says which rule."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from plinth.access.rbac import role_needed
from plinth.domain.access import Action, Role
from tests.api.service import OTHER, TEAM, Service, error_of, make_service

# One call for each thing that a role adds.
CALLS: dict[Action, tuple[str, str, dict[str, Any]]] = {
    Action.READ: ("GET", "/runs/{run}", {}),
    Action.STOP: ("POST", "/runs/{run}/stop", {}),
    Action.DELETE: ("DELETE", "/runs/{done}", {}),
    Action.MANAGE_KEYS: ("POST", "/keys", {"json": {"team": TEAM, "name": "dash"}}),
    Action.MANAGE_GRANTS: ("POST", "/members", {"json": {"team": TEAM, "name": "anna"}}),
    Action.OPERATE: ("GET", "/audit-log", {"params": {"team": TEAM}}),
    Action.MANAGE_TEAMS: ("POST", "/teams", {"json": {"name": "fresh"}}),
}


@pytest.fixture
def service() -> Iterator[Service]:
    with make_service() as made:
        yield made


@pytest.fixture
def runs(service: Service) -> dict[str, str]:
    plane = service.plane
    done = plane.submit(name="done")
    plane.until(lambda: bool(plane.world.starts))
    plane.world.end(f"{done}.0.1")
    plane.until(lambda: plane.run(done).closed)
    plane.parts.metering.collect()
    return {"done": done, "run": plane.submit(name="active")}


def call(service: Service, key: str, action: Action, runs: dict[str, str]) -> Any:
    method, path, options = CALLS[action]
    return service.call(key, method, path.format(**runs), **options)


def denied(service: Service) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = service.as_admin(
        "GET", "/audit-log", params={"outcome": "denied"}
    )
    return found


@pytest.mark.parametrize("how", ["no key", "nonsense", "revoked", "expired", "forged"])
def test_nobody_gets_in_without_a_key_that_is_valid_now(service: Service, how: str) -> None:
    key = service.caller(Role.ADMIN, None)
    claims = service.plane.context.claims_of(key)
    assert claims is not None
    if how == "revoked":
        service.as_admin("DELETE", f"/keys/{claims.key_id}")
    elif how == "expired":
        service.plane.clock.advance(86400 + 60)
    spoilt = {"no key": "", "nonsense": "plk_x.y.z", "forged": f"{key[:-8]}AAAAAAAA"}
    answer = service.call(spoilt.get(how, key), "GET", "/whoami")
    assert answer.status_code == 401
    assert error_of(answer)["code"].startswith("key_")
    assert error_of(answer)["hint"]


@pytest.mark.parametrize("action", list(CALLS))
def test_each_role_may_do_what_it_may_and_no_more(
    service: Service, runs: dict[str, str], action: Action
) -> None:
    roles = list(Role)
    for role in roles:
        on = None if action is Action.MANAGE_TEAMS else TEAM
        answer = call(service, service.caller(role, on), action, runs)
        if roles.index(role) < roles.index(role_needed(action)):
            assert answer.status_code == 403, role
            message = error_of(answer)["message"]
            assert f"this needs role `{role_needed(action)}` on " in message
            assert f"has `{role}`" in message
        else:
            assert answer.is_success, answer.text
            return


@pytest.mark.parametrize("action", [a for a in CALLS if a is not Action.MANAGE_TEAMS])
def test_a_role_on_one_team_is_none_on_another(
    service: Service, runs: dict[str, str], action: Action
) -> None:
    key = service.caller(Role.ADMIN, OTHER)
    answer = call(service, key, action, runs)
    assert answer.status_code == 404
    assert error_of(answer)["code"] == "not_found"


def test_a_grant_opens_one_thing_and_taking_it_away_closes_it(service: Service) -> None:
    service.plane.apply(name="delay")
    service.plane.apply(name="other")
    made = service.as_admin("POST", "/members", json={"team": OTHER, "name": "anna"})
    grant = {
        "role": "contributor",
        "principal": made["principal"]["id"],
        "team": TEAM,
        "resource": "endpoint/delay",
    }
    stop = ("POST", "/endpoints/delay/stop")
    assert service.call(made["token"], *stop).status_code == 404
    given = service.as_admin("POST", "/grants", json=grant)
    assert service.call(made["token"], "GET", "/endpoints/delay").status_code == 200
    assert service.call(made["token"], "GET", "/endpoints/other").status_code == 404
    service.as_admin("DELETE", f"/grants/{given['id']}")
    assert service.call(made["token"], *stop).status_code == 404


def test_whose_membership_ended_gets_in_no_more(service: Service) -> None:
    made = service.as_admin("POST", "/members", json={"team": TEAM, "name": "anna"})
    assert service.call(made["token"], "GET", "/whoami").status_code == 200
    service.as_admin("DELETE", f"/members/{TEAM}/anna")
    answer = service.call(made["token"], "GET", "/whoami")
    assert (answer.status_code, error_of(answer)["code"]) == (401, "key_revoked")


@pytest.mark.parametrize(
    ("role", "path", "body", "rule", "words"),
    [
        (
            Role.VIEWER,
            "/keys",
            {"team": TEAM, "name": "x"},
            "role-too-low",
            "this needs role `operator` on team `research`",
        ),
        (
            Role.OPERATOR,
            "/keys",
            {"team": TEAM, "name": "x", "role": "admin"},
            "more-than-held",
            "this needs role `admin` there",
        ),
        (
            Role.OPERATOR,
            "/grants",
            {"role": "admin", "subject_team": OTHER, "team": TEAM},
            "more-than-held",
            "this needs role `admin` there",
        ),
        (
            Role.OPERATOR,
            "/members",
            {"team": TEAM, "name": "x", "role": "admin"},
            "more-than-held",
            "this needs role `admin` there",
        ),
    ],
)
def test_a_denial_says_which_rule_to_the_caller_and_in_the_audit_log(
    service: Service, *, role: Role, path: str, body: dict[str, str], rule: str, words: str
) -> None:
    answer = service.call(service.caller(role), "POST", path, json=body)
    assert answer.status_code == 403
    assert words in error_of(answer)["message"]
    (entry,) = denied(service)
    assert entry["detail"]["rule"] == rule
    assert words in entry["detail"]["reason"]
    assert entry["team"] == TEAM


def test_what_is_hidden_is_told_to_the_operators_and_not_to_the_caller(service: Service) -> None:
    service.plane.apply(name="delay")
    hidden = service.call(service.caller(), "GET", "/endpoints/delay")
    absent = service.call(service.caller(), "GET", "/endpoints/absent")
    assert hidden.status_code == absent.status_code == 404
    assert hidden.text.replace("delay", "absent") == absent.text
    operator = service.caller(Role.OPERATOR)
    (entry,) = service.call(operator, "GET", "/audit-log", params={"outcome": "denied"}).json()
    assert (entry["subject"], entry["detail"]["rule"]) == ("endpoint/delay", "no-grant")
