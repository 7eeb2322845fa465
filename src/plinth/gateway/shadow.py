"""Copies of requests, for deployments that are tried out: nobody waits for their answers.

Copies go to an inner listener with a log of its own, so that they are metered to the endpoint's
team. Of some requests, told by their id, both answers are kept: the copy's, and the one that the
caller got, for which the request takes its way through an inner listener too. Envoy writes them as
files into a folder; `prune` keeps their number low, `pairs` reads them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plinth.domain.traffic import Deployment, EndpointRoute
from plinth.gateway.envoy_types import Json, typed
from plinth.gateway.inner_names import PAIRS, SHADOW, UNSERVED_HEADER, pair_host, shadow_host
from plinth.gateway.names import ENDPOINT_ROUTE, deployment_cluster, shadow_cluster
from plinth.gateway.spill import has_way, inner_cluster

# One request of 64, told by the first characters of its random id.
SAMPLED = r"0[0-3][0-9a-f-]*"
# The route metadata by which a copy's line in the log says who is charged for it.
NAMESPACE, OWNER = "plinth", "owner"
OWNER_FIELD = f"%METADATA(ROUTE:{NAMESPACE}:{OWNER})%"
MOST_BYTES = 64 * 1024
MOST_FILES = 400
_TIMEOUT_S = 600.0
_WHOLE = 1_000_000


def mirror_policy(deployment_id: str, percent: float) -> Json:
    """Return the setting of a route that sends copies of `percent` of its requests."""
    return {
        "cluster": shadow_cluster(deployment_id),
        "host_rewrite_literal": shadow_host(deployment_id),
        "disable_shadow_host_suffix_append": True,
        "runtime_fraction": {
            "default_value": {
                "numerator": round(percent / 100 * _WHOLE),
                "denominator": "MILLION",
            }
        },
    }


def pair_cluster(deployment_id: str) -> str:
    """Return the cluster that asks a deployment and keeps what it answers."""
    return f"pair:{deployment_id}"


def paired(endpoint: EndpointRoute) -> Deployment | None:
    """Return whose answers are compared with the copies'.

    None without copies, and where a request may be answered by one of several: who of them did is
    then told by nothing that is kept.
    """
    shares = endpoint.shares()
    if not mirrored(endpoint) or len(shares) != 1 or has_way(endpoint):
        return None
    primary = shares[0][0]
    return primary if _is_there(primary) else None


def mirrored(endpoint: EndpointRoute) -> list[Deployment]:
    """Return the ready deployments that get copies."""
    found = (endpoint.find(name) for name in endpoint.policy.mirror)
    return [each for each in found if each is not None and _is_there(each)]


def _is_there(deployment: Deployment) -> bool:
    return bool(deployment.upstreams) or deployment.external is not None


def sampled_match() -> Json:
    """Return the condition of the requests whose answers are kept, for a route's headers."""
    return {"name": "x-request-id", "string_match": {"safe_regex": {"regex": SAMPLED}}}


def shadow_clusters(endpoint: EndpointRoute) -> list[Json]:
    """Return the clusters of the listeners for copies, and for what they are compared with."""
    found = [
        inner_cluster(shadow_cluster(each.id), SHADOW, shadow_host(each.id), each.id)
        for each in mirrored(endpoint)
    ]
    primary = paired(endpoint)
    if primary is not None:
        found.append(
            inner_cluster(pair_cluster(primary.id), PAIRS, pair_host(primary.id), primary.id)
        )
    return found


def shadow_hosts(endpoint: EndpointRoute) -> list[Json]:
    """Return the hosts of both listeners."""
    found = [_host(shadow_host(each.id), endpoint, each) for each in mirrored(endpoint)]
    primary = paired(endpoint)
    if primary is not None:
        found.append(_host(pair_host(primary.id), endpoint, primary))
    return found


def _host(name: str, endpoint: EndpointRoute, deployment: Deployment) -> Json:
    route_name = f"{ENDPOINT_ROUTE}{endpoint.name}"
    # A model elsewhere is one listener further: Envoy writes down a request as it left, and what
    # leaves there carries the provider's credential.
    to = {"cluster": deployment_cluster(deployment.id), "auto_host_rewrite": True}
    route: Json = {"name": route_name, "match": {"prefix": "/"}, "route": to}
    if deployment.external is None:
        route["response_headers_to_remove"] = [UNSERVED_HEADER]
    # Nobody would end a copy that never ends.
    timeout_s = endpoint.policy.timeouts.request or _TIMEOUT_S
    route["route"]["timeout"] = f"{timeout_s:g}s"
    route["metadata"] = {"filter_metadata": {NAMESPACE: {OWNER: endpoint.team}}}
    return {"name": name, "domains": [name], "routes": [route]}


def tap(folder: str, kind: str) -> Json:
    """Return the filter that writes sampled requests and their answers as `KIND_*.json`."""
    sink = {
        "format": "JSON_BODY_AS_STRING",
        "file_per_tap": {"path_prefix": f"{folder}/{PAIRS}/{kind}"},
    }
    limits = {"max_buffered_rx_bytes": MOST_BYTES, "max_buffered_tx_bytes": MOST_BYTES}
    static = {
        "match": {"http_request_headers_match": {"headers": [sampled_match()]}},
        "output_config": {**limits, "sinks": [sink]},
    }
    kind_of = "extensions.filters.http.tap.v3.Tap"
    return typed("plinth.tap", kind_of, common_config={"static_config": static})


@dataclass(frozen=True, slots=True)
class Said:
    """What a deployment answered; `is_cut`: only the first `MOST_BYTES` are here."""

    status: int
    body: str
    is_cut: bool


@dataclass(frozen=True, slots=True)
class Pair:
    """One request with both answers; `path` is the request's as it went to the deployment."""

    request_id: str
    path: str
    request: str
    answer: Said
    shadow: Said


def pairs(gateway: Path) -> list[Pair]:
    """Return the pairs that are kept in the gateway's folder, by the request's id.

    What has no counterpart (yet), or is half written, is left out.
    """
    answers, shadows = (dict(_read(gateway / PAIRS, kind)) for kind in (PAIRS, SHADOW))
    return [
        Pair(request_id, path, request, said, shadows[request_id][2])
        for request_id, (path, request, said) in sorted(answers.items())
        if request_id in shadows
    ]


def prune(gateway: Path, most: int = MOST_FILES) -> int:
    """Remove the oldest of what is kept, until `most` files are left; return how many went."""
    aged = []
    for path in (gateway / PAIRS).glob("*.json"):
        try:
            aged.append((path.stat().st_mtime_ns, path))
        except FileNotFoundError:
            continue
    gone = sorted(aged)[: max(0, len(aged) - most)]
    for _, path in gone:
        path.unlink(missing_ok=True)
    return len(gone)


def _read(folder: Path, kind: str) -> Iterator[tuple[str, tuple[str, str, Said]]]:
    for path in folder.glob(f"{kind}_*.json"):
        try:
            trace: Any = json.loads(path.read_bytes())["http_buffered_trace"]
            asked, answered = trace["request"], trace["response"]
            headers = {each["key"]: each["value"] for each in asked["headers"]}
            statuses = [each["value"] for each in answered["headers"] if each["key"] == ":status"]
            body = answered.get("body") or {}
            said = Said(int(statuses[0]), _text(body), bool(body.get("truncated")))
            found = headers[":path"], _text(asked.get("body") or {}), said
            yield headers["x-request-id"], found
        except (OSError, ValueError, KeyError, TypeError, IndexError):
            continue


def _text(body: dict[str, Any]) -> str:
    return str(body.get("as_string", ""))
