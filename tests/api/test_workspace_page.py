"""What a workspace's own page asks: only who may visit it is told, and may have it stay."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import pytest

from plinth.domain.access import Role
from tests.api.service import TEAM, Service
from tests.control.workspaces.session import until_open, workspace

TYPED = {"sec-fetch-site": "none", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}


@pytest.fixture
def visitor(service: Service) -> dict[str, str]:
    """Return the headers of the owner's browser at the page of an open workspace."""
    ann = service.caller(Role.CONTRIBUTOR, TEAM)
    body = {"kind": "workspace", "name": "lab", "team": TEAM, "idle_stop": "60s"}
    assert service.call(ann, "PUT", "/workspaces/lab", json=body).status_code == 200
    until_open(service.plane)
    url = service.call(ann, "POST", "/sign-in", json={"page": "lab-ws"}).json()["url"]
    parts = urlsplit(url)
    host = {"host": parts.netloc}
    answer = service.client.get(
        f"{parts.path}?{parts.query}", headers={**TYPED, **host}, follow_redirects=False
    )
    assert answer.status_code == 303
    return {**host, "cookie": answer.headers["set-cookie"].partition(";")[0]}


def ask(
    service: Service, headers: dict[str, str], path: str = "status", method: str = "GET"
) -> Any:
    return service.client.request(method, f"/workspace-page/{path}", headers=headers)


def test_the_countdown_is_told_and_put_off(service: Service, visitor: dict[str, str]) -> None:
    assert not ask(service, visitor).json()["counts_down"]
    while workspace(service.plane).reason != "Idle":
        service.plane.step(5)
    told = ask(service, visitor).json()
    assert told["counts_down"]
    assert 0 < told["stops_in_s"] <= 30
    assert (told["why"], told["can_stay"]) == ("nobody works in it", True)
    assert ask(service, visitor, "stay", "POST").status_code == 200
    service.plane.step(1)
    service.plane.step(1)
    assert not ask(service, visitor).json()["counts_down"]
    entries = service.as_admin("GET", "/audit-log")
    assert any(each["action"] == "stay" for each in entries)


def test_nobody_else_is_told(service: Service, visitor: dict[str, str]) -> None:
    host, cookie = visitor["host"], visitor["cookie"]
    assert ask(service, {"host": host}).status_code == 401
    assert ask(service, {"host": host, "cookie": "__Host-plinth-1=x"}).status_code == 401
    # The cookie of this page is none at another workspace's, nor where no page is.
    assert ask(service, {"host": "other-ws.localhost:1", "cookie": cookie}).status_code == 401
    for place in ("mlflow.localhost:1", "127.0.0.1:1", "testserver"):
        assert ask(service, {"host": place, "cookie": cookie}).status_code == 404
    bearer = {"host": host, "authorization": f"Bearer {service.admin}"}
    assert ask(service, bearer).status_code == 401


def test_the_script_holds_nothing_of_anybody(service: Service) -> None:
    answer = ask(service, {"host": "lab-ws.localhost:1"}, "page.js")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/javascript")
    assert "innerHTML" not in answer.text
