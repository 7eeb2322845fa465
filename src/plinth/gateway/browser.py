"""A browser that signed in: where its cookie counts, and what other pages may make it ask.

A browser sends its cookie with whatever any page has it ask for. So a request that is known by its
cookie must come from our own page, as the browser itself says in headers that no page can set.
The cookie holds a key without its prefix, which names the one page that it counts on: at any other
address, in a cookie or in a header, it is nobody's.
"""

from __future__ import annotations

from collections.abc import Sequence

from plinth.domain.traffic import SIGN_IN_PATH, cookie_name
from plinth.domain.web_page import authority_pattern, page_origin
from plinth.gateway.envoy_types import Json, config, typed
from plinth.gateway.names import WHO

STRANGE_PAGE_POLICY = "strange-page"
OTHER_PAGE_POLICY = "other-page"
# The key once more, where it came as a cookie.
BROWSER_HEADER = "x-plinth-browser"
# The page that a browser's key counts on, wherever it stood.
PAGE_HEADER = "x-plinth-page"
PAGE_OF_KEY = {"header_name": PAGE_HEADER, "claim_name": "h"}
_BROWSER_HEADERS = (BROWSER_HEADER, PAGE_HEADER)
# Whoever opens the plain address is led to the console.
FRONT_PATH = "/"

_RBAC = "extensions.filters.http.rbac.v3.RBAC"
_MUTATION = "extensions.filters.http.header_mutation.v3.HeaderMutation"
_PAGE, _SEEN = "plinth.page", "plinth.page-seen"
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
    """Return the rules that let a cookie count: on a page's host, without any header of these.

    Whoever follows the link to sign in has neither.
    """
    host = _matching(":authority", authority_pattern(port))
    absent = [{"name": name, "present_match": True, "invert_match": True} for name in without]
    return [
        {"match": {"path": SIGN_IN_PATH, "headers": [host]}},
        {
            # In this order: most requests have a key in a header, and that is quickly seen.
            "match": {"prefix": "/", "headers": [*absent, host]},
            "requires": {"provider_name": provider},
        },
    ]


def front_match(port: int) -> Json:
    """Match a browser that opens the plain address itself; programs are told that there is none."""
    hosts = rf"(?:127\.0\.0\.1|localhost):{port}"
    headers = [
        _is(":method", "GET"),
        _matching(":authority", hosts),
        {"name": "accept", "string_match": {"contains": "text/html"}},
    ]
    return {"path": FRONT_PATH, "headers": headers}


def page_filters() -> list[Json]:
    """Return the filters of pages, which Envoy makes for the hosts of pages alone.

    One refuses what a strange page made a signed-in browser ask. The other takes off what says
    that a browser asks: where that still stands at the gate, no page is, and it is refused.
    """
    return [
        {**typed(_PAGE, _RBAC), "disabled": True},
        {**typed(_SEEN, _MUTATION), "disabled": True},
    ]


def own_page(page: str, port: int) -> Json:
    """Return the settings of a page's host: who signed in here, asked by this page itself.

    A cookie may hold the key, so Envoy's own filter for keys is made there too.
    """
    other = {"and_ids": {"ids": [_browser(), {"not_id": {"header": _is(PAGE_HEADER, page)}}]}}
    policies = {
        OTHER_PAGE_POLICY: {"permissions": [{"any": True}], "principals": [other]},
        STRANGE_PAGE_POLICY: {
            "permissions": [_none_of(_permitted()), *_never(page_origin(page, port))],
            "principals": [_browser()],
        },
    }
    rules = {"action": "DENY", "policies": policies}
    seen = [{"remove": name} for name in _BROWSER_HEADERS]
    return {
        # Nothing but that it is there.
        WHO: config("config.route.v3.FilterConfig", config={}),
        _PAGE: config(f"{_RBAC}PerRoute", rbac={"rules": rules}),
        _SEEN: config(f"{_MUTATION}PerRoute", mutations={"request_mutations": seen}),
    }


def _browser() -> Json:
    """Match whoever came with a browser's key, or with any key in a cookie."""
    present = [{"header": {"name": name, "present_match": True}} for name in _BROWSER_HEADERS]
    return {"or_ids": {"ids": present}}


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


def _never(own: str) -> list[Json]:
    """Return what is refused in any case: another origin, and an upgrade that names none."""
    origin = {"header": {"name": "origin", "present_match": True}}
    foreign = _all(origin, {"not_rule": _header("origin", own)})
    # Browsers name no site when they open a WebSocket, but always the origin.
    upgrade = {"header": {"name": "upgrade", "present_match": True}}
    return [foreign, _all(upgrade, {"not_rule": origin})]


def _is(name: str, value: str) -> Json:
    return {"name": name, "string_match": {"exact": value}}


def _matching(name: str, expression: str) -> Json:
    return {"name": name, "string_match": {"safe_regex": {"regex": expression}}}


def _header(name: str, value: str) -> Json:
    return {"header": _is(name, value)}


def _all(*rules: Json) -> Json:
    return {"and_rules": {"rules": list(rules)}}


def _any(*rules: Json) -> Json:
    return {"or_rules": {"rules": list(rules)}}


def _none_of(rules: Sequence[Json]) -> Json:
    return {"not_rule": _any(*rules)}
