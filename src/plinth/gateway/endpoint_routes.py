"""The routes of one endpoint: testers first, then everybody, as its traffic policy says.

`model_routes.py` puts them behind the address of the Open Inference Protocol, `openai_routes.py`
behind OpenAI's. Here nothing is known of either.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from plinth.domain.serving import DEFAULT_RETRIES
from plinth.domain.traffic import Deployment, EndpointRoute
from plinth.gateway import shadow, spill
from plinth.gateway.envoy_types import Json
from plinth.gateway.identity import KEY_HEADERS
from plinth.gateway.inner_names import UNSERVED_HEADER
from plinth.gateway.limits import limit_actions
from plinth.gateway.names import ENDPOINT_ROUTE, deployment_cluster, way_cluster
from plinth.gateway.places import LENGTH_HEADER
from plinth.gateway.route import UNSENT, anywhere, more_than, retry
from plinth.gateway.told import with_words

# A server that restarts is waited for: ten attempts bridge some seconds.
_BRIDGING = 10
_REQUEST_S = 60.0
_NO_SERVER = 503
_TOO_LARGE = 413


@dataclass(frozen=True, slots=True)
class Address:
    """Where callers ask for an endpoint.

    `match`: of each route. `settings`: further fields of each route. `filters`: its settings of
    filters. `most`: bytes of a body that were held before an endpoint was known; None where it is
    no route's affair. `inherited`: how often a request is tried where a route says nothing.
    `action`: what each route does otherwise than the endpoint's policy says.
    """

    match: Json
    settings: Json = field(default_factory=dict)
    filters: Json = field(default_factory=dict)
    most: int | None = None
    inherited: Json | None = None
    action: Json = field(default_factory=dict)


def endpoint_routes(endpoint: EndpointRoute, address: Address) -> list[Json]:
    """Return the routes below `address` in the order in which they are tried."""
    route = {
        "name": f"{ENDPOINT_ROUTE}{endpoint.name}",
        "match": address.match,
        **with_words(address.settings, endpoint),
        "typed_per_filter_config": address.filters,
    }
    shares = [(each, weight) for each, weight in endpoint.shares() if is_ready(each)]
    if not shares:
        message = f"endpoint `{endpoint.name}` has no ready deployment"
        return [{**route, "direct_response": _reply(_NO_SERVER, message)}]
    everybody = {**route, **_serving(endpoint, _target(endpoint, shares))}
    found = [*_testers(endpoint, route), *_pairs(endpoint, route), everybody]
    for each in found:
        each["route"] |= address.action
        if each["route"]["retry_policy"] == address.inherited:
            del each["route"]["retry_policy"]
        elif not _has_replicas(endpoint):
            each["route"]["retry_policy"] = anywhere(each["route"]["retry_policy"])
    return [*_too_large(endpoint, address, route), *found]


def usual_retry() -> Json:
    """Return how often a request is tried for an endpoint that says nothing else."""
    return retry(f"{UNSENT},reset,retriable-headers", times=_BRIDGING)


def _too_large(endpoint: EndpointRoute, address: Address, route: Json) -> list[Json]:
    """Refuse what was held but is more than the endpoint takes."""
    most = endpoint.policy.max_body
    if address.most is None or most >= address.most:
        return []
    message = f"endpoint `{endpoint.name}` takes bodies of at most {most} bytes"
    narrowed = _narrowed(route, more_than(LENGTH_HEADER, most))
    return [{**narrowed, "direct_response": _reply(_TOO_LARGE, message)}]


def is_ready(deployment: Deployment) -> bool:
    """Tell whether anything stands behind it."""
    return bool(deployment.upstreams) or deployment.external is not None


def _testers(endpoint: EndpointRoute, route: Json) -> list[Json]:
    """Route whoever sends the headers of one deployment to it, also where it has no share."""
    found = []
    for name, headers in endpoint.policy.match.items():
        deployment = endpoint.find(name)
        if deployment is None or not is_ready(deployment):
            continue
        wanted = [
            {"name": header, "string_match": {"exact": value}} for header, value in headers.items()
        ]
        target: Json = {"cluster": deployment_cluster(deployment.id)}
        found.append({**_narrowed(route, *wanted), **_serving(endpoint, target)})
    return found


def _pairs(endpoint: EndpointRoute, route: Json) -> list[Json]:
    """Route a sample of the requests where the answer is kept beside the shadow's."""
    primary = shadow.paired(endpoint)
    if primary is None:
        return []
    target: Json = {"cluster": shadow.pair_cluster(primary.id)}
    sampled = {"name": "x-request-id", "string_match": {"safe_regex": {"regex": shadow.SAMPLED}}}
    return [{**_narrowed(route, sampled), **_serving(endpoint, target)}]


