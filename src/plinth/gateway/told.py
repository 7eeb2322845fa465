"""What a route holds so that Envoy's own answers can say it: its limits and its largest body.

Envoy's answers are written in the listener, which does not change; what differs from endpoint to
endpoint stands in the metadata of the routes. Only endpoints that have such a limit have any.
"""

from __future__ import annotations

from collections.abc import Sequence

from plinth.domain.serving import Limit, TrafficPolicy
from plinth.domain.traffic import EndpointRoute
from plinth.gateway.envoy_types import Json
from plinth.gateway.identity import KEY_HEADER, TEAM_HEADER

_LIMITS = "plinth.limit"
_OF_TEAMS, _OF_KEYS = f"{_LIMITS}.team", f"{_LIMITS}.key"
_EVERYBODY, _BODY = "all", "body"
_MIB, _MB = 2**20, 10**6
_FOUND = "xds.route_metadata.filter_metadata"

# The largest body that a route takes, as Envoy's answers name it; and whether it names one.
BODY_FIELD = f"%METADATA(ROUTE:{_LIMITS}:{_BODY})%"
SAYS_BODY = f"{_FOUND}['{_LIMITS}']['{_BODY}'] != ''"
# The limits of requests that concern a caller. What there is not is left out, where the format
# leaves out empty values.
LIMITS_FIELD = (
    f"%METADATA(ROUTE:{_LIMITS}:{_EVERYBODY})%"
    f"%CEL({_FOUND}['{_OF_TEAMS}'][request.headers['{TEAM_HEADER}']])%"
    f"%CEL({_FOUND}['{_OF_KEYS}'][request.headers['{KEY_HEADER}']])%"
)


def with_words(settings: Json, endpoint: EndpointRoute) -> Json:
    """Return the settings of an endpoint's routes, with what Envoy may have to say of it."""
    words = _words(endpoint)
    if not words:
        return settings
    held = settings.get("metadata", {}).get("filter_metadata", {})
    return {**settings, "metadata": {"filter_metadata": {**held, **words}}}


def body_words(most: int) -> Json:
    """Return the metadata of a route that takes bodies of at most `most` bytes."""
    return {"metadata": {"filter_metadata": {_LIMITS: {_BODY: size_words(most)}}}}


def size_words(size: int) -> str:
    """Write a number of bytes exactly, and for people: `4,194,304 bytes (4 MiB)`."""
    if size % _MB == 0:
        return f"{size:,} bytes ({size // _MB} MB)"
    return f"{size:,} bytes ({round(size / _MIB, 2):g} MiB)"


def _words(endpoint: EndpointRoute) -> Json:
    limits = [each for each in endpoint.policy.limits if each.requests_per_minute is not None]
    # A limit of one team or key is nobody else's concern.
    everybody = [each for each in limits if each.team is None and each.key is None]
    found: dict[str, dict[str, str]] = {}
    text = _several(endpoint, limits) + "".join(map(_limit, everybody))
    if text:
        found[_LIMITS] = {_EVERYBODY: text}
    for place, field in ((_OF_TEAMS, "team"), (_OF_KEYS, "key")):
        for limit in limits:
            name = getattr(limit, field)
            if name is not None:
                texts = found.setdefault(place, {})
                texts[name] = texts.get(name, "") + _limit(limit)
    most = endpoint.policy.max_body
    if endpoint.protocol == "open-inference" and most != TrafficPolicy().max_body:
        found.setdefault(_LIMITS, {})[_BODY] = size_words(most)
    return found


def _several(endpoint: EndpointRoute, limits: Sequence[Limit]) -> str:
    """Say how to tell which of several limits is used up: Envoy has that in headers only."""
    if len(limits) <= 1:
        return ""
    header = "x-ratelimit-limit"
    if endpoint.protocol == "openai":
        header += "-requests"
    return f"one of these, whose number `{header}` has: "


def _limit(limit: Limit) -> str:
    """Write a limit; its end parts it from what follows."""
    who = "everybody together"
    if limit.team is not None:
        who = f"team {limit.team}"
    elif limit.key is not None:
        who = f"key {limit.key}"
    elif limit.each is not None:
        who = f"each {limit.each}"
    return f"{who} {limit.requests_per_minute:,}; "
