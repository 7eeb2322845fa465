"""The application over a whole control plane, with callers of every role."""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from plinth.api.app import create_app
from plinth.control.identities import make_team
from plinth.domain.access import Actor, Grant, Principal, PrincipalKind, Role
from plinth.kit.home import Home
from plinth.store.identities import add_grant, add_key, add_principal, add_team, load_actor
from tests.control.plane import TEAM, Plane, make_plane, open_database, template_home

with warnings.catch_warnings():
    # It wants `httpx2` for itself; Plinth's own client speaks through httpx, and so do its tests.
    warnings.simplefilter("ignore")
    from starlette.testclient import TestClient

OTHER = "other"
# A team whose members were given nothing, not even in it.
LONELY = "lonely"
CSV = b"a,b\n1,x\n2,y\n"


class Service:
    """The application, a client of it, and keys."""

    def __init__(self, plane: Plane, app: FastAPI, client: TestClient) -> None:
        self.plane = plane
        self.app = app
        self.client = client
        self.admin = plane.home.admin_token.read_text()

    def caller(
        self, role: Role | None = None, on: str | None = TEAM, *, home_team: str = LONELY
    ) -> str:
        """Return the key of a new principal with `role` on a team (None: on the platform)."""
        return self.key_of(self.principal(role, on, home_team=home_team))

    def principal(
        self, role: Role | None = None, on: str | None = TEAM, *, home_team: str = LONELY
    ) -> Principal:
        now = self.plane.clock.now()
        with self.plane.write() as connection:
            principal = add_principal(
                connection,
                kind=PrincipalKind.SERVICE,
                name=f"{role or 'none'}-of-{on}",
                team=home_team,
                now=now,
            )
            if role is not None:
                grant = Grant(role=role, principal=principal.id, team=on)
                add_grant(connection, grant, created_by="admin", now=now)
        return principal

    def key_of(self, principal: Principal, *, days: float = 1) -> str:
        now = self.plane.clock.now()
        expires_at = now + timedelta(days=days)
        with self.plane.write() as connection:
            key = add_key(
                connection, principal=principal, label="test", expires_at=expires_at, now=now
            )
        return self.plane.context.mint(principal, key.id, key.expires_at)

    def actor(self, key: str) -> Actor:
        claims = self.plane.context.claims_of(key)
        assert claims is not None
        with self.plane.database.read() as connection:
            actor = load_actor(connection, claims.principal, claims.key_id)
        assert actor is not None
        return actor

    def call(self, key: str, method: str, path: str, **options: Any) -> Any:
        headers = {"authorization": f"Bearer {key}", **options.pop("headers", {})}
        return self.client.request(method, f"/api/v1{path}", headers=headers, **options)

    def as_admin(self, method: str, path: str, **options: Any) -> Any:
        answer = self.call(self.admin, method, path, **options)
        assert answer.is_success, answer.text
        return answer.json()

    def add_data(self, name: str = "flights", content: bytes = CSV, team: str = TEAM) -> Any:
        params = {"file_name": f"{name}.csv", "team": team}
        return self.as_admin("PUT", f"/data/{name}", params=params, content=content)


def error_of(answer: Any) -> dict[str, Any]:
    """Return the error of an answer that has the one shape, and nothing else in it."""
    body = answer.json()
    assert set(body) == {"error"}
    # Where OpenAI's clients call, there is what they look for beside it.
    assert set(body["error"]) in (
        {"code", "message", "hint"},
        {"code", "message", "hint", "type", "param"},
    )
    error: dict[str, Any] = body["error"]
    return error


@cache
def _template_home() -> Path:
    """Return a home that has the other teams too."""
    home = Home(Path(tempfile.mkdtemp(prefix="pl-")))
    shutil.copytree(template_home(), home.root, dirs_exist_ok=True)
    plane = Plane(home, open_database)
    with plane.write() as connection:
        make_team(connection, plane.context, OTHER, created_by="admin")
        add_team(connection, LONELY, plane.clock.now())
    plane.close()
    return home.root


@contextmanager
def make_service() -> Iterator[Service]:
    """Give the application with its life around it; nothing reconciles."""
    with make_plane(template=_template_home) as plane:
        app = create_app(plane.context, plane.parts, lambda: None, lambda: None)
        with TestClient(app, raise_server_exceptions=False) as client:
            yield Service(plane, app, client)


__all__ = ["CSV", "LONELY", "OTHER", "TEAM", "Service", "error_of", "make_service"]
