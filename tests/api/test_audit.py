"""Every change leaves an entry in the audit log, every refusal too, and operators read them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from plinth.api.app import PREFIX
from plinth.domain.access import Role
from plinth.store.audit import Filter, StoredEntry, list_entries
from tests.api.service import LONELY, OTHER, TEAM, Service, error_of
from tests.api.test_roles import Request, api_routes, prepare, requests
from tests.control.plane import endpoint_of

# Calls that change nothing for anybody: (method, path) -> why they leave no entry.
NO_CHANGE: dict[tuple[str, str], str] = {
    ("POST", "/endpoints/{name}/check"): "it only says what applying the file would refuse",
    ("POST", "/data/{name}/missing"): "it only says which files are not here yet",
}
# A file is nobody's until a version names it.
NO_ENTRY = {("PUT", "/data/{name}/files/{digest}")}
# Requests for routes of which the table of all routes has none, or one that changes nothing.
ANEW = {
    ("PUT", "/endpoints/{name}"): Request(
        "/endpoints/fresh", options={"json": endpoint_of(name="fresh").model_dump(mode="json")}
    ),
    ("POST", "/sign-in"): Request("/sign-in", options={"json": {}}),
}


def entries(service: Service, limit: int = 1000, **wanted: Any) -> list[StoredEntry]:
    with service.plane.database.read() as connection:
        return list_entries(connection, Filter(**wanted), limit=limit)


def documented() -> set[tuple[str, str]]:
    """Return each action with what it is done to, as the page on access lists them."""
    page = Path(__file__).parents[2] / "docs" / "howto" / "teams-and-access.md"
    found = set()
    for line in page.read_text().splitlines():
        cells = [re.findall(r"`([^`]+)`", cell) for cell in line.split("|")]
        if len(cells) == 5:
            found |= {(act, to.partition("/")[0]) for act in cells[1] for to in cells[2]}
    return found


def newest(service: Service) -> StoredEntry:
    return entries(service, limit=1)[0]


def with_headers(options: dict[str, Any], headers: dict[str, str]) -> dict[str, Any]:
    """Return a call's options with these headers beside its own."""
    return {**options, "headers": {**options.get("headers", {}), **headers}}


def test_every_call_that_changes_something_leaves_an_entry(service: Service) -> None:
    table = requests(prepare(service)) | ANEW
    for (method, path), route in api_routes(service).items():
        # A page for a browser takes no key; its test is below.
        if method == "GET" or (method, path) in NO_CHANGE or not route.include_in_schema:
            continue
        before = entries(service)
        request = table[method, path]
        headers = {"x-forwarded-for": "6.6.6.6, 10.0.0.7", "x-request-id": "a-b-c"}
        answer = service.call(
            service.admin, method, request.path, **with_headers(request.options, headers)
        )
        assert answer.is_success, f"{method} {path}: {answer.text}"
        added = entries(service)[len(before) :]
        if (method, path) in NO_ENTRY:
            continue
        assert added, f"{method} {path} left no entry in the audit log: call `caller.note`"
        for entry in added:
            assert (entry.principal, entry.outcome) == ("admin", "done"), path
            assert (entry.origin, entry.request_id) == ("10.0.0.7", "a-b-c"), path
            assert entry.key == service.plane.context.claims_of(service.admin).key_id  # type: ignore[union-attr]
            assert "/" in entry.subject, path
            assert (entry.action, entry.subject.partition("/")[0]) in documented(), path
            assert "plk_" not in str(entry), path


def test_every_call_that_is_refused_leaves_an_entry_with_the_rule(service: Service) -> None:
    things = requests(prepare(service))
    for role, rule in ((Role.VIEWER, "role-too-low"), (None, "no-grant")):
        # A principal for each call: a flood of refusals is only counted.
        for (method, path), request in things.items():
            if request.resource is None:
                continue
            key = service.caller(role, home_team=LONELY)
            answer = service.call(key, method, request.path, **request.options)
            if answer.is_success:
                continue
            assert answer.status_code in (403, 404), f"{method} {path}: {answer.text}"
            entry = newest(service)
            assert entry.outcome == "denied", f"{method} {path}"
            assert entry.principal == service.actor(key).principal.id, f"{method} {path}"
            # What belongs to the platform needs a role there, of which a role on a team is none.
            assert entry.detail["rule"] in (rule, "no-grant"), f"{method} {path}"
            assert entry.team == request.resource.team


