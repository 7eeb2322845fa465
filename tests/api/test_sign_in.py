"""Signing in and out as a browser meets it: which request uses a link up, and what it gets."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

import pytest

from plinth.control.sign_in import LINK_S
from plinth.domain.access import Role
from tests.api.service import TEAM, Service, error_of

TYPED = {"sec-fetch-site": "none", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
COOKIE = re.compile(
    r"__Host-plinth-1=([\w.-]+); Path=/; Max-Age=(\d+); Secure; HttpOnly; SameSite=Lax"
)


def link(service: Service, key: str | None = None) -> str:
    """Make a link; return its path with the code."""
    answer = service.call(key or service.admin, "POST", "/sign-in", json={"page": "mlflow"})
    assert answer.status_code == 200, answer.text
    parts = urlsplit(answer.json()["url"])
    return f"{parts.path}?{parts.query}"


def visit(service: Service, path: str, said: dict[str, str] = TYPED, **options: Any) -> Any:
    return service.client.request(
        options.pop("method", "GET"), path, headers=said, follow_redirects=False, **options
    )


def test_a_person_who_opens_a_link_gets_a_cookie_and_goes_on(service: Service) -> None:
    path = link(service)
    answer = visit(service, path)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    match = COOKIE.fullmatch(answer.headers["set-cookie"])
    assert match is not None, answer.headers
    assert int(match[2]) == service.plane.context.settings.sign_in_hours * 3600
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-store"
    used = visit(service, path)
    assert used.status_code == 410
    assert "used already" in used.text
    assert "set-cookie" not in used.headers


LOOKS = [
    {},
    {"sec-fetch-site": "none"},
    {**TYPED, "sec-fetch-mode": "no-cors"},
    {**TYPED, "sec-fetch-dest": "iframe"},
    {**TYPED, "sec-fetch-dest": "image"},
    {**TYPED, "sec-purpose": "prefetch"},
    {**TYPED, "sec-purpose": "prefetch;prerender"},
    {**TYPED, "purpose": "prefetch"},
    {**TYPED, "x-moz": "prefetch"},
]


@pytest.mark.parametrize("said", LOOKS)
def test_who_only_looks_at_a_link_does_not_use_it_up(
    service: Service, said: dict[str, str]
) -> None:
    path = link(service)
    answer = visit(service, path, said)
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers
    assert visit(service, path, method="HEAD").status_code == 405
    assert visit(service, path).status_code == 303


@pytest.mark.parametrize("site", ["cross-site", "same-site", None])
def test_a_link_on_another_page_asks_first(service: Service, site: str | None) -> None:
    path = link(service)
    said = {name: value for name, value in TYPED.items() if name != "sec-fetch-site"}
    answer = visit(service, path, {**said, **({"sec-fetch-site": site} if site else {})})
    assert answer.status_code == 200
    assert "set-cookie" not in answer.headers
    assert path.partition("code=")[2] in answer.text
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    # What the page's button does.
    assert visit(service, path, {**TYPED, "sec-fetch-site": "same-origin"}).status_code == 303


def test_a_link_that_does_not_count_says_what_to_do(service: Service) -> None:
    path = link(service)
    service.plane.clock.advance(LINK_S)
    for asked, status, words in (
        (path, 410, "has expired"),
        ("/sign-in", 404, "signs nobody in"),
        ("/sign-in?code=<script>", 404, "signs nobody in"),
    ):
        answer = visit(service, asked)
        assert (answer.status_code, answer.headers["content-type"]) == (
            status,
            "text/html; charset=utf-8",
        )
        assert words in answer.text
        assert "plinth open mlflow" in answer.text
        assert "<script>" not in answer.text


def test_a_code_that_is_none_of_ours_opens_no_write_transaction(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[bool] = []
    write = service.plane.database.write

    def counted(**options: bool) -> Any:
        opened.append(True)
        return write(**options)

    path = link(service)
    monkeypatch.setattr(service.plane.context.database, "write", counted)
    for asked in ("/sign-in", "/sign-in?code=guess", f"{path}x"):
        assert visit(service, asked).status_code == 404
    assert opened == []
    assert visit(service, path).status_code == 303
    assert opened == [True]


def test_the_browser_s_key_is_listed_and_the_audit_log_tells_of_it(service: Service) -> None:
    before = {key["id"] for key in service.as_admin("GET", "/keys")}
    visit(service, link(service), {**TYPED, "x-forwarded-for": "10.1.1.1"})
    (made,) = [key for key in service.as_admin("GET", "/keys") if key["id"] not in before]
    assert made["label"] == "browser"
    entries = service.as_admin("GET", "/audit-log")
    (entry,) = [entry for entry in entries if entry["action"] == "sign-in"]
    assert entry["subject"] == f"key/{made['id']}"
    assert entry["origin"] == "10.1.1.1"
    assert any(entry["subject"] == "sign-in/mlflow" for entry in entries)


def test_signing_out_ends_the_key_and_takes_the_cookie(service: Service) -> None:
    assert "Sign out" in visit(service, "/sign-out").text
    cookie = visit(service, link(service)).headers["set-cookie"].partition(";")[0]
    answer = visit(service, "/sign-out", {**TYPED, "cookie": cookie}, method="POST")
    assert answer.status_code == 200
    assert answer.headers["set-cookie"].startswith("__Host-plinth-1=; Path=/; Max-Age=0;")
    key = f"plk_{cookie.partition('=')[2]}"
    assert service.call(key, "GET", "/whoami").status_code == 401
    # Again, or without ever having signed in, is as good.
    for said in ({"cookie": cookie}, {"cookie": "__Host-plinth-1=nonsense"}, {}):
        assert visit(service, "/sign-out", said, method="POST").status_code == 200


def test_a_cookie_is_no_key_for_the_api(service: Service) -> None:
    cookie = visit(service, link(service)).headers["set-cookie"].partition(";")[0]
    answer = service.client.get("/api/v1/whoami", headers={"cookie": cookie})
    assert answer.status_code == 401


def test_every_holder_of_a_key_may_open_but_no_browser_opens_another(service: Service) -> None:
    path = link(service, service.caller(Role.VIEWER, TEAM))
    cookie = visit(service, path).headers["set-cookie"].partition(";")[0]
    key = f"plk_{cookie.partition('=')[2]}"
    answer = service.call(key, "POST", "/sign-in", json={})
    assert answer.status_code == 401
    assert error_of(answer)["code"] == "key_of_page"


def test_there_is_nothing_else_to_open(service: Service) -> None:
    answer = service.call(service.admin, "POST", "/sign-in", json={"page": "https://evil"})
    assert answer.status_code == 404
    assert "`https://evil`" in error_of(answer)["message"]
    assert service.call(service.admin, "POST", "/sign-in", json={"page": 7}).status_code == 422


def test_each_page_has_its_own_link_and_its_own_words(service: Service) -> None:
    answer = service.call(service.admin, "POST", "/sign-in", json={"page": "console"})
    parts = urlsplit(answer.json()["url"])
    assert parts.netloc == "console.localhost:1"
    path = f"{parts.path}?{parts.query}"
    # At MLflow's host it is none, and is not used up.
    assert visit(service, path, {**TYPED, "host": "mlflow.localhost:1"}).status_code == 404
    console = {**TYPED, "host": "console.localhost:1"}
    cookie = visit(service, path, console).headers["set-cookie"].partition(";")[0]
    used = visit(service, path, console)
    assert used.status_code == 410
    assert "plinth open console" in used.text
    # Signing out at another host ends nothing here.
    strange = {**TYPED, "cookie": cookie, "host": "mlflow.localhost:1"}
    assert visit(service, "/sign-out", strange, method="POST").status_code == 200
    before = [key for key in service.as_admin("GET", "/keys") if key["label"] == "browser"]
    assert [key["revoked_at"] for key in before] == [None]
    visit(service, "/sign-out", {**console, "cookie": cookie}, method="POST")
    after = [key for key in service.as_admin("GET", "/keys") if key["label"] == "browser"]
    assert [key["revoked_at"] for key in after] != [None]
