"""The filters that say who calls and whether they may.

`who`: verify the key's signature and put its claims into headers that no client can set.
On pages (`browser.py`): refuse what a strange page makes a signed-in browser ask.
The gate (`gate.py`): refuse revoked keys, and callers of what they were not granted.
Later filters, the routes, the access log and the servers read the headers.
"""

from __future__ import annotations

from plinth.gateway.browser import (
    PAGE_OF_KEY,
    cookie_rules,
    front_rules,
    page_filters,
    read_cookie,
)
from plinth.gateway.envoy_types import Json, config, file_source, typed
from plinth.gateway.gate import gate_source

WHO = "plinth.who"

KEY_HEADERS = ("authorization", "api-key", "x-api-key")
PRINCIPAL_HEADER = "x-plinth-principal"
TEAM_HEADER = "x-plinth-team"
KEY_HEADER = "x-plinth-key"
# The principal once more, where the key is a run's.
RUN_HEADER = "x-plinth-run-principal"
ID_HEADER = "x-plinth-id"
HEALTH_PATH = "/health"

_JWT = "extensions.filters.http.jwt_authn.v3.JwtAuthentication"
_KEY, _COOKIE = "plinth", "browser"
_CLOCK_SKEW_S = 10
# A verified key is remembered for each worker, so that its signature is checked once: 3.3 kB for
# each key in use. Beyond this number every request costs twice as much.
_REMEMBERED_KEYS = 65_536


def filters(folder: str) -> list[Json]:
    """Return the filters in their order, without what changes while Envoy runs."""
    who = {
        "name": WHO,
        # Taken from its own file: a changed listener would keep the old signing keys for every
        # connection that is already open, this reaches them at once.
        "config_discovery": {
            "config_source": file_source(folder, "ecds"),
            "type_urls": [config(_JWT)["@type"]],
        },
    }
    return [who, *page_filters(), gate_source(folder)]


def verification(jwks: str, port: int) -> Json:
    """Return the configuration of `who`: which signing keys count and where a key may stand.

    In a cookie only where a browser signed in, and only when no header names a key: a cookie goes
    along with everything that a browser sends, a header is there because somebody put it.
    """
    key = {
        **_claims(jwks),
        "from_headers": [
            {"name": name, "value_prefix": f"{'Bearer ' if name == 'authorization' else ''}plk_"}
            for name in KEY_HEADERS
        ],
    }
    rules = [
        *front_rules(port),
        *cookie_rules(port, without=KEY_HEADERS, provider=_COOKIE),
        # After the pages: what stands behind one may have this path too, and asks who comes.
        {"match": {"path": HEALTH_PATH}},
        {"match": {"prefix": "/"}, "requires": {"provider_name": _KEY}},
    ]
    cookie = read_cookie(_claims(jwks), port)
    return typed(WHO, _JWT, providers={_KEY: key, _COOKIE: cookie}, rules=rules)


def _claims(jwks: str) -> Json:
    return {
        "local_jwks": {"inline_string": jwks},
        # The control plane verifies the key by itself; the routes take it off for others.
        "forward": True,
        "require_expiration": True,
        "clock_skew_seconds": _CLOCK_SKEW_S,
        "jwt_cache_config": {"jwt_cache_size": _REMEMBERED_KEYS},
        "claim_to_headers": [
            # A key has the one or the other.
            {"header_name": PRINCIPAL_HEADER, "claim_name": "sub"},
            {"header_name": PRINCIPAL_HEADER, "claim_name": "run"},
            {"header_name": RUN_HEADER, "claim_name": "run"},
            {"header_name": TEAM_HEADER, "claim_name": "t"},
            {"header_name": KEY_HEADER, "claim_name": "jti"},
            PAGE_OF_KEY,
        ],
    }
