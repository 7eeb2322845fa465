"""Who calls is known by a key that was signed, has not expired and was not revoked."""

from __future__ import annotations

import tempfile
from datetime import timedelta
from pathlib import Path

import pytest

from plinth.access.keyring import ensure
from plinth.access.tokens import Claims, mint, verify
from plinth.control.identities import platform_key
from plinth.domain.access import PLATFORM_PRINCIPAL, Role
from tests.api.service import Service, error_of


def refusal(service: Service, key: str) -> str:
    answer = service.call(key, "GET", "/whoami")
    assert answer.status_code == 401
    return str(error_of(answer)["code"])


def test_the_holder_of_a_key_is_known(service: Service) -> None:
    principal = service.principal(Role.VIEWER)
    answer = service.call(service.key_of(principal), "GET", "/whoami").json()
    assert answer["principal"]["id"] == principal.id
    assert [grant["role"] for grant in answer["grants"]] == ["viewer"]


@pytest.mark.parametrize("name", ["api-key", "x-api-key"])
def test_tools_may_send_the_key_in_their_own_header(service: Service, name: str) -> None:
    headers = {name: service.caller(Role.VIEWER)}
    assert service.client.get("/api/v1/whoami", headers=headers).status_code == 200


def test_no_key_is_refused_with_what_to_send(service: Service) -> None:
    answer = service.client.get("/api/v1/whoami")
    assert answer.status_code == 401
    assert error_of(answer)["code"] == "key_missing"
    assert "Bearer" in error_of(answer)["hint"]


def test_another_scheme_is_no_key(service: Service) -> None:
    answer = service.client.get("/api/v1/whoami", headers={"authorization": "Basic abc"})
    assert error_of(answer)["code"] == "key_missing"


def test_an_expired_key_is_refused(service: Service) -> None:
    key = service.key_of(service.principal(Role.ADMIN, None), days=1)
    service.plane.clock.advance(86400 + 60)
    assert refusal(service, key) == "key_expired"


def test_a_forged_key_is_refused(service: Service) -> None:
    head, payload, _ = service.admin.split(".")
    other = service.caller(Role.VIEWER).split(".")
    assert refusal(service, f"{head}.{payload}.{other[2]}") == "key_forged"
    assert refusal(service, f"{head}.{other[1]}.{service.admin.split('.')[2]}") == "key_forged"


def test_a_key_of_another_plinth_is_refused(service: Service) -> None:
    now = service.plane.clock.now()
    foreign = ensure(Path(tempfile.mkdtemp(prefix="pl-")), now)
    claims = Claims("admin", "default", "k_x", now + timedelta(days=1))
    assert refusal(service, mint(foreign, claims)) == "key_unknown_signer"


def test_a_revoked_key_is_refused_and_others_of_its_holder_are_not(service: Service) -> None:
    principal = service.principal(Role.VIEWER)
    first, second = service.key_of(principal), service.key_of(principal)
    claims = service.plane.context.claims_of(first)
    assert claims is not None
    service.as_admin("DELETE", f"/keys/{claims.key_id}")
    assert refusal(service, first) == "key_revoked"
    assert service.call(second, "GET", "/whoami").status_code == 200


def test_a_key_that_names_another_holder_than_its_row_is_refused(service: Service) -> None:
    principal = service.principal(Role.VIEWER)
    claims = service.plane.context.claims_of(service.key_of(principal))
    assert claims is not None
    stolen = mint(
        service.plane.context.keyring,
        Claims("admin", "default", claims.key_id, claims.expires_at),
    )
    assert refusal(service, stolen) == "key_revoked"


def test_the_platforms_own_key_opens_nothing_in_the_api(service: Service) -> None:
    key = platform_key(service.plane.context)
    assert refusal(service, key) == "key_revoked"
    assert service.plane.context.claims_of(key) is not None
    assert PLATFORM_PRINCIPAL == "platform"


def test_a_grant_that_was_taken_away_acts_at_once(service: Service) -> None:
    principal = service.principal(Role.VIEWER)
    key = service.key_of(principal)
    run = service.plane.submit()
    assert service.call(key, "GET", f"/runs/{run}").status_code == 200
    grants = service.as_admin("GET", "/grants")
    (grant,) = [g["id"] for g in grants if g["principal"] == principal.id]
    service.as_admin("DELETE", f"/grants/{grant}")
    assert service.call(key, "GET", f"/runs/{run}").status_code == 404


@pytest.mark.parametrize(
    ("header", "origin"),
    [
        (None, "local"),
        ("10.0.0.7", "10.0.0.7"),
        ("6.6.6.6, 7.7.7.7,10.0.0.7 ", "10.0.0.7"),
        ("", "local"),
        ("6.6.6.6,", "local"),
    ],
)
def test_the_address_is_the_one_that_the_gateway_wrote(
    service: Service, header: str | None, origin: str
) -> None:
    headers = {"x-request-id": "a-b-c"} | ({"x-forwarded-for": header} if header else {})
    service.call(service.admin, "POST", "/teams", json={"name": "fresh"}, headers=headers)
    entry = service.as_admin("GET", "/audit-log", params={"subject": "team/fresh"})[0]
    assert (entry["origin"], entry["request_id"]) == (origin, "a-b-c")


def test_what_a_service_refuses_by_a_rule_of_its_own_is_noted_too(service: Service) -> None:
    operator = service.principal(Role.OPERATOR, "default")
    body = {"team": "default", "name": "platform"}
    answer = service.call(service.key_of(operator), "POST", "/keys", json=body)
    assert answer.status_code == 403
    (entry,) = service.as_admin("GET", "/audit-log", params={"outcome": "denied"})
    assert (entry["principal"], entry["team"]) == (operator.id, "default")
    assert entry["detail"]["rule"] == "plinth-itself"


def test_a_key_that_is_not_the_gateways_is_refused(service: Service) -> None:
    own = service.key_of(service.principal(Role.VIEWER))
    context = service.plane.context
    key_id = verify(context.keyring, own, context.clock.now()).key_id
    for said, status in ((key_id, 200), ("k_other", 401), ("", 401)):
        answer = service.call(own, "GET", "/whoami", headers={"x-plinth-key": said})
        assert answer.status_code == status
    assert error_of(answer)["message"].startswith("this request carries two keys")


def test_what_is_no_key_of_ours_is_passed_over_as_the_gateway_does(service: Service) -> None:
    own = service.key_of(service.principal(Role.VIEWER))
    for headers, status in (
        ({"authorization": "Bearer sk-x", "api-key": own}, 200),
        ({"authorization": f"bearer   {own}"}, 200),
        ({"api-key": "", "x-api-key": own}, 200),
        ({"api-key": "sk-x", "x-api-key": own}, 200),
        ({"authorization": f"Basic {own}"}, 401),
        ({"api-key": "sk-x"}, 401),
        ({"api-key": ""}, 401),
    ):
        answer = service.client.get("/api/v1/whoami", headers=headers)
        assert answer.status_code == status, headers
