"""A browser that signed in: where its cookie counts, and what other pages may make it ask.

A browser sends its cookie with whatever any page has it ask for. So a request that is known by its
cookie must come from our own page, as the browser itself says in headers that no page can set.
The cookie holds a key without its prefix, and everything that holds for keys holds for it.
"""

from __future__ import annotations

from collections.abc import Sequence

from plinth.domain.traffic import (
    SIGN_IN_PATH,
    cookie_name,
    tracking_authority,
    tracking_origin,
)
from plinth.gateway.body_size import usual_size
from plinth.gateway.envoy_types import Json, typed

PAGE = "plinth.page"
STRANGE_PAGE_POLICY = "strange-page"
# The key once more, where it came as a cookie.
BROWSER_HEADER = "x-plinth-browser"

_RBAC = "extensions.filters.http.rbac.v3.RBAC"
_SITE, _MODE, _TARGET = "sec-fetch-site", "sec-fetch-mode", "sec-fetch-dest"


def read_cookie(claims: Json, port: int) -> Json:
    """Return how a key is read from the cookie, with `claims` as for every key."""
    mark = {"header_name": BROWSER_HEADER, "claim_name": "jti"}
    return {
        **claims,
        "from_cookies": [cookie_name(port)],
        "claim_to_headers": [*claims["claim_to_headers"], mark],
    }


def cookie_rules(port: int, *, without: Sequence[str], provider: str) -> list[Json]:
    """Return the rules that let a cookie count: on MLflow's own host, without any header of these.

    Whoever follows the link to sign in has neither.
    """
    host = _is(":authority", tracking_authority(port))
    absent = [{"name": name, "present_match": True, "invert_match": True} for name in without]
    return [
        {"match": {"path": SIGN_IN_PATH, "headers": [host]}},
        {
            "match": {"prefix": "/", "headers": [host, *absent]},
            "requires": {"provider_name": provider},
        },
    ]


def page_filter(port: int) -> Json:
    """Return the filter that refuses what a strange page made a signed-in browser ask.

    And what is too large for every model, since one filter more costs every request.
    """
    policy = {
        "permissions": [_none_of(_permitted()), *_never(port)],
        "principals": [{"header": {"name": BROWSER_HEADER, "present_match": True}}],
    }
    policies = {STRANGE_PAGE_POLICY: policy, **usual_size()}
    return typed(PAGE, _RBAC, rules={"action": "DENY", "policies": policies})


def _permitted() -> list[Json]:
    """Return what is allowed: our own page reads and writes; everybody may open a page."""
    reads = _any(_header(":method", "GET"), _header(":method", "HEAD"))
    # Browsers of before 2023 say nothing of the site. They keep the cookie to themselves when
    # another site's page asks (SameSite), so reading is safe.
    unsaid = {"header": {"name": _SITE, "present_match": True, "invert_match": True}}
    ours = _any(_header(_SITE, "same-origin"), _header(_SITE, "none"), unsaid)
    opens = _all(
        _header(":method", "GET"), _header(_MODE, "navigate"), _header(_TARGET, "document")
    )
    return [_all(reads, ours), opens, _header(_SITE, "same-origin")]


def _never(port: int) -> list[Json]:
    """Return what is refused in any case: another origin, and an upgrade that names none."""
    origin = {"header": {"name": "origin", "present_match": True}}
    foreign = _all(origin, {"not_rule": _header("origin", tracking_origin(port))})
    # Browsers name no site when they open a WebSocket, but always the origin.
    upgrade = {"header": {"name": "upgrade", "present_match": True}}
    return [foreign, _all(upgrade, {"not_rule": origin})]


def _is(name: str, value: str) -> Json:
    return {"name": name, "string_match": {"exact": value}}


def _header(name: str, value: str) -> Json:
    return {"header": _is(name, value)}


def _all(*rules: Json) -> Json:
    return {"and_rules": {"rules": list(rules)}}


def _any(*rules: Json) -> Json:
    return {"or_rules": {"rules": list(rules)}}


def _none_of(rules: Sequence[Json]) -> Json:
    return {"not_rule": _any(*rules)}
