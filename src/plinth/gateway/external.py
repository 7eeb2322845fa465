"""Models that somebody else serves: where they stand, what they are told, how they call things.

A request reaches the provider by a route straight to its cluster, in an inner listener: what the
cluster does to a request (take the caller's key off, put the credential on, refuse an address)
Envoy does only for the cluster that a route names, not for a member of a composite one.
"""

from __future__ import annotations

import ipaddress
from typing import Any
from urllib.parse import quote, urlsplit

from plinth.domain.serving import External
from plinth.domain.traffic import Deployment, EndpointRoute
from plinth.gateway.addresses import refuse_metadata, refuse_private
from plinth.gateway.cluster import cluster, http, servers
from plinth.gateway.credentials import injector
from plinth.gateway.envoy_types import Json, config, typed
from plinth.gateway.identity import KEY_HEADERS
from plinth.gateway.openai_filter import rename_model
from plinth.gateway.state import GatewayState
from plinth.gateway.trust import authorities
from plinth.gateway.way_back import marking

DEFAULT_API_VERSION = "2024-10-21"
QUERY_FILTER, BODY_FILTER = "plinth.query", "plinth.body"
ESCAPES_FILTER, ESCAPES_POLICY = "plinth.escapes", "escaped-query"
# Envoy writes a query anew without its escapes: `%26` would begin another parameter.
_ESCAPED_QUERY = r"[^?]*\?.*%.*"
# A body in which the model is renamed is held whole; a larger one is refused (413).
_MOST_BODY = 17 * 2**20
_BUFFER = "extensions.filters.http.buffer.v3"
_RBAC = "extensions.filters.http.rbac.v3"
_MUTATION = "extensions.filters.http.header_mutation.v3"
# Providers close what is idle for a minute or more; we are first.
_IDLE = "30s"
_CONNECT = "5s"
_HEALTH_TIMEOUT_S = 5.0
_PORTS = {"https": 443, "http": 80}
# Who we are to the provider concerns nobody else; and what it says to a browser, or where else to
# ask, it would say in our name: some clients send their key along, and nothing there is ours.
_PRIVATE_ANSWERS = (
    *("set-cookie", "openai-organization", "openai-project"),
    *("location", "refresh", "alt-svc", "clear-site-data", "strict-transport-security"),
    *("access-control-allow-origin", "access-control-allow-credentials"),
)


def provider(
    name: str, deployment: Deployment, endpoint: EndpointRoute, state: GatewayState, **more: Any
) -> Json:
    """Return the cluster `name` of an external deployment's server."""
    external = _external(deployment)
    parts = urlsplit(external.url)
    host, port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
    address = {"socket_address": {"address": host, "port_value": port}}
    found: Json = {"connect_timeout": _CONNECT, **_names(host)}
    if parts.scheme == "https":
        found["transport_socket"] = _tls(host)
    health = endpoint.policy.health
    if health is not None:
        found["health_checks"] = [_health_check(health.path, health.interval, parts.netloc)]
        # Else Envoy asks a place of which all are ill as if all were well.
        found["common_lb_config"] = {"healthy_panic_threshold": {"value": 0}}
    return cluster(
        name,
        servers([address], deployment.id),
        idle=_IDLE,
        **{
            **found,
            "typed_extension_protocol_options": http(_IDLE, *_filters(deployment, state)),
            **more,
        },
    )


def provider_route(name: str, deployment: Deployment, endpoint: EndpointRoute, to: str) -> Json:
    """Return the route of an inner listener that says to the provider what callers said to us.

    `to`: the cluster. The query stays, but for the version of Azure's API, which is the provider's;
    one with escapes is refused.
    """
    external = _external(deployment)
    pattern, substitution = _path(external, endpoint.name)
    route: Json = {
        "name": name,
        "match": {"prefix": "/"},
        "route": {
            "cluster": to,
            "timeout": "0s",
            "host_rewrite_literal": urlsplit(external.url).netloc,
            "regex_rewrite": {"pattern": {"regex": pattern}, "substitution": substitution},
        },
        "response_headers_to_remove": list(_PRIVATE_ANSWERS),
        "typed_per_filter_config": {QUERY_FILTER: _query(external), ESCAPES_FILTER: _no_escapes()},
    }
    if external.protocol != "open-inference" and (external.model or endpoint.name) != endpoint.name:
        renamed = rename_model(external.model or endpoint.name)
        buffer = {"max_request_bytes": _MOST_BODY}
        settings = {
            **route["typed_per_filter_config"],
            **renamed.pop("typed_per_filter_config"),
            BODY_FILTER: config(f"{_BUFFER}.BufferPerRoute", buffer=buffer),
        }
        route |= {**renamed, "typed_per_filter_config": settings}
    return route


def query_filters() -> list[Json]:
    """Return the filters by which a route looks at the query, and changes it."""
    check = {**typed(ESCAPES_FILTER, f"{_RBAC}.RBAC"), "disabled": True}
    return [check, typed(QUERY_FILTER, f"{_MUTATION}.HeaderMutation")]


