"""The filters that say who calls and whether they may.

`who`: verify the key's signature and put its claims into headers that no client can set.
`page` (in `browser.py`): refuse what a strange page makes a signed-in browser ask.
`revocation`: refuse keys by their id. `grants`: refuse callers of what they were not granted.
Later filters, the routes, the access log and the servers read the headers.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from plinth.gateway.browser import (
    PAGE_OF_KEY,
    cookie_rules,
    front_rules,
    page_filter,
    read_cookie,
)
from plinth.gateway.envoy_types import Json, config, file_source, typed
from plinth.gateway.protobuf import Piece
from plinth.gateway.state import Writers

WHO = "plinth.who"
REVOCATION = "plinth.revocation"
GRANTS = "plinth.grants"

KEY_HEADERS = ("authorization", "api-key", "x-api-key")
PRINCIPAL_HEADER = "x-plinth-principal"
TEAM_HEADER = "x-plinth-team"
KEY_HEADER = "x-plinth-key"
# The principal once more, where the key is a run's.
RUN_HEADER = "x-plinth-run-principal"
ID_HEADER = "x-plinth-id"
REVOKED_POLICY = "revoked"
NO_WRITER_POLICY = "no-writer"
HEALTH_PATH = "/health"

_JWT = "extensions.filters.http.jwt_authn.v3.JwtAuthentication"
_RBAC = "extensions.filters.http.rbac.v3.RBAC"
_HEADER_INPUT = "type.matcher.v3.HttpRequestHeaderMatchInput"
_KEY, _COOKIE = "plinth", "browser"
_CLOCK_SKEW_S = 10
# A verified key is remembered for each worker, so that its signature is checked once: 3.3 kB for
# each key in use. Beyond this number every request costs twice as much.
_REMEMBERED_KEYS = 65_536
_MOST_LISTED = 500


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
    # Closed unless a route opens it, so that a forgotten route is a refusal and not a hole.
    grants = typed(GRANTS, _RBAC, matcher=_matcher(deny="none"))
    return [who, page_filter(), typed(REVOCATION, _RBAC), grants]


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


def refuse_keys(key_ids: Sequence[str]) -> Json:
    """Return the settings, for all routes, that refuse the keys with these ids."""
    if not key_ids:
        return {}
    # Many have the same: it is written once.
    deny = Piece(_action(REVOKED_POLICY, "DENY"))
    matcher = {
        **_lookup(KEY_HEADER, dict.fromkeys(sorted(set(key_ids)), deny)),
        "on_no_match": _action("current", "ALLOW"),
    }
    return {REVOCATION: _per_route(matcher)}


def allow_all() -> Json:
    """Return the settings of a route that every holder of a valid key may use."""
    return {GRANTS: config("extensions.filters.http.rbac.v3.RBACPerRoute")}


def allow_only(principals: Sequence[str], teams: Sequence[str]) -> Json:
    """Return the settings of a route that only these principals and teams may use.

    Up to some hundred are one expression, which is a tenth of the text of a map: Envoy reads all
    endpoints anew at each change. More are looked up. For nobody it is nothing: what no route
    opens is closed.
    """
    named = ((PRINCIPAL_HEADER, principals), (TEAM_HEADER, teams))
    if sum(len(names) for _, names in named) > _MOST_LISTED:
        return {GRANTS: _per_route(_matcher(principals, teams, deny="not-granted"))}
    ids = [{"header": _one_of(header, sorted(set(names)))} for header, names in named if names]
    if not ids:
        return {}
    policy = {"permissions": [{"any": True}], "principals": ids}
    rules = {"action": "ALLOW", "policies": {"granted": policy}}
    return {GRANTS: config("extensions.filters.http.rbac.v3.RBACPerRoute", rbac={"rules": rules})}


def _one_of(header: str, names: Sequence[str]) -> Json:
    """Match a header that is one of these names, whole. Names hold no sign of an expression."""
    expression = "|".join(map(re.escape, names))
    return {"name": header, "string_match": {"safe_regex": {"regex": expression}}}


def allow_writers(writers: Sequence[Writers]) -> Json:
    """Return the settings of a route that runs may use, and for each team its writers.

    A principal counts only with a key of the team: the same key decides the workspace.
    """
    allow, deny = _action("granted", "ALLOW"), _action(NO_WRITER_POLICY, "DENY")
    teams: dict[str, Json] = {}
    for each in writers:
        if each.everybody:
            teams[each.team] = allow
        elif each.principals:
            named = dict.fromkeys(sorted(set(each.principals)), allow)
            teams[each.team] = {
                "matcher": {**_lookup(PRINCIPAL_HEADER, named), "on_no_match": deny}
            }
    others = deny
    if teams:
        others = {"matcher": {**_lookup(TEAM_HEADER, teams), "on_no_match": deny}}
    runs = _lookup(RUN_HEADER, {"p_": allow}, by="prefix_match_map")
    return {GRANTS: _per_route({**runs, "on_no_match": others})}


def _matcher(principals: Sequence[str] = (), teams: Sequence[str] = (), *, deny: str) -> Json:
    """Look the principal up, then the team: two hash lookups, however many are granted."""
    allow = _action("granted", "ALLOW")
    otherwise = _action(deny, "DENY")
    if teams:
        by_team = _lookup(TEAM_HEADER, dict.fromkeys(sorted(set(teams)), allow))
        otherwise = {"matcher": {**by_team, "on_no_match": otherwise}}
    if not principals:
        # A matcher must look at something; nobody is called this.
        return {**_lookup(PRINCIPAL_HEADER, {"-": _action(deny, "DENY")}), "on_no_match": otherwise}
    by_principal = _lookup(PRINCIPAL_HEADER, dict.fromkeys(sorted(set(principals)), allow))
    return {**by_principal, "on_no_match": otherwise}


def _lookup(header: str, found: dict[str, Json], *, by: str = "exact_match_map") -> Json:
    return {
        "matcher_tree": {
            "input": typed(header, _HEADER_INPUT, header_name=header),
            by: {"map": found},
        }
    }


def _action(name: str, action: str) -> Json:
    return {"action": typed(name, "config.rbac.v3.Action", name=name, action=action)}


def _per_route(matcher: Json) -> Json:
    return config("extensions.filters.http.rbac.v3.RBACPerRoute", rbac={"matcher": matcher})
