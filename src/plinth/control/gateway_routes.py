"""Which address of the gateway goes where, in words and numbers for people. Pure."""

from __future__ import annotations

from typing import Any

from plinth.domain.serving import Limit, TrafficPolicy
from plinth.domain.traffic import Deployment, EndpointRoute
from plinth.gateway.shadow import paired


def route_json(route: EndpointRoute) -> dict[str, Any]:
    """Return one endpoint: its addresses, who serves it as what, and its limits."""
    primary = paired(route)
    return {
        "endpoint": route.name,
        "team": route.team,
        "protocol": route.protocol,
        "addresses": list(_addresses(route)),
        "ready": bool(route.shares()),
        "deployments": [_deployment(route, each) for each in route.deployments],
        "candidates": [each.id for each in route.candidates],
        "mirror": dict(route.policy.mirror),
        # Whose answers are kept beside the copies'; None where nobody's are.
        "compared": primary.name if primary is not None else None,
        "limits": [_limit(each) for each in route.policy.limits],
        "callers": len(route.callers),
        "caller_teams": list(route.caller_teams),
        "max_body_bytes": route.policy.max_body,
        "timeout_s": route.policy.timeouts.request,
        "retries": route.policy.retries,
    }


def _addresses(route: EndpointRoute) -> tuple[str, ...]:
    if route.protocol == "openai":
        return (f"/v1 with model `{route.name}`", f"/openai/deployments/{route.name}")
    if route.protocol == "flow":
        return (f"/flows/{route.name}",)
    return (f"/v2/models/{route.name}",)


def _deployment(route: EndpointRoute, deployment: Deployment) -> dict[str, Any]:
    external = deployment.external
    return {
        "name": deployment.name,
        "id": deployment.id,
        "where": external.url if external else _here(len(deployment.upstreams)),
        "protocol": external.protocol if external else None,
        "model": external.model if external else None,
        "part": _part(route, deployment),
    }


def _here(replicas: int) -> str:
    return f"here, {replicas} replica{'' if replicas == 1 else 's'}"


def _part(route: EndpointRoute, deployment: Deployment) -> str:
    """Say what a deployment has of the traffic."""
    policy, name = route.policy, deployment.name
    parts = []
    weights = {each.id: weight for each, weight in route.shares()}
    if policy.capacity is not None and name in (policy.capacity.base, policy.capacity.burst):
        parts.append(_capacity(policy, name))
    elif name in policy.failover:
        parts.append(f"failover {policy.failover.index(name) + 1}")
    elif deployment.id in weights:
        # What is not ready has no share: those that are have all of it.
        parts.append(f"{100 * weights[deployment.id] / sum(weights.values()):.3g} %")
    if name in policy.mirror:
        parts.append(f"mirror {policy.mirror[name]:g} %")
    if name in policy.match:
        headers = ", ".join(f"{header}: {value}" for header, value in policy.match[name].items())
        parts.append(f"where {headers}")
    return "; ".join(parts) or "nothing"


def _capacity(policy: TrafficPolicy, name: str) -> str:
    capacity = policy.capacity
    if capacity is None or name == capacity.burst:
        return "burst"
    bounds = []
    if capacity.concurrency is not None:
        bounds.append(f"{capacity.concurrency:,} at once")
    if capacity.requests_per_minute is not None:
        bounds.append(f"{capacity.requests_per_minute:,} requests a minute")
    return f"base up to {' and '.join(bounds)}" if bounds else "base"


def _limit(limit: Limit) -> str:
    who = "everybody together"
    if limit.team is not None:
        who = f"team {limit.team}"
    elif limit.key is not None:
        who = f"key {limit.key}"
    elif limit.each is not None:
        who = f"each {limit.each}"
    counts = (("requests", limit.requests_per_minute), ("tokens", limit.tokens_per_minute))
    shown = " and ".join(
        f"{most:,} {what if most > 1 else what.removesuffix('s')}"
        for what, most in counts
        if most is not None
    )
    return f"{who}: {shown} a minute"
