"""What an endpoint's file shows by itself that no Plinth serves: runtimes, protocols, addresses.

The control plane asks it before anything else, and `plinth plan` where no control plane answers, so
that both refuse in the same words.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from plinth.domain.address import check_not_ourselves, check_written
from plinth.domain.resources import ServerResources
from plinth.domain.serving import MOST_OPENAI_BODY
from plinth.domain.workload import Endpoint, EndpointDeployment, ServedDeployment
from plinth.kit.errors import Invalid
from plinth.kit.excerpt import excerpt
from plinth.kit.units import exact_bytes

CallersProtocol = Literal["open-inference", "openai", "flow"]


def check_file(
    endpoint: Endpoint,
    speaks: Mapping[str, CallersProtocol],
    *,
    port: int | None = None,
    allow_private: bool = False,
) -> None:
    """Raise Invalid for what no Plinth can do as the file says it; see the module.

    `speaks`: what callers of each runtime speak. `port`: the gateway's, None where it is not known.
    `allow_private`: whether addresses of the own network are allowed; a cloud's metadata never is.
    """
    deployments = endpoint.by_name()
    _check_elsewhere(endpoint)
    for name, one in deployments.items():
        check_runtime(one, speaks, field_of(endpoint, name, "runtime"))
    check_protocols(endpoint, speaks)
    _check_body(endpoint, speaks)
    for name, one in deployments.items():
        if one.external is None:
            continue
        where, url = field_of(endpoint, name, "external.url"), one.external.url
        if port is not None:
            check_not_ourselves(url, port, where=where)
        check_written(
            url,
            where=where,
            is_secret=one.external.secret is not None,
            allow_private=allow_private,
        )


def _check_elsewhere(endpoint: Endpoint) -> None:
    """Raise Invalid for what says how Plinth runs a model, where somebody else serves it."""
    usual = EndpointDeployment.model_fields
    deployments = endpoint.by_name()
    for name, one in deployments.items():
        if one.external is None:
            continue
        for field in ("runtime", "replicas"):
            value = getattr(one, field)
            if value != usual[field].default:
                _refuse_elsewhere(field_of(endpoint, name, field), f"`{excerpt(str(value))}`")
        if one.resources is not None:
            _refuse_elsewhere(field_of(endpoint, name, "resources"), "given")
    is_all = all(one.external is not None for one in deployments.values())
    if is_all and endpoint.resources != ServerResources():
        _refuse_elsewhere("resources", "given")


def _refuse_elsewhere(field: str, value: str) -> None:
    raise Invalid(
        f"`{field}` is {value}, but somebody else serves the model, and Plinth runs nothing",
        hint=f"leave `{field}` out, or name a `model` that Plinth serves",
    )


def _check_body(endpoint: Endpoint, speaks: Mapping[str, CallersProtocol]) -> None:
    """Raise Invalid for a larger body than is taken where the model's name is read from it."""
    spoken = {spoken_by(one, speaks) for one in endpoint.by_name().values()}
    if "openai" in spoken and endpoint.max_body > MOST_OPENAI_BODY:
        most = exact_bytes(MOST_OPENAI_BODY)
        raise Invalid(
            f"`max_body` is {exact_bytes(endpoint.max_body)}; at the addresses of OpenAI and Azure "
            f"a body has at most {most}",
            hint=f"write `max_body: {most}` or less; larger bodies reach Open Inference models",
        )


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
