"""How large a body may be that passes piece by piece, without anybody holding it.

One rule stands for all addresses of models, absent ones too, so that it tells nobody what there is.
Only an endpoint that says another size has a rule of its own.
"""

from __future__ import annotations

from plinth.domain.serving import TrafficPolicy
from plinth.gateway.envoy_types import Json, config

TOO_LARGE_POLICY, OWN_SIZE_POLICY = "too-large", "too-large-here"
# Addresses of models, and of flows.
_PREFIXES = ("/v2/models/", "/flows/")


def usual_size() -> Json:
    """Return the rule for endpoints that say no size, by its name."""
    return too_large(TrafficPolicy().max_body, TOO_LARGE_POLICY)


def too_large(most: int, name: str) -> Json:
    """Return the rule, by its name, that refuses bodies of more than `most` bytes.

    Also those that do not say their length: nobody would count them before they have passed.
    """
    within = {"name": "content-length", "range_match": {"start": 0, "end": most + 1}}
    rules = [
        {"or_rules": {"rules": [{"url_path": {"path": {"prefix": each}}} for each in _PREFIXES]}},
        {"header": {"name": ":method", "string_match": {"exact": "POST"}}},
        {"not_rule": {"header": within}},
    ]
    permission = {"and_rules": {"rules": rules}}
    return {name: {"permissions": [permission], "principals": [{"any": True}]}}


def own_size(filter_name: str, most: int, beside: Json) -> Json:
    """Return the settings of a route with a size of its own; nothing where it is the usual one.

    `beside`: the other rules of that filter, which hold here too.
    """
    if most == TrafficPolicy().max_body:
        return {}
    rules = {"action": "DENY", "policies": {**beside, **too_large(most, OWN_SIZE_POLICY)}}
    kind = "extensions.filters.http.rbac.v3.RBACPerRoute"
    return {filter_name: config(kind, rbac={"rules": rules})}