def test_a_workload_that_fits_nowhere_leaves_an_entry_with_the_rules(service: Service) -> None:
    key = service.caller(Role.CONTRIBUTOR)
    asked = {"residency": "eu", "platform": "aks"}
    job = {"kind": "job", "name": "train", "command": ["a"], "team": TEAM, "requirements": asked}
    endpoint = endpoint_of(team=TEAM, name="big", resources={"memory": "900GB"})
    for method, path, body, subject, rule in (
        ("POST", "/runs", {"workload": job}, "run", "platform"),
        ("PUT", "/endpoints/big", endpoint.model_dump(mode="json"), "endpoint/big", "memory"),
    ):
        answer = service.call(key, method, path, json=body)
        assert answer.status_code == 400, answer.text
        assert error_of(answer)["code"] == "no_platform_fits"
        entry = newest(service)
        assert (entry.action, entry.subject, entry.outcome) == ("write", subject, "denied")
        assert (entry.team, entry.principal) == (TEAM, service.actor(key).principal.id)
        assert rule in entry.detail["rule"].split(", ")
        assert entry.detail["workload"] in ("job/train", "endpoint/big")


def test_what_does_not_exist_is_no_refusal(service: Service) -> None:
    before = entries(service)
    for path in ("/runs/r_nothing222", "/endpoints/nothing", "/nothing"):
        assert service.call(service.admin, "GET", path).status_code == 404
    assert entries(service) == before


def test_what_cannot_be_read_is_no_refusal(service: Service) -> None:
    before = entries(service)
    assert service.call(service.admin, "POST", "/teams", json={"name": "X"}).status_code == 422
    assert entries(service) == before


def test_what_changes_nothing_leaves_no_entry(service: Service) -> None:
    key = service.as_admin("POST", "/keys", json={"team": TEAM, "name": "dash"})["id"]
    run = service.plane.submit()
    grant = {"role": "viewer", "subject_team": OTHER, "team": TEAM}
    calls: list[tuple[str, str, dict[str, Any]]] = [
        ("DELETE", f"/keys/{key}", {}),
        ("POST", f"/runs/{run}/stop", {}),
        ("POST", "/grants", {"json": grant}),
        ("PUT", f"/members/{TEAM}/dash", {"json": {"role": "operator"}}),
    ]
    for method, path, options in calls:
        service.as_admin(method, path, **options)
        once = entries(service)
        service.as_admin(method, path, **options)
        assert entries(service) == once, path
    service.add_data()
    once = entries(service)
    service.add_data()
    assert entries(service) == once


def test_a_change_whose_entry_cannot_be_written_does_not_happen(service: Service) -> None:
    with service.plane.write() as connection:
        connection.exec_driver_sql(
            "create trigger audit_full before insert on audit begin select raise(abort, 'no'); end"
        )
    answer = service.call(service.admin, "POST", "/teams", json={"name": "fresh"})
    assert answer.status_code == 500
    assert "fresh" not in [team["name"] for team in service.as_admin("GET", "/teams")]


def test_a_change_that_fails_leaves_no_entry(service: Service) -> None:
    before = entries(service)
    answer = service.call(service.admin, "POST", "/teams", json={"name": TEAM})
    assert answer.status_code == 409
    assert entries(service) == before


