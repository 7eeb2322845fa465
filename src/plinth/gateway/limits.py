"""Limits of requests a minute, which Envoy counts by itself; the guard counts tokens.

The buckets stand in a filter of their own file: they are filled again when that file changes, so
nothing else may stand there. Each Envoy has its own buckets: a node has one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import partial

from plinth.domain.serving import Limit
from plinth.domain.traffic import EndpointRoute
from plinth.gateway.envoy_types import FILTER, Json, config, file_source, typed
from plinth.gateway.identity import KEY_HEADER, TEAM_HEADER
from plinth.gateway.memory import Memory

LIMITS = "plinth.requests"
# The folder and name of its file.
KIND = "limits"

_LIMIT = "extensions.filters.http.local_ratelimit.v3.LocalRateLimit"
# What stands there while nothing is limited: it does nothing, and costs nothing.
_NOTHING = "extensions.filters.http.header_mutation.v3.HeaderMutation"
_UNLIMITED = 4_000_000_000
_MINUTE = "60s"
# Of the teams or keys that each have a bucket of their own; the ones not seen for longest go.
_MOST_BUCKETS = 50_000
_WHOLE: Json = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}
_ENTRY, _ENDPOINT, _TEAM, _KEY = "limit", "endpoint", "team", "key"


def limits_source(folder: str) -> Json:
    """Return the filter in the listener: it is taken from its own file, and off until a route asks.

    Where nothing is limited, it would show everybody a limit that nobody reaches.
    """
    return {
        "name": LIMITS,
        "disabled": True,
        "config_discovery": {
            "config_source": file_source(folder, KIND),
            "type_urls": [config(each)["@type"] for each in (_LIMIT, _NOTHING)],
        },
    }


def limits_filter(endpoints: Iterable[EndpointRoute], memory: Memory | None = None) -> Json:
    """Return the filter with a bucket for each limit of requests."""
    memory = memory or Memory()
    found: dict[str, Json] = {}
    for endpoint in endpoints:
        found |= memory.recall("limits", endpoint, partial(_descriptors, endpoint))
    # In an order that other endpoints do not change.
    descriptors = [found[text] for text in sorted(found)]
    if not descriptors:
        return {"@type": FILTER, **typed(LIMITS, _NOTHING)}
    everything = typed(
        LIMITS,
        _LIMIT,
        stat_prefix="requests",
        token_bucket=_bucket(_UNLIMITED),
        filter_enabled=_WHOLE,
        filter_enforced=_WHOLE,
        descriptors=descriptors,
        max_dynamic_descriptors=_MOST_BUCKETS,
        enable_x_ratelimit_headers="DRAFT_VERSION_03",
        enable_retry_after_header=True,
    )
    return {"@type": FILTER, **everything}


def limit_actions(endpoint: EndpointRoute) -> list[Json]:
    """Return, for a route's action, by what its requests are counted."""
    return [
        {"actions": [*_name_actions(endpoint, number, limit), *_whose(limit)]}
        for number, limit in _limits(endpoint)
    ]


def with_limits(endpoint: EndpointRoute) -> Json:
    """Return the settings of a route, found by its path, whose requests are counted; else none."""
    if not any(_limits(endpoint)):
        return {}
    return {LIMITS: config("config.route.v3.FilterConfig", config={})}


def has_token_limits(endpoint: EndpointRoute) -> bool:
    """Tell whether the guard is asked for its requests."""
    return any(limit.tokens_per_minute is not None for limit in endpoint.policy.limits)


def _limits(endpoint: EndpointRoute) -> list[tuple[int, Limit]]:
    limits = enumerate(endpoint.policy.limits)
    return [(number, limit) for number, limit in limits if limit.requests_per_minute is not None]


def _descriptors(endpoint: EndpointRoute) -> dict[str, Json]:
    """Return its buckets by their text, so that what stands there twice is found once."""
    found = [_descriptor(endpoint, number, limit) for number, limit in _limits(endpoint)]
    return {json.dumps(each, sort_keys=True): each for each in found}


def _name(endpoint: EndpointRoute, number: int, limit: Limit) -> str:
    """Return by which name a limit is found.

    What has a bucket for each team or key is looked for one after the other, so equal ones of many
    endpoints have one name; the endpoint's own stands beside it.
    """
    if limit.each is not None:
        equal = endpoint.policy.limits[:number].count(limit)
        return f"{limit.each}.{limit.requests_per_minute}.{equal}"
    return f"{endpoint.name}.{number}"


def _name_actions(endpoint: EndpointRoute, number: int, limit: Limit) -> list[Json]:
    named = [(_ENTRY, _name(endpoint, number, limit))]
    if limit.each is not None:
        named.append((_ENDPOINT, endpoint.name))
    return [{"generic_key": {"descriptor_key": key, "descriptor_value": it}} for key, it in named]


def _whose(limit: Limit) -> list[Json]:
    found = []
    if limit.team is not None or limit.each == _TEAM:
        found.append((TEAM_HEADER, _TEAM))
    if limit.key is not None or limit.each == _KEY:
        found.append((KEY_HEADER, _KEY))
    return [
        {"request_headers": {"header_name": header, "descriptor_key": key}} for header, key in found
    ]


def _descriptor(endpoint: EndpointRoute, number: int, limit: Limit) -> Json:
    assert limit.requests_per_minute is not None  # `_limits` leaves the others out
    entries = [{"key": _ENTRY, "value": _name(endpoint, number, limit)}]
    if limit.team is not None:
        entries.append({"key": _TEAM, "value": limit.team})
    elif limit.key is not None:
        entries.append({"key": _KEY, "value": limit.key})
    elif limit.each is not None:
        # Without a value everybody has a bucket of their own.
        entries += [{"key": _ENDPOINT}, {"key": limit.each}]
    return {"entries": entries, "token_bucket": _bucket(limit.requests_per_minute)}


def _bucket(size: int) -> Json:
    return {"max_tokens": size, "tokens_per_fill": size, "fill_interval": _MINUTE}
