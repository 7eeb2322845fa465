"""People and their workspaces on a whole Plinth: opened, signed in to, waited for."""

from __future__ import annotations

from typing import Any

from plinth.domain.web_page import page_authority, workspace_page
from plinth.domain.workspace import Workspace
from tests.journeys.notebook import Notebook
from tests.journeys.plinth_node import Plinth, wait_for

# The environment is built once for all of them, and kept.
BUILD_S = 300.0
OPEN = ("Open", "Busy", "Idle")
# What somebody who is at a workspace's page does, as `headers` of a Notebook say who.
TYPED = {"sec-fetch-site": "none", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}


class People:
    """Keys of people by name, made when they are first asked for."""

    def __init__(self, plinth: Plinth) -> None:
        self._plinth = plinth
        self._keys: dict[str, str] = {}

    def key(self, name: str, team: str = "red", role: str = "contributor") -> str:
        if name not in self._keys:
            made = self._plinth.client.create_key(team=team, name=name, role=role, days=1)
            self._keys[name] = str(made["token"])
        return self._keys[name]


def host_of(plinth: Plinth, name: str) -> str:
    return page_authority(workspace_page(name), plinth.port)


def bring_up(plinth: Plinth, key: str, name: str, **fields: Any) -> dict[str, Any]:
    """Open a workspace as the holder of the key; wait until it answers."""
    workload = Workspace.model_validate({"kind": "workspace", "name": name, **fields})
    plinth.client_of(key).workspace_up(workload)
    return until_open(plinth, name)


def until_open(plinth: Plinth, name: str) -> dict[str, Any]:
    def seen() -> dict[str, Any] | None:
        found = plinth.client.workspace(name)
        assert found["desired"] == "run", found["message"]
        return found if found["reason"] in OPEN else None

    found: dict[str, Any] = wait_for(seen, f"workspace {name} being open", within_s=BUILD_S)
    return found


def until_stopped(plinth: Plinth, name: str, within_s: float = 90.0) -> dict[str, Any]:
    def seen() -> dict[str, Any] | None:
        found = plinth.client.workspace(name)
        return found if found["phase"] in ("stopped", "failed") else None

    found: dict[str, Any] = wait_for(seen, f"the end of {name}", within_s=within_s)
    return found


def cookie_for(plinth: Plinth, key: str, name: str) -> str:
    """Sign a browser in to a workspace's page; return its cookie as it is sent."""
    url = str(plinth.client_of(key).sign_in(workspace_page(name))["url"])
    path = url.partition(host_of(plinth, name))[2]
    headers = {"host": host_of(plinth, name), **TYPED}
    answer = plinth.http().get(path, headers=headers)
    assert answer.status_code == 303, answer.text
    return str(answer.headers["set-cookie"]).partition(";")[0]


def notebook(plinth: Plinth, key: str, name: str) -> Notebook:
    """Return somebody at a workspace's page, known by their cookie as a browser is."""
    cookie = cookie_for(plinth, key, name)
    return Notebook(plinth.port, host_of(plinth, name), {"cookie": cookie})
