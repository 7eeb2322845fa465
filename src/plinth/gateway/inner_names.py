"""By which names requests find their way inside Envoy, from one listener to another.

A request that goes to an inner listener has one of these as its `:authority`, and finds its virtual
host by it. Envoy sets it for each attempt, from the server that the attempt goes to. None of them
can be the id of a deployment: those have at most one dot.
"""

from __future__ import annotations

# The listeners that only this Envoy itself reaches. They never change while it runs, so that
# streams through them last; what changes are the routes, which they share.
INNER = "inner"
SHADOW = "shadow"
PAIRS = "pairs"
# The header of an answer that no server gave, with the reason. What a server of ours sends under
# this name is taken off: who answers is charged.
UNSERVED_HEADER = "x-plinth-unserved"


def valve_host(deployment_id: str) -> str:
    """Return the host of the valve before a deployment from which requests spill."""
    return f"valve.to.{deployment_id}"


def shadow_host(deployment_id: str) -> str:
    """Return the host that answers copies of requests."""
    return f"shadow.to.{deployment_id}"


def pair_host(deployment_id: str) -> str:
    """Return the host of requests whose answers are kept, to be compared with the copies'."""
    return f"pair.to.{deployment_id}"


def provider_cluster(deployment_id: str) -> str:
    """Return the cluster of the server elsewhere that stands behind an external deployment."""
    return f"external:{deployment_id}"


def bounded_cluster(deployment_id: str) -> str:
    """Return the cluster behind a valve: the same servers, with the valve's limit."""
    return f"bounded:{deployment_id}"


def valve_cluster(deployment_id: str) -> str:
    """Return the cluster that is the valve itself."""
    return f"valve:{deployment_id}"


def rate_host(deployment_id: str) -> str:
    """Return the host behind a valve that counts the requests of a minute."""
    return f"rate.to.{deployment_id}"


def rate_cluster(deployment_id: str) -> str:
    """Return the cluster of that host, which takes as many requests at once as its valve does."""
    return f"rate:{deployment_id}"
