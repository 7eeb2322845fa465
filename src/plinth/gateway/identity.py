"""The filters that say who calls and whether they may.

The gate (`gate.py`): a key that counts and is granted what it asks for. What the key says is put
into headers that no client can set; later filters, the routes, the access log and the servers read
them. On pages (`browser.py`), where a cookie may hold the key, Envoy's own filter for keys stands
before it, and one that refuses what a strange page made a signed-in browser ask. Elsewhere the gate
asks the same filter, behind an inner listener (`verifier.py`), once for each key.
"""

from __future__ import annotations

from plinth.domain.traffic import KEY_ID_HEADER
from plinth.gateway.browser import (
    PAGE_HEADER,
    PAGE_OF_KEY,
    cookie_rules,
    page_filters,
    read_cookie,
)
from plinth.gateway.envoy_types import Json, config, file_source, typed
from plinth.gateway.gate import gate_source
from plinth.gateway.names import WHO

KEY_HEADERS = ("authorization", "api-key", "x-api-key")
PRINCIPAL_HEADER = "x-plinth-principal"
TEAM_HEADER = "x-plinth-team"
KEY_HEADER = KEY_ID_HEADER
# The principal once more, where the key is a run's.
RUN_HEADER = "x-plinth-run-principal"
EXPIRES_HEADER = "x-plinth-expires"
ID_HEADER = "x-plinth-id"
HEALTH_PATH = "/health"

# What a verified key says.
CLAIM_HEADERS = (
    PRINCIPAL_HEADER,
    RUN_HEADER,
    TEAM_HEADER,
    KEY_HEADER,
    EXPIRES_HEADER,
    PAGE_HEADER,
)

_JWT = "extensions.filters.http.jwt_authn.v3.JwtAuthentication"
_KEY, _COOKIE = "plinth", "browser"
_CLOCK_SKEW_S = 10
# Those of pages are remembered for each worker: 3.3 kB for each in use.
_REMEMBERED_KEYS = 4_096


def filters(folder: str) -> list[Json]:
    """Return the filters in their order, without what changes while Envoy runs."""
    who = {**who_source(folder), "disabled": True}
    return [who, *page_filters(), gate_source(folder)]


def who_source(folder: str) -> Json:
    """Return the filter for keys, which is taken from its own file.

    A changed listener would keep the old signing keys for every connection that is already open,
    this reaches them at once.
    """
    return {
        "name": WHO,
        "config_discovery": {
            "config_source": file_source(folder, "ecds"),
            "type_urls": [config(_JWT)["@type"]],
        },
    }


def verification(jwks: str, port: int) -> Json:
    """Return the configuration of `who`: which signing keys count and where a key may stand.

    In a cookie only where a browser signed in, and only when no header names a key: a cookie goes
    along with everything that a browser sends, a header is there because somebody put it.
    """
    key = {
        **_claims(jwks),
        "from_headers": [
            {"name": name, "value_prefix": f"{scheme}plk_"}
            for name in KEY_HEADERS
            for scheme in (("Bearer ", "bearer ") if name == "authorization" else ("",))
        ],
    }
    rules = [
        *cookie_rules(port, without=KEY_HEADERS, provider=_COOKIE),
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
            {"header_name": EXPIRES_HEADER, "claim_name": "exp"},
            PAGE_OF_KEY,
        ],
    }