def _narrowed(route: Json, *conditions: Json) -> Json:
    headers = [*route["match"].get("headers", []), *conditions]
    return {**route, "match": {**route["match"], "headers": headers}}


def _serving(endpoint: EndpointRoute, target: Json) -> Json:
    timeouts = endpoint.policy.timeouts
    action = {
        **target,
        "timeout": seconds(timeouts.request or _REQUEST_S),
        "idle_timeout": seconds(timeouts.idle),
        # Behind an external deployment the inner listener finds its host by this name.
        "auto_host_rewrite": True,
        "retry_policy": _retry(endpoint),
    }
    if mirrors := _mirrors(endpoint):
        action["request_mirror_policies"] = mirrors
    if limits := limit_actions(endpoint):
        action["rate_limits"] = limits
    return {
        "route": action,
        # A model server runs its owner's code: it must not learn its callers' keys.
        "request_headers_to_remove": [*KEY_HEADERS, "cookie"],
        "response_headers_to_remove": [
            "set-cookie",
            # Who answers is charged: only an inner listener says that nobody did.
            *([UNSERVED_HEADER] if _is_hosted(endpoint, target) else ()),
            *([spill.NO_MORE_HEADER] if spill.has_way(endpoint) else ()),
        ],
    }


def _has_replicas(endpoint: EndpointRoute) -> bool:
    """Tell whether a request that is sent again could choose among servers."""
    return any(len(each.upstreams) > 1 for each in endpoint.deployments)


def _is_hosted(endpoint: EndpointRoute, target: Json) -> bool:
    """Tell whether servers of ours answer, with no inner listener between."""
    weighted = target.get("weighted_clusters", {}).get("clusters", [])
    names = {each["name"] for each in weighted} or {target["cluster"]}
    return names <= {
        deployment_cluster(each.id) for each in endpoint.deployments if each.external is None
    }


def _target(endpoint: EndpointRoute, shares: list[tuple[Deployment, int]]) -> Json:
    if len(endpoint.order()) > 1:
        return {"cluster": way_cluster(endpoint.name)}
    if len(shares) == 1:
        return {"cluster": deployment_cluster(shares[0][0].id)}
    weights = [
        {"name": deployment_cluster(deployment.id), "weight": weight}
        for deployment, weight in shares
    ]
    return {"weighted_clusters": {"clusters": weights}}


def _mirrors(endpoint: EndpointRoute) -> list[Json]:
    found = [
        (endpoint.find(name), percent) for name, percent in sorted(endpoint.policy.mirror.items())
    ]
    return [
        shadow.mirror_policy(deployment.id, percent)
        for deployment, percent in found
        if deployment is not None and is_ready(deployment)
    ]


def _retry(endpoint: EndpointRoute) -> Json:
    """Try again what may be tried again.

    To infer is to compute: doing it again changes nothing. So a request whose replica died before
    it answered goes to another one. A request that kills every server it meets meets them all.
    """
    if spill.has_way(endpoint):
        return spill.spill_policy(endpoint)
    policy = endpoint.policy
    is_hosted = all(deployment.external is None for deployment in endpoint.deployments)
    is_default = policy.retries == DEFAULT_RETRIES
    conditions = f"{UNSENT},reset,retriable-headers"
    again = retry(conditions, times=_BRIDGING if is_hosted and is_default else policy.retries)
    if not is_hosted:
        again["retry_on"] = f"{conditions},retriable-status-codes"
        again["retriable_status_codes"] = list(spill.STATUSES)
    if policy.timeouts.attempt is not None:
        # It ends with the answer's head: a stream that has begun is no failed attempt.
        again["per_try_timeout"] = seconds(policy.timeouts.attempt)
    return again


def seconds(value: float) -> str:
    """Return a time as Envoy writes it."""
    return f"{value:.3f}".rstrip("0").rstrip(".") + "s"


def _reply(status: int, message: str) -> dict[str, Any]:
    return {"status": status, "body": {"inline_string": message}}