def body_filter() -> Json:
    """Return the filter that holds a body whole, where a route renames the model in it."""
    return typed(BODY_FILTER, f"{_BUFFER}.Buffer", max_request_bytes=1)


def no_bodies() -> Json:
    """Return the settings, for all routes, that hold no body."""
    return {BODY_FILTER: config(f"{_BUFFER}.BufferPerRoute", disabled=True)}


def _external(deployment: Deployment) -> External:
    assert deployment.external is not None, "only an external deployment has a provider"
    return deployment.external


def _names(host: str) -> Json:
    """Say how the server is found: a name is looked up again and again, an address is not."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return {
            "type": "LOGICAL_DNS",
            "lb_policy": "ROUND_ROBIN",
            "dns_lookup_family": "V4_PREFERRED",
            "respect_dns_ttl": True,
            # A name that nobody knows must not hold up the others.
            "wait_for_warm_on_init": False,
        }
    return {}


def _tls(host: str) -> Json:
    """Speak TLS with nobody but `host`, as the machine's authorities know it."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        name: Json = {"sni": host}
        expected = {"san_type": "DNS", "matcher": {"exact": host}}
    else:
        name = {}
        expected = {"san_type": "IP_ADDRESS", "matcher": {"exact": str(address)}}
    context = {
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
        "alpn_protocols": ["http/1.1"],
        "validation_context": {
            "trusted_ca": {"filename": authorities()},
            "match_typed_subject_alt_names": [expected],
        },
    }
    kind = "extensions.transport_sockets.tls.v3.UpstreamTlsContext"
    return typed("envoy.transport_sockets.tls", kind, **name, common_tls_context=context)


def _health_check(path: str, interval_s: float, authority: str) -> Json:
    interval = f"{interval_s:g}s"
    return {
        "timeout": f"{min(interval_s, _HEALTH_TIMEOUT_S):g}s",
        "interval": interval,
        "no_traffic_interval": interval,
        "unhealthy_threshold": 2,
        "healthy_threshold": 1,
        "http_health_check": {"path": path, "host": authority},
    }


def _filters(deployment: Deployment, state: GatewayState) -> list[Json]:
    external = _external(deployment)
    addresses = refuse_metadata() if state.allow_private_upstreams else refuse_private()
    found = [_tidy(state.mark), addresses]
    if external.secret is not None:
        is_azure = external.protocol == "azure-openai"
        header, prefix = ("api-key", "") if is_azure else ("authorization", "Bearer ")
        found.append(injector(state.credentials, deployment.id, header=header, prefix=prefix))
    return found


def _tidy(mark: str) -> Json:
    """Take off what concerns the provider nothing: keys, cookies, who asks and from where."""
    marks = [marking(mark)] if mark else []
    ours = [
        {"remove_on_match": {"key_matcher": {"prefix": prefix}}}
        for prefix in ("x-plinth-", "x-envoy-", "x-forwarded-")
    ]
    keys = [{"remove": each} for each in (*KEY_HEADERS, "cookie")]
    mutations = {"request_mutations": [*keys, *ours, *marks], "response_mutations": ours[:2]}
    return typed("plinth.tidy", f"{_MUTATION}.HeaderMutation", mutations=mutations)


def _path(external: External, endpoint: str) -> tuple[str, str]:
    """Return the pattern of our paths, and what they are called there."""
    base = urlsplit(external.url).path
    model = quote(external.model or endpoint, safe="")
    if external.protocol == "azure-openai":
        return r"^/v1(/.*)$", rf"{base}/openai/deployments/{model}\1"
    if external.protocol == "openai":
        return r"^/v1(/.*)$", rf"{base}\1"
    return rf"^/v2/models/{endpoint}(/.*)?$", rf"{base}/v2/models/{model}\1"


def _no_escapes() -> Json:
    """Refuse a query with escapes: what it says there would be another than what callers said."""
    path = {"name": ":path", "string_match": {"safe_regex": {"regex": _ESCAPED_QUERY}}}
    policy = {"permissions": [{"header": path}], "principals": [{"any": True}]}
    rules = {"action": "DENY", "policies": {ESCAPES_POLICY: policy}}
    return config(f"{_RBAC}.RBACPerRoute", rbac={"rules": rules})


def _query(external: External) -> Json:
    """Set the version where Azure answers; take off the one that a caller of Azure's form sent."""
    change: Json = {"remove": "api-version"}
    if external.protocol == "azure-openai":
        record = {"key": "api-version", "value": external.api_version or DEFAULT_API_VERSION}
        change = {"append": {"record": record, "action": "OVERWRITE_IF_EXISTS_OR_ADD"}}
    mutations = {"query_parameter_mutations": [change]}
    return config(f"{_MUTATION}.HeaderMutationPerRoute", mutations=mutations)
