"""What an endpoint's file shows by itself that no Plinth serves: runtimes, protocols, addresses.

The control plane asks it before anything else, and `plinth plan` where no control plane answers, so
that both refuse in the same words.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from plinth.domain.address import check_not_ourselves, check_written
from plinth.domain.workload import Endpoint, EndpointDeployment, ServedDeployment
from plinth.kit.errors import Invalid
from plinth.kit.excerpt import excerpt

CallersProtocol = Literal["open-inference", "openai", "flow"]


def check_file(
    endpoint: Endpoint,
    speaks: Mapping[str, CallersProtocol],
    *,
    port: int | None = None,
    allow_private: bool = False,
) -> None:
    """Raise Invalid for a runtime that there is not, mixed protocols, or a refused address.

    `speaks`: what callers of each runtime speak. `port`: the gateway's, None where it is not known.
    `allow_private`: whether addresses of the own network are allowed.
    """
    deployments = endpoint.by_name()
    for name, one in deployments.items():
        check_runtime(one, speaks, field_of(endpoint, name, "runtime"))
    check_protocols(endpoint, speaks)
    for name, one in deployments.items():
        if one.external is None:
            continue
        where, url = field_of(endpoint, name, "external.url"), one.external.url
        if port is not None:
            check_not_ourselves(url, port, where=where)
        if not allow_private:
            check_written(url, where=where, is_secret=one.external.secret is not None)


def check_runtime(
    one: EndpointDeployment, speaks: Mapping[str, CallersProtocol], field: str = "runtime"
) -> None:
    """Raise Invalid when there is no runtime of the name that the file gives in `field`."""
    known = sorted(name for name, spoken in speaks.items() if spoken != "flow")
    if one.runtime not in known:
        raise Invalid(f"`{field}` is `{excerpt(one.runtime)}`; there are {', '.join(known)}")


def check_protocols(endpoint: Endpoint, speaks: Mapping[str, CallersProtocol]) -> None:
    """Raise Invalid unless all deployments can answer the same requests."""
    spoken = {name: spoken_by(one, speaks) for name, one in endpoint.by_name().items()}
    if len(set(spoken.values())) > 1:
        said = ", ".join(f"`{name}` speaks `{protocol}`" for name, protocol in spoken.items())
        raise Invalid(
            f"callers of `{endpoint.name}` could not tell what to send: {said}",
            hint="give each protocol an endpoint of its own; `openai` and `azure-openai` go "
            "together",
            code="mixed_protocols",
        )


def spoken_by(one: ServedDeployment, speaks: Mapping[str, CallersProtocol]) -> CallersProtocol:
    """Return what callers of one deployment speak; OpenAI and Azure OpenAI are translated."""
    if one.external is not None:
        return "open-inference" if one.external.protocol == "open-inference" else "openai"
    return speaks.get(one.runtime, "open-inference")


def field_of(endpoint: Endpoint, name: str, field: str) -> str:
    """Return the path in the file of a field of one deployment."""
    return f"deployments.{name}.{field}" if endpoint.deployments else field
