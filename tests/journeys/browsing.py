"""A browser as the gateway meets one: its host, its cookie, and what it says of the page."""

from __future__ import annotations

from urllib.parse import urlsplit

import httpx

from plinth.domain.traffic import tracking_authority
from tests.journeys.plinth_node import Plinth

OURS = {"sec-fetch-site": "same-origin", "sec-fetch-mode": "cors", "sec-fetch-dest": "empty"}
OPENING = {"sec-fetch-site": "none", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}


def visit(plinth: Plinth, path: str, **headers: str) -> httpx.Response:
    """Ask MLflow's host as somebody who types the address, or as `headers` say."""
    given = {"host": tracking_authority(plinth.port), "accept": "text/html", **OPENING}
    wanted = {name.replace("_", "-"): value for name, value in headers.items()}
    return plinth.http().get(path, headers={**given, **wanted})


def link(plinth: Plinth, key: str) -> str:
    """Make a link to sign in; return its path and code."""
    parts = urlsplit(str(plinth.client_of(key).sign_in("mlflow")["url"]))
    assert parts.netloc == tracking_authority(plinth.port)
    return f"{parts.path}?{parts.query}"


def sign_in(plinth: Plinth, key: str) -> str:
    """Sign a browser in; return its cookie as it is sent."""
    answer = visit(plinth, link(plinth, key))
    assert answer.status_code == 303, answer.text
    return answer.headers["set-cookie"].partition(";")[0]


def page_headers(plinth: Plinth, cookie: str) -> dict[str, str]:
    """Return what MLflow's own pages send along with what they ask."""
    return {"host": tracking_authority(plinth.port), "cookie": cookie, **OURS}