def test_a_refusal_that_cannot_be_written_is_a_refusal_still(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = service.caller(Role.VIEWER)
    run = service.plane.submit()
    monkeypatch.setattr(service.plane.parts.refusals, "_has_room", lambda _entry: False)
    assert service.call(key, "POST", f"/runs/{run}/stop").status_code == 403
    assert entries(service, outcome="denied") == []


def test_a_key_that_was_ours_and_counts_no_more_is_noted(service: Service) -> None:
    principal = service.principal(Role.VIEWER)
    revoked, expired = service.key_of(principal), service.key_of(principal, days=0.5)
    ids = [service.plane.context.claims_of(key).key_id for key in (revoked, expired)]  # type: ignore[union-attr]
    service.as_admin("DELETE", f"/keys/{ids[0]}")
    service.plane.clock.advance(0.6 * 86400)
    for key, key_id, rule in zip(
        (revoked, expired), ids, ("key_revoked", "key_expired"), strict=True
    ):
        assert service.call(key, "GET", "/whoami").status_code == 401
        entry = newest(service)
        assert (entry.action, entry.subject) == ("authenticate", f"key/{key_id}")
        assert (entry.principal, entry.detail["rule"]) == (principal.id, rule)


@pytest.mark.parametrize("key", ["", "plk_nonsense", "x"])
def test_a_stranger_writes_nothing_into_the_log(service: Service, key: str) -> None:
    before = entries(service)
    headers = {"authorization": f"Bearer {key}"}
    assert service.client.get(f"{PREFIX}/whoami", headers=headers).status_code == 401
    assert entries(service) == before


def test_a_link_that_signed_a_browser_in_already_is_noted_when_it_comes_again(
    service: Service,
) -> None:
    url = service.as_admin("POST", "/sign-in", json={})["url"]
    headers = {"sec-fetch-mode": "navigate", "sec-fetch-dest": "document", "sec-fetch-site": "none"}
    path = url[url.index("/", len("http://")) :]
    assert service.client.get(path, headers=headers, follow_redirects=False).status_code == 303
    assert (newest(service).action, newest(service).outcome) == ("sign-in", "done")
    assert service.client.get(path, headers=headers).status_code == 410
    entry = newest(service)
    assert (entry.action, entry.subject) == ("sign-in", "principal/admin")
    assert (entry.outcome, entry.detail["rule"]) == ("denied", "link_used")
    before = entries(service)
    assert service.client.get(f"{path}x", headers=headers).status_code == 404
    assert entries(service) == before
    assert service.client.post("/sign-out", headers=headers).status_code == 200
    assert entries(service) == before, "nobody was signed out"


def test_who_speaks_to_the_socket_itself_is_local(service: Service) -> None:
    service.as_admin("POST", "/teams", json={"name": "fresh"})
    assert (newest(service).origin, newest(service).request_id) == ("local", None)


def test_the_first_key_is_the_platforms_own_doing(service: Service) -> None:
    first = entries(service)[0]
    assert (first.principal, first.action, first.origin) == ("platform", "create", "local")
    assert first.subject == f"key/{service.plane.context.claims_of(service.admin).key_id}"  # type: ignore[union-attr]


def test_operators_read_their_teams_entries_and_no_others(service: Service) -> None:
    for team in (TEAM, OTHER):
        service.as_admin("POST", "/keys", json={"team": team, "name": "dash"})
    operator, viewer = service.caller(Role.OPERATOR), service.caller(Role.VIEWER)
    seen = service.call(operator, "GET", "/audit-log").json()
    assert {entry["team"] for entry in seen} == {TEAM}
    assert service.call(viewer, "GET", "/audit-log").json() == []
    everything = {entry["team"] for entry in service.as_admin("GET", "/audit-log")}
    assert {TEAM, OTHER} <= everything


def test_asking_for_a_teams_entries_is_refused_with_the_rule(service: Service) -> None:
    viewer = service.caller(Role.VIEWER)
    denied = service.call(viewer, "GET", "/audit-log", params={"team": TEAM})
    assert denied.status_code == 403
    assert "this needs role `operator` on team `research`" in error_of(denied)["message"]
    hidden = service.call(viewer, "GET", "/audit-log", params={"team": OTHER})
    absent = service.call(viewer, "GET", "/audit-log", params={"team": "nobody"})
    assert (hidden.status_code, absent.status_code) == (404, 404)
    assert hidden.text == absent.text.replace("nobody", OTHER)
    answer = service.call(service.admin, "GET", "/audit-log", params={"team": "nobody"})
    assert (answer.status_code, answer.text) == (404, absent.text)


def test_the_log_is_filtered_and_paged(service: Service) -> None:
    for name in ("one", "two", "three"):
        service.as_admin("POST", "/teams", json={"name": name})
    added = {"action": "add", "who": "admin", "outcome": "done", "limit": 2}
    page = service.as_admin("GET", "/audit-log", params=added)
    assert [entry["subject"] for entry in page] == ["team/two", "team/three"]
    older = service.as_admin("GET", "/audit-log", params={**added, "before": page[0]["id"]})
    assert [entry["subject"] for entry in older] == ["team/one"]
    now = service.plane.clock.now().isoformat()
    assert service.as_admin("GET", "/audit-log", params={"until": now}) == []
    assert service.as_admin("GET", "/audit-log", params={"since": now, "subject": "team/one"})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("since", "2026-01-01T00:00:00"),
        ("since", "yesterday"),
        ("limit", 0),
        ("limit", 10_000),
        ("before", 10**30),
        ("outcome", "perhaps"),
        ("subject", "a\x00b"),
        ("who", "x" * 201),
        ("anything", "else"),
    ],
)
def test_a_filter_that_means_nothing_is_refused(service: Service, name: str, value: Any) -> None:
    answer = service.call(service.admin, "GET", "/audit-log", params={name: value})
    assert answer.status_code == 422
    assert name in error_of(answer)["message"]
