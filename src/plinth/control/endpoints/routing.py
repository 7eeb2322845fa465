"""Which deployments of an endpoint callers are sent to, by what its rows say. Pure.

The gateway is told so (`control/gateway.py`), and the endpoint's reconciler waits until it is.
"""

from __future__ import annotations

from collections.abc import Mapping

from plinth.domain.endpoint_check import CallersProtocol, spoken_by
from plinth.domain.serving import TrafficPolicy
from plinth.domain.traffic import Deployment, EndpointRoute
from plinth.domain.workload import Served
from plinth.runtimes.runtime import Runtime
from plinth.store.endpoints import StoredEndpoint

# What holds at once although the shares of a new file do not hold yet.
_AT_ONCE = ("limits", "timeouts", "retries", "max_body", "health")


def external_id(endpoint: str, name: str) -> str:
    """Return the id of a deployment that somebody else serves; a run's id has no dot."""
    return f"{endpoint}.{name}"


def hosted_names(workload: Served) -> list[str]:
    """Return the names of the deployments that Plinth serves, in file order."""
    return [name for name, one in workload.by_name().items() if one.external is None]


def in_effect(endpoint: StoredEndpoint) -> Served:
    """Return the file whose deployments and shares hold: the one before, while it still does."""
    return endpoint.before or endpoint.workload


def policy_of(endpoint: StoredEndpoint) -> TrafficPolicy:
    """Return the policy that holds: limits and the like are always those of the new file."""
    policy = in_effect(endpoint).policy
    if endpoint.before is None:
        return policy
    new = endpoint.workload.policy
    return policy.model_copy(update={name: getattr(new, name) for name in _AT_ONCE})


def routed(endpoint: StoredEndpoint) -> dict[str, str]:
    """Return the ids of the deployments that callers may be sent to, by name, in file order."""
    return _routed(in_effect(endpoint), endpoint.serving) if endpoint.desired == "run" else {}


def wanted(endpoint: StoredEndpoint) -> dict[str, str]:
    """Return of the runs that serve those that one of the files in force names."""
    names = {*endpoint.workload.by_name(), *in_effect(endpoint).by_name()}
    return {name: run for name, run in endpoint.serving.items() if name in names}


def takes_traffic(workload: Served, serving: Mapping[str, str]) -> bool:
    """Tell whether anything is ready that the file sends requests to, given what serves."""
    ready = tuple(Deployment(id=id_, name=name) for name, id_ in _routed(workload, serving).items())
    route = EndpointRoute(
        name=workload.name, team="plinth", deployments=ready, policy=workload.policy
    )
    return bool(route.shares())


def protocol_of(workload: Served, runtimes: Mapping[str, Runtime]) -> CallersProtocol:
    """Return what an endpoint's callers speak; all its deployments speak the same."""
    known = speaks(runtimes)
    spoken = {spoken_by(one, known) for one in workload.by_name().values()}
    if "flow" in spoken:
        return "flow"
    return "openai" if "openai" in spoken else "open-inference"


def speaks(runtimes: Mapping[str, Runtime]) -> dict[str, CallersProtocol]:
    """Return what callers of each model server speak, by the name of its runtime."""
    spoken: dict[str, CallersProtocol] = {"flow": "flow", "openai": "openai"}
    return {
        name: spoken.get(runtime.protocol, "open-inference") for name, runtime in runtimes.items()
    }


def _routed(workload: Served, serving: Mapping[str, str]) -> dict[str, str]:
    found = {}
    for name, one in workload.by_name().items():
        if one.external is not None:
            found[name] = external_id(workload.name, name)
        elif name in serving:
            found[name] = serving[name]
    return found
