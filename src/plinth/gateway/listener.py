"""The one address of a node: how Envoy reads a request, and what it writes down about it."""

from __future__ import annotations

from plinth.gateway.envoy_types import LISTENER, Json, config, file_source, first_of, typed
from plinth.gateway.guard_filter import RESERVATION_FIELD, guard_filters
from plinth.gateway.identity import ID_HEADER, KEY_HEADER, PRINCIPAL_HEADER, TEAM_HEADER, filters
from plinth.gateway.limits import limits_source
from plinth.gateway.log_line import log_format
from plinth.gateway.openai_filter import REQUEST_METADATA, USAGE_METADATA, openai_filter
from plinth.gateway.openai_routes import whole_body_filter
from plinth.gateway.places import first_place
from plinth.gateway.replies import local_replies
from plinth.gateway.routes import ROUTE_CONFIGURATION
from plinth.gateway.state import GatewayState
from plinth.gateway.tracking_routes import WORKSPACE_HEADER

STAT_PREFIX = "gateway"
_MANAGER = "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
# What metering reads back, by the names of `log_line.py`; `access_log.py` is the other half.
LOG_FIELDS = {
    "id": first_of(
        {"command": "REQ", "param": "X-REQUEST-ID"}, {"command": "RESP", "param": ID_HEADER}
    ),
    "start": "%START_TIME(%s.%6f)%",
    "ms": "%DURATION%",
    "principal": f"%REQ({PRINCIPAL_HEADER})%",
    "team": f"%REQ({TEAM_HEADER})%",
    "key": f"%REQ({KEY_HEADER})%",
    # Which of its requests it is, as the caller says; believed of our own senders only.
    "line": "%REQ(IDEMPOTENCY-KEY):64%",
    "route": "%ROUTE_NAME%",
    "cluster": "%UPSTREAM_CLUSTER%",
    "upstream": "%UPSTREAM_HOST%",
    "method": "%REQ(:METHOD)%",
    "path": "%PATH(NQ:ORIG_OR_PATH):256%",
    "code": "%RESPONSE_CODE%",
    "details": "%RESPONSE_CODE_DETAILS%",
    "flags": "%RESPONSE_FLAGS%",
    "rx": "%BYTES_RECEIVED%",
    "tx": "%BYTES_SENT%",
    "attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
    # Who served it, also behind a cluster that tries several, and whether nobody did.
    "served": "%UPSTREAM_METADATA(plinth:deployment)%",
    "unserved": "%RESP(X-PLINTH-UNSERVED):64%",
    "first_ms": "%RESPONSE_DURATION%",
    # What our own filter read in the request and in its answer, each as one text of JSON.
    "asked": f"%DYNAMIC_METADATA({REQUEST_METADATA}:asked)%",
    "told": f"%DYNAMIC_METADATA({USAGE_METADATA}:told)%",
    "rid": RESERVATION_FIELD,
}


def listeners(state: GatewayState) -> list[Json]:
    """Return the one listener, on loopback."""
    listener = {
        "@type": LISTENER,
        "name": "gateway",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": state.port}},
        # Jobs run as the same user: with SO_REUSEPORT, Envoy's default, any of them could bind the
        # same port too, and the kernel would hand it a share of the requests with their keys.
        "enable_reuse_port": False,
        "filter_chains": [{"filters": [typed("gateway", _MANAGER, **_manager(state))]}],
    }
    return [listener]


def _manager(state: GatewayState) -> Json:
    return {
        "stat_prefix": STAT_PREFIX,
        "codec_type": "AUTO",
        **_reading(),
        "early_header_mutation_extensions": [_distrust()],
        "http_filters": [
            *_filters(state),
            typed(
                "envoy.filters.http.router",
                "extensions.filters.http.router.v3.Router",
                suppress_envoy_headers=True,
            ),
        ],
        "rds": {
            "route_config_name": ROUTE_CONFIGURATION,
            "config_source": file_source(state.folder, "rds"),
        },
        "local_reply_config": local_replies(),
        "access_log": [_access_log(state.access_log)],
    }


def _filters(state: GatewayState) -> list[Json]:
    """Return who calls, whether they may, what is asked for, and whether it is too much."""
    return [
        *filters(state.folder),
        # Behind the key: nobody without one has us hold and read a body.
        whole_body_filter(),
        openai_filter(),
        limits_source(state.folder),
        *(guard_filters() if state.is_guarded else ()),
    ]


def _reading() -> Json:
    """Read a path just as every server behind us will, and limit what is read."""
    return {
        "use_remote_address": True,
        "normalize_path": True,
        "merge_slashes": True,
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
        "common_http_protocol_options": {
            "idle_timeout": "3600s",
            # A server may read `x_plinth_team` as `x-plinth-team`.
            "headers_with_underscores_action": "REJECT_REQUEST",
        },
        "max_request_headers_kb": 32,
        "request_headers_timeout": "10s",
        "stream_idle_timeout": "300s",
        "server_header_transformation": "PASS_THROUGH",
        "request_id_extension": {
            "typed_config": config(
                "extensions.request_id.uuid.v3.UuidRequestIdConfig", pack_trace_reason=False
            )
        },
    }


def _distrust() -> Json:
    """Take off what only we may say, before anything reads it.

    `x-request-id` identifies usage: a client that repeated one would be charged once.
    `x-envoy-*` would let a client choose retries and time limits. `x-forwarded-*` say where a
    request came from: we say it. `proxy-authorization` is for us at most, and may hold a caller's
    key: no server behind us gets it.
    """
    return typed(
        "distrust",
        "extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation",
        mutations=[
            {"remove_on_match": {"key_matcher": {"prefix": "x-plinth-"}}},
            {"remove_on_match": {"key_matcher": {"prefix": "x-envoy-"}}},
            {"remove_on_match": {"key_matcher": {"prefix": "x-forwarded-"}}},
            {"remove": "forwarded"},
            {"remove": "proxy-authorization"},
            {"remove": WORKSPACE_HEADER},
            {"remove": "x-request-id"},
            first_place(),
        ],
    )


def _access_log(path: str) -> Json:
    return typed(
        "usage",
        "extensions.access_loggers.file.v3.FileAccessLog",
        path=path,
        log_format=log_format(LOG_FIELDS),
    )
