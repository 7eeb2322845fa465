"""Secrets go in by the API and never come out; who may not set any sees none."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from plinth.access.master_key import MasterKeyring
from plinth.api import secrets
from plinth.control.secrets import read_secret
from plinth.domain.access import Role
from plinth.kit.errors import Permanent, Temporary
from plinth.store.identities import revoke_keys_of
from tests.api.service import OTHER, TEAM, Service, error_of
from tests.api.test_uploads import Caller, until

VALUE = b"sk-hunter2"
OF_TEAM = {"params": {"team": TEAM}}


def put(service: Service, name: str = "openai", value: bytes = VALUE, **params: str) -> Any:
    params = {"team": TEAM, **params}
    return service.as_admin("PUT", f"/secrets/{name}", params=params, content=value)


def taken(service: Service, name: str = "openai", team: str = TEAM) -> bytes:
    return read_secret(service.plane.context, team, name, purpose="endpoint/chat")


def listed(service: Service, key: str, **params: str) -> list[tuple[str, str]]:
    answer = service.call(key, "GET", "/secrets", params=params)
    assert answer.status_code == 200, answer.text
    return [(each["team"], each["name"]) for each in answer.json()]


def test_a_value_goes_in_byte_for_byte_and_wakes_the_reconcilers(service: Service) -> None:
    hints = service.plane.hints
    assert put(service, value=b"\x00\xff\n\n") == {"team": TEAM, "name": "openai", "version": 1}
    assert taken(service) == b"\x00\xff\n\n"
    assert put(service)["version"] == 2
    assert taken(service) == VALUE
    assert service.plane.hints > hints


def test_no_answer_and_no_entry_holds_a_value(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    said = []
    with caplog.at_level(logging.DEBUG):
        said.append(put(service))
        taken(service)
        said.append(service.as_admin("GET", "/secrets"))
        said.append(service.as_admin("POST", "/master-key/rotate"))
        said.append(service.as_admin("DELETE", "/secrets/openai", **OF_TEAM))
        said.append(service.as_admin("GET", "/audit-log"))
        large = service.call(service.admin, "PUT", "/secrets/x", content=VALUE * 10_000, **OF_TEAM)
        said.append(large.text)
    assert VALUE.decode() not in str(said)
    assert VALUE.decode() not in caplog.text


def test_there_is_no_route_that_reads_a_value(service: Service) -> None:
    put(service)
    answer = service.call(service.admin, "GET", "/secrets/openai", **OF_TEAM)
    assert answer.status_code == 405


def test_secrets_are_listed_with_version_who_and_uses(service: Service) -> None:
    put(service)
    taken(service)
    (secret,) = service.as_admin("GET", "/secrets")
    assert set(secret) == {"team", "name", "version", "set_at", "set_by", "set_by_name", "uses"}
    assert (secret["version"], secret["set_by_name"], secret["uses"]) == (
        1,
        "admin",
        ["endpoint/chat"],
    )


def test_without_a_team_it_is_ones_own(service: Service) -> None:
    key = service.caller(Role.CONTRIBUTOR, OTHER, home_team=OTHER)
    assert service.call(key, "PUT", "/secrets/mine", content=VALUE).json()["team"] == OTHER
    answer = service.call(service.admin, "DELETE", "/secrets/mine", params={"team": OTHER})
    assert answer.json() == {"deleted": "mine", "team": OTHER, "version": 1, "uses": []}


def test_a_viewer_sees_no_names_and_learns_none(service: Service) -> None:
    put(service)
    viewer = service.caller(Role.VIEWER)
    assert listed(service, viewer) == []
    asked = service.call(viewer, "GET", "/secrets", **OF_TEAM)
    assert asked.status_code == 403
    there, absent = (
        service.call(viewer, "DELETE", f"/secrets/{name}", **OF_TEAM)
        for name in ("openai", "absent")
    )
    assert there.status_code == absent.status_code == 403
    assert there.text.replace("openai", "absent") == absent.text


def test_a_contributor_sets_and_lists_an_operator_deletes_an_admin_rotates(
    service: Service,
) -> None:
    contributor, operator = (service.caller(role) for role in (Role.CONTRIBUTOR, Role.OPERATOR))
    path = "/secrets/openai"
    assert service.call(contributor, "PUT", path, content=VALUE, **OF_TEAM).status_code == 200
    assert listed(service, contributor) == [(TEAM, "openai")]
    assert listed(service, contributor, team=TEAM) == [(TEAM, "openai")]
    assert service.call(contributor, "DELETE", path, **OF_TEAM).status_code == 403
    assert service.call(operator, "POST", "/master-key/rotate").status_code == 403
    assert service.call(operator, "DELETE", path, **OF_TEAM).status_code == 200
    platform = service.caller(Role.OPERATOR, None)
    assert service.call(platform, "POST", "/master-key/rotate").status_code == 200


def test_secrets_of_another_team_are_not_there(service: Service) -> None:
    put(service)
    stranger = service.caller(Role.OPERATOR, OTHER)
    assert listed(service, stranger) == []
    for method, path in (("PUT", "/secrets/openai"), ("DELETE", "/secrets/openai")):
        assert service.call(stranger, method, path, content=VALUE, **OF_TEAM).status_code == 404
    assert service.call(stranger, "GET", "/secrets", **OF_TEAM).status_code == 404
    assert taken(service) == VALUE


def test_what_is_not_there_is_told(service: Service) -> None:
    answer = service.call(service.admin, "DELETE", "/secrets/absent", **OF_TEAM)
    assert answer.status_code == 404
    assert "plinth secrets set absent --team research" in error_of(answer)["hint"]
    for method, path in (("PUT", "/secrets/x"), ("GET", "/secrets")):
        answer = service.call(service.admin, method, path, content=VALUE, params={"team": "gone"})
        assert answer.status_code == 404
        assert "no team `gone`" in error_of(answer)["message"]


@pytest.mark.parametrize("name", ["Upper", "x" * 41, "a_b", "-a", "a.b", "a b", "a%00"])
def test_a_name_is_a_name(service: Service, name: str) -> None:
    for method in ("PUT", "DELETE"):
        answer = service.call(service.admin, method, f"/secrets/{name}", content=VALUE, **OF_TEAM)
        assert answer.status_code == 422
    for method, path in (("GET", "/secrets"), ("PUT", "/secrets/x"), ("DELETE", "/secrets/x")):
        answer = service.call(service.admin, method, path, content=VALUE, params={"team": name})
        assert answer.status_code == 422


@pytest.mark.parametrize(
    ("value", "status"), [(b"", 400), (b"x" * 65_537, 413), (b"x" * 65_536, 200), (b"\x00", 200)]
)
def test_a_value_has_a_size(service: Service, value: bytes, status: int) -> None:
    answer = service.call(service.admin, "PUT", "/secrets/openai", content=value, **OF_TEAM)
    assert answer.status_code == status
    assert bool(service.as_admin("GET", "/secrets")) == (status == 200)


def test_a_body_without_end_is_refused_before_it_is_kept(service: Service) -> None:
    def endless() -> Any:
        for _ in range(10_000):
            yield b"x" * 65_536

    answer = service.call(service.admin, "PUT", "/secrets/openai", content=endless(), **OF_TEAM)
    assert answer.status_code == 413


def test_a_value_that_does_not_come_is_not_waited_for(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(secrets, "LONGEST_BODY_S", 0.01)
    caller = Caller(service, "secrets/openai")
    caller.send(b"half")
    assert caller.wait() == 408
    assert service.as_admin("GET", "/secrets") == []


def test_half_a_value_is_not_kept(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    caller = Caller(service, "secrets/openai")
    caller.send(b"half")
    caller.leave()
    assert caller.wait() == 400
    assert service.as_admin("GET", "/secrets") == []
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_a_value_that_came_with_a_key_that_ended_meanwhile_is_not_kept(service: Service) -> None:
    holder = service.principal(Role.CONTRIBUTOR)
    caller = Caller(service, "secrets/openai", service.key_of(holder))
    caller.send(b"first")
    until(caller._pieces.empty)
    with service.plane.write() as connection:
        revoke_keys_of(connection, holder.id, service.plane.clock.now())
    caller.send(b"second", last=True)
    assert caller.wait() == 401
    assert service.as_admin("GET", "/secrets") == []


def test_each_change_is_in_the_audit_log_with_its_version(service: Service) -> None:
    put(service)
    taken(service)
    service.as_admin("DELETE", "/secrets/openai", **OF_TEAM)
    done = service.as_admin("POST", "/master-key/rotate")
    found = [
        (each["action"], each["subject"], each["team"], each["name"], each["detail"])
        for each in service.as_admin("GET", "/audit-log")
        if each["subject"].startswith(("secret/", "master-key/"))
    ]
    assert found[:3] == [
        ("set", "secret/openai", TEAM, "admin", {"version": 1}),
        ("read", "secret/openai", TEAM, "platform", {"purpose": "endpoint/chat", "version": 1}),
        ("delete", "secret/openai", TEAM, "admin", {"version": 1}),
    ]
    action, subject, team, who, detail = found[3]
    assert (action, subject, team, who) == (
        "rotate",
        f"master-key/{done['master_key']}",
        None,
        "admin",
    )
    assert detail == {"rewrapped": 0, "removed": done["removed"][0], "unopened": 0}


def test_a_keyring_that_others_can_read_is_told_with_what_to_do(service: Service) -> None:
    put(service)
    (file,) = (service.plane.home.secrets / "master").glob("*.json")
    file.chmod(0o640)
    for method, path in (("PUT", "/secrets/openai"), ("POST", "/master-key/rotate")):
        answer = service.call(service.admin, method, path, content=VALUE, **OF_TEAM)
        assert answer.status_code == Permanent.status
        assert "has mode 0640 and is open to others" in error_of(answer)["message"]
        assert f"chmod 600 {file}" in error_of(answer)["hint"]


def test_a_master_key_that_is_away_changes_nothing(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise Temporary("the KMS does not answer")

    monkeypatch.setattr(MasterKeyring, "wrap", away)
    answer = service.call(service.admin, "PUT", "/secrets/openai", content=VALUE, **OF_TEAM)
    assert answer.status_code == 503
    assert service.as_admin("GET", "/secrets") == []


def test_a_value_that_an_endpoint_could_not_send_is_refused_and_the_old_one_stays(
    service: Service,
) -> None:
    put(service)
    external = {"url": "https://1.1.1.1/v1", "protocol": "openai", "credential": "secret:openai"}
    service.plane.apply(name="chat", external=external)
    answer = service.call(
        service.admin, "PUT", "/secrets/openai", params={"team": TEAM}, content=b"a\nb"
    )
    assert answer.status_code == 400
    assert "the credential of `chat.main` cannot be sent" in error_of(answer)["message"]
    assert taken(service) == VALUE
