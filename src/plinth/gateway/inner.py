"""The listeners that only Envoy itself reaches, and the routes that they share.

Valves and providers (`inner`), copies of requests (`shadow`), requests whose answers are kept
(`pairs`), and what verifies keys (`verifier.py`). Nothing listens anywhere: no process of the
machine can go past what the gateway checks, nor spend a provider's money. The listeners never
change while Envoy runs, since a listener that changes ends its streams; what changes are the
routes.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from plinth.domain.traffic import Deployment, EndpointRoute
from plinth.gateway.envoy_types import LISTENER, ROUTES, Json, config, file_source, typed
from plinth.gateway.external import body_filter, no_bodies, provider_route, query_filters
from plinth.gateway.inner_names import INNER, PAIRS, SHADOW, provider_cluster, valve_host
from plinth.gateway.listener import LOG_FIELDS
from plinth.gateway.log_line import log_format
from plinth.gateway.memory import Memory
from plinth.gateway.names import ENDPOINT_ROUTE
from plinth.gateway.openai_filter import openai_filter, usage_filters
from plinth.gateway.protobuf import Piece
from plinth.gateway.shadow import OWNER_FIELD, shadow_hosts, tap
from plinth.gateway.spill import others_after, spill_filters, valve_hosts, watch
from plinth.gateway.state import GatewayState
from plinth.gateway.unserved import inner_replies
from plinth.gateway.verifier import verifier_listener
from plinth.gateway.way_back import refusal

STAT_PREFIX = "inner"
ROUTE_CONFIGURATION = "inner"
SHADOW_LOG = "shadow.log"
# More than callers may send, since Envoy adds some.
_LARGEST_HEADERS_KIB = 96
_MOST_HEADERS = 200
# Each inner listener that an answer was cut off behind tells it on so much later. Without it an
# answer is lost that comes while the request is still being sent: what sends it meets a closed end.
_CLOSING = "0.100s"
_MANAGER = "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"


def inner_listeners(state: GatewayState) -> list[Json]:
    """Return the listeners; they are there whether or not anything needs them."""
    shadow_log = str(Path(state.access_log).with_name(SHADOW_LOG))
    providers = [*query_filters(), *spill_filters(), body_filter(), openai_filter()]
    return [
        _listener(INNER, state, providers),
        _listener(SHADOW, state, [tap(state.folder, SHADOW), *usage_filters()], log=shadow_log),
        _listener(PAIRS, state, [tap(state.folder, PAIRS)]),
        verifier_listener(state.folder),
    ]


def inner_routes(state: GatewayState, memory: Memory | None = None) -> list[Json]:
    """Return their one route configuration, as the list of one that Envoy's files hold."""
    memory = memory or Memory()
    hosts: dict[str, Json] = {}
    for endpoint in state.endpoints:
        hosts |= memory.recall("inner", endpoint, partial(_hosts, endpoint, state.mark))
    found = [hosts[name] for name in sorted(hosts)]
    configuration = {
        "@type": ROUTES,
        "name": ROUTE_CONFIGURATION,
        "virtual_hosts": found,
        "typed_per_filter_config": no_bodies(),
    }
    return [configuration]


def _hosts(endpoint: EndpointRoute, mark: str) -> dict[str, Json]:
    # Those that serve come last, as everywhere.
    found = [
        *(
            _provider_host(endpoint, deployment)
            for deployment in (*endpoint.candidates, *endpoint.deployments)
            if deployment.external is not None
        ),
        *valve_hosts(endpoint),
        *shadow_hosts(endpoint),
    ]
    outwards = {
        host
        for each in (*endpoint.candidates, *endpoint.deployments)
        if each.external is not None and mark
        for host in (each.id, valve_host(each.id))
    }
    for each in found:
        if each["name"] in outwards:
            each["routes"] = [refusal(f"{ENDPOINT_ROUTE}{endpoint.name}", mark), *each["routes"]]
    return {each["name"]: Piece(each) for each in found}


def _provider_host(endpoint: EndpointRoute, deployment: Deployment) -> Json:
    name = f"{ENDPOINT_ROUTE}{endpoint.name}"
    route = provider_route(name, deployment, endpoint, provider_cluster(deployment.id))
    watched = watch(provider=deployment, others=others_after(endpoint, deployment))
    settings = {**route["typed_per_filter_config"], **watched}
    route = {**route, "typed_per_filter_config": settings}
    return {"name": deployment.id, "domains": [deployment.id], "routes": [route]}


def _listener(name: str, state: GatewayState, filters: list[Json], log: str | None = None) -> Json:
    own = config("extensions.request_id.uuid.v3.UuidRequestIdConfig", pack_trace_reason=False)
    manager: Json = {
        "stat_prefix": STAT_PREFIX,
        "codec_type": "HTTP1",
        "rds": {
            "route_config_name": ROUTE_CONFIGURATION,
            "config_source": file_source(state.folder, INNER),
        },
        "http_filters": [
            *filters,
            typed(
                "envoy.filters.http.router",
                "extensions.filters.http.router.v3.Router",
                suppress_envoy_headers=True,
            ),
        ],
        # The request is known by the id that the caller got.
        "request_id_extension": {"typed_config": own},
        "generate_request_id": False,
        "preserve_external_request_id": True,
        "skip_xff_append": True,
        "max_request_headers_kb": _LARGEST_HEADERS_KIB,
        "common_http_protocol_options": {"max_headers_count": _MOST_HEADERS},
        # Who asked has limits of time for the whole.
        "stream_idle_timeout": "0s",
        "delayed_close_timeout": _CLOSING,
        "server_header_transformation": "PASS_THROUGH",
        "local_reply_config": {"mappers": inner_replies()},
    }
    if log is not None:
        fields = {**LOG_FIELDS, "owner": OWNER_FIELD}
        manager["access_log"] = [
            typed(
                "usage",
                "extensions.access_loggers.file.v3.FileAccessLog",
                path=log,
                log_format=log_format(fields),
            )
        ]
    return {
        "@type": LISTENER,
        "name": name,
        "internal_listener": {},
        "filter_chains": [{"filters": [typed(name, _MANAGER, **manager)]}],
    }
