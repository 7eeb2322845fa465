"""The listeners that only Envoy itself reaches, and the routes that they share.

Gates and providers (`inner`), copies of requests (`shadow`), requests whose answers are kept
(`pairs`). Nothing listens anywhere: no process of the machine can go past what the gateway checks,
nor spend a provider's money. The listeners never change while Envoy runs, since a listener that
changes ends its streams; what changes are the routes.
"""

from __future__ import annotations

from pathlib import Path

from plinth.domain.traffic import Deployment, EndpointRoute
from plinth.gateway.addresses import PRIVATE_POLICY
from plinth.gateway.envoy_types import LISTENER, ROUTES, Json, config, file_source, header, typed
from plinth.gateway.external import body_filter, no_bodies, provider_route, query_filter
from plinth.gateway.inner_names import (
    INNER,
    PAIRS,
    SHADOW,
    UNSERVED_HEADER,
    provider_cluster,
)
from plinth.gateway.listener import LOG_FIELDS
from plinth.gateway.names import ENDPOINT_ROUTE
from plinth.gateway.openai_filter import rename_model_filter, usage_filters
from plinth.gateway.shadow import OWNER_FIELD, shadow_hosts, tap
from plinth.gateway.spill import gate_hosts, spill_filters, watch
from plinth.gateway.state import GatewayState

STAT_PREFIX = "inner"
ROUTE_CONFIGURATION = "inner"
SHADOW_LOG = "shadow.log"
# More than callers may send, since Envoy adds some.
_LARGEST_HEADERS_KIB = 96
_MOST_HEADERS = 200
_MANAGER = "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"


def inner_listeners(state: GatewayState) -> list[Json]:
    """Return the three listeners; they are there whether or not anything needs them."""
    shadow_log = str(Path(state.access_log).with_name(SHADOW_LOG))
    providers = [query_filter(), *spill_filters(), body_filter(), rename_model_filter()]
    return [
        _listener(INNER, state, providers),
        _listener(SHADOW, state, [tap(state.folder, SHADOW), *usage_filters()], log=shadow_log),
        _listener(PAIRS, state, [tap(state.folder, PAIRS)]),
    ]


def inner_routes(state: GatewayState) -> list[Json]:
    """Return their one route configuration, as the list of one that Envoy's files hold."""
    hosts: dict[str, Json] = {}
    for endpoint in state.endpoints:
        # Those that serve come last, as everywhere.
        for deployment in (*endpoint.candidates, *endpoint.deployments):
            if deployment.external is not None:
                hosts[deployment.id] = _provider_host(endpoint, deployment)
        for each in (*gate_hosts(endpoint), *shadow_hosts(endpoint)):
            hosts[each["name"]] = each
    found = [hosts[name] for name in sorted(hosts)]
    configuration = {
        "@type": ROUTES,
        "name": ROUTE_CONFIGURATION,
        "virtual_hosts": found,
        "typed_per_filter_config": no_bodies(),
    }
    return [configuration]


def _provider_host(endpoint: EndpointRoute, deployment: Deployment) -> Json:
    name = f"{ENDPOINT_ROUTE}{endpoint.name}"
    route = provider_route(name, deployment, endpoint, provider_cluster(deployment.id))
    settings = {**route["typed_per_filter_config"], **watch(provider=deployment.id)}
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
        "server_header_transformation": "PASS_THROUGH",
        "local_reply_config": {"mappers": _own_answers()},
    }
    if log is not None:
        fields = {**LOG_FIELDS, "owner": OWNER_FIELD}
        manager["access_log"] = [
            typed(
                "usage",
                "extensions.access_loggers.file.v3.FileAccessLog",
                path=log,
                log_format={"json_format": fields},
            )
        ]
    return {
        "@type": LISTENER,
        "name": name,
        "internal_listener": {},
        "filter_chains": [{"filters": [typed(name, _MANAGER, **manager)]}],
    }


def _own_answers() -> list[Json]:
    """Say in every answer of Envoy's own why no server gave it, and never blame the caller's key.

    The first that fits is taken.
    """
    no_credential = _answer(
        "response.code_details == 'failed_to_inject_credential'",
        503,
        "the credential of `%ROUTE_NAME%` has not reached the gateway",
        "the operator of the endpoint can set the secret; `plinth status` shows what runs",
    )
    private = _answer(
        f"response.code_details == 'rbac_access_denied_matched_policy[{PRIVATE_POLICY}]'",
        502,
        "the server behind `%ROUTE_NAME%` has an address of this machine or its network",
        "the operator of Plinth can allow it: `allow_private_upstreams`",
    )
    others = _answer(
        "true",
        None,
        "the server behind `%ROUTE_NAME%` does not answer (%RESPONSE_FLAGS%)",
        "try again; `plinth status` shows what runs",
    )
    return [no_credential, private, others]


def _answer(condition: str, status: int | None, message: str, hint: str) -> Json:
    matcher = typed(
        "why", "extensions.access_loggers.filters.cel.v3.ExpressionFilter", expression=condition
    )
    body = {"error": {"code": "unavailable", "message": message, "hint": hint}}
    why = {**header(UNSERVED_HEADER, "%RESPONSE_CODE_DETAILS%"), "append_action": "ADD_IF_ABSENT"}
    return {
        "filter": {"extension_filter": matcher},
        "headers_to_add": [why],
        "body_format_override": {"json_format": body, "content_type": "application/json"},
        **({} if status is None else {"status_code": status}),
    }
