"""A person with a browser that signed in to the console."""

from __future__ import annotations

from typing import Any

from plinth.control.sign_in import SignedIn, make_link, use_link
from plinth.domain.traffic import cookie_name
from plinth.domain.web_page import CONSOLE
from tests.api.service import Service

OURS = {"sec-fetch-site": "same-origin"}


class Person:
    """Asks for the console's pages as the gateway passes them on."""

    def __init__(self, service: Service, key: str | None = None) -> None:
        self.service = service
        context = service.plane.context
        claims = context.claims_of(key or service.admin)
        assert claims is not None
        actor = service.actor(key or service.admin)
        with service.plane.write() as connection:
            made = make_link(connection, context, actor, claims.key_id, CONSOLE)
            code = made.url.partition("code=")[2]
            signed_in = use_link(connection, context, code, CONSOLE)
        assert isinstance(signed_in, SignedIn)
        self.cookie = f"{cookie_name(context.port)}={signed_in.cookie}"

    def ask(self, path: str, method: str = "GET", **options: Any) -> Any:
        headers = {"cookie": self.cookie, **OURS, **options.pop("headers", {})}
        return self.service.client.request(
            method, f"/console{path}", headers=headers, follow_redirects=False, **options
        )

    def page(self, path: str) -> str:
        """Return a page that is there."""
        answer = self.ask(path)
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        return str(answer.text)
