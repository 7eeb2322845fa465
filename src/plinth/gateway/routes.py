"""Where each address goes, and who may go there.

Everything that is not named here does not exist for callers. Routes carry the names by which the
access log tells endpoints apart.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from plinth.domain.traffic import Deployment, EndpointRoute
from plinth.gateway.clusters import CONTROL, TRACKING, deployment_cluster
from plinth.gateway.envoy_types import ROUTES, Json, header, typed
from plinth.gateway.identity import (
    HEALTH_PATH,
    ID_HEADER,
    TEAM_HEADER,
    allow_all,
    allow_only,
    allow_writers,
    refuse_keys,
)
from plinth.gateway.state import GatewayState, Writers

ROUTE_CONFIGURATION = "plinth"
ENDPOINT_ROUTE = "endpoint:"
CANDIDATE_ROUTE = "candidate:"
MODELS_PATH = "/v2/models"
CANDIDATES_PATH = "/internal/deployments"
KEY_HEADERS = ("authorization", "api-key", "x-api-key")
WORKSPACE_HEADER = "x-mlflow-workspace"
NOTHING_GRANTED = "this key may call nothing at this address"
NO_SUCH_ADDRESS = "there is nothing at this address"

_MODEL_TIMEOUT = "60s"
# What surely has not reached a server may be sent again, whatever it asks for.
_UNSENT = "connect-failure,refused-stream,reset-before-request"
# A model server that is still loading says so by this header: it has begun nothing. It is found
# by callers while a replica that ended is started again beside others that answer.
_NOT_LOADED = "x-plinth-not-loaded"
# What a job or a data scientist needs of MLflow. Workspaces, webhooks, gateway secrets, jobs and
# the assistant stay out of reach: they act for the whole server or call out of it.
_TRACKING_RESOURCES = (
    "artifacts",
    "datasets",
    "experiments",
    "logged-models",
    "metrics",
    "model-versions",
    "registered-models",
    "runs",
    "server-info",
    "traces",
)
_VERSIONS = ("2.0", "3.0")
# What MLflow is asked by POST although it only reads.
_TRACKING_QUESTIONS = (
    "/api/2.0/mlflow/artifacts/presigned-download-url",
    "/api/2.0/mlflow/experiments/search",
    "/api/2.0/mlflow/logged-models/search",
    "/api/2.0/mlflow/registered-models/get-latest-versions",
    "/api/2.0/mlflow/runs/search",
    "/api/3.0/mlflow/datasets/search",
    "/api/3.0/mlflow/traces/batchGetInfos",
    "/api/3.0/mlflow/traces/calculate-filter-correlation",
    "/api/3.0/mlflow/traces/metrics",
    "/api/3.0/mlflow/traces/search",
)
_ARTIFACT_RESOURCES = ("artifacts", "mpu", "presigned")
_TRACKING_PREFIXES = (
    *(f"/api/{version}/mlflow/{name}" for version in _VERSIONS for name in _TRACKING_RESOURCES),
    *(
        f"/{api}/2.0/mlflow-artifacts/{name}"
        for api in ("api", "ajax-api")
        for name in _ARTIFACT_RESOURCES
    ),
)
# Where MLflow can be changed. Patterns, because each route repeats who may, which grows with the
# teams; several, because Envoy refuses a pattern of more than 100 steps.
_TRACKING_CHANGES = (
    r"/api/2\.0/mlflow/(experiments|runs|traces|artifacts)(/.*)?",
    r"/api/2\.0/mlflow/(logged-models|model-versions|registered-models)(/.*)?",
    r"/api/3\.0/mlflow/(datasets|traces)(/.*)?",
    r"/(api|ajax-api)/2\.0/mlflow-artifacts/(artifacts|mpu)(/.*)?",
)


def routes(state: GatewayState) -> list[Json]:
    """Return the one route configuration, as the list of one that Envoy's files hold."""
    host = {
        "name": "plinth",
        "domains": ["*"],
        "routes": _routes(state),
        "retry_policy": _retry(f"{_UNSENT},retriable-headers"),
    }
    configuration = {
        "@type": ROUTES,
        "name": ROUTE_CONFIGURATION,
        "virtual_hosts": [host],
        "response_headers_to_add": [header(ID_HEADER, "%REQ(X-REQUEST-ID)%")],
        "typed_per_filter_config": refuse_keys(state.revoked),
    }
    return [configuration]


def _routes(state: GatewayState) -> list[Json]:
    endpoints = sorted(state.endpoints, key=lambda endpoint: endpoint.name)
    return [
        _answer("health", {"path": HEALTH_PATH}, 200, {"status": "ok"}),
        *_control_routes(),
        *(_endpoint_route(endpoint) for endpoint in endpoints),
        *(
            _candidate_route(endpoint, candidate, state.platform)
            for endpoint in endpoints
            for candidate in sorted(endpoint.candidates, key=lambda each: each.id)
        ),
        *_protocol_routes(),
        *_tracking_routes(state.writers),
        _refusal("endpoint", MODELS_PATH + "/"),
        _refusal("candidate", CANDIDATES_PATH),
        {
            "name": "nothing",
            "match": {"prefix": "/"},
            "direct_response": {"status": 404, "body": {"inline_string": NO_SUCH_ADDRESS}},
            "typed_per_filter_config": allow_all(),
        },
    ]


def _control_routes() -> list[Json]:
    """Route to the control plane: no time limit (it streams), and it is shown the key."""
    reads = {"headers": [_method("GET")]}
    route: Json = {
        "name": CONTROL,
        "match": {"path_separated_prefix": "/api/v1"},
        "route": _patient(CONTROL),
        "typed_per_filter_config": allow_all(),
    }
    # What only reads is asked again whatever happened: a restart of the control plane loses none.
    patient_read = {**_patient(CONTROL), "retry_policy": _retry(f"{_UNSENT},reset")}
    return [{**route, "match": {**route["match"], **reads}, "route": patient_read}, route]


def _tracking_routes(writers: Sequence[Writers]) -> list[Json]:
    """Route to MLflow: the team's workspace and nothing else. Whoever has a key of it may read."""
    reads, asks = {"headers": [_method("GET|HEAD")]}, {"headers": [_method("POST")]}
    reading: list[Json] = [
        *({"path_separated_prefix": prefix, **reads} for prefix in _TRACKING_PREFIXES),
        *({"path": path, **asks} for path in _TRACKING_QUESTIONS),
    ]
    changing: list[Json] = [{"safe_regex": {"regex": each}} for each in _TRACKING_CHANGES]
    return [
        *(_tracking_route(match, allow_all()) for match in reading),
        *(_tracking_route(match, allow_writers(writers)) for match in changing),
    ]


def _tracking_route(match: Json, permission: Json) -> Json:
    return {
        "name": TRACKING,
        "match": match,
        "route": {**_patient(TRACKING), "host_rewrite_literal": "localhost"},
        "request_headers_to_remove": list(KEY_HEADERS),
        "request_headers_to_add": [header(WORKSPACE_HEADER, f"%REQ({TEAM_HEADER})%")],
        "typed_per_filter_config": permission,
    }


def _method(pattern: str) -> Json:
    return {"name": ":method", "string_match": {"safe_regex": {"regex": pattern}}}


def _endpoint_route(endpoint: EndpointRoute) -> Json:
    route = {
        "name": f"{ENDPOINT_ROUTE}{endpoint.name}",
        "match": {"path_separated_prefix": f"{MODELS_PATH}/{endpoint.name}"},
        "typed_per_filter_config": allow_only(endpoint.callers, endpoint.caller_teams),
    }
    if endpoint.serving is None or not endpoint.serving.upstreams:
        message = f"endpoint `{endpoint.name}` has no ready deployment"
        return {**route, "direct_response": {"status": 503, "body": {"inline_string": message}}}
    # To infer is to compute: doing it again changes nothing. So a request whose replica died before
    # it answered goes to another one. A request that kills every server it meets meets them all.
    again = _retry(f"{_UNSENT},reset,retriable-headers")
    return {**route, **_to_deployment(endpoint.serving, retry_policy=again)}


def _candidate_route(endpoint: EndpointRoute, candidate: Deployment, platform: str) -> Json:
    """Route to a deployment that does not serve yet, for the platform to check it."""
    route = {
        "name": f"{CANDIDATE_ROUTE}{endpoint.name}",
        "match": {"path_separated_prefix": f"{CANDIDATES_PATH}/{candidate.id}/v2"},
        "typed_per_filter_config": allow_only((platform,), ()),
    }
    if not candidate.upstreams:
        message = f"deployment `{candidate.id}` has no replica"
        return {**route, "direct_response": {"status": 503, "body": {"inline_string": message}}}
    return {**route, **_to_deployment(candidate, prefix_rewrite="/v2")}


def _protocol_routes() -> list[Json]:
    """Answer what the Open Inference Protocol asks of the server as a whole."""
    about = {"name": "plinth", "version": "2", "extensions": []}
    return [
        _answer("v2", {"path": "/v2"}, 200, about),
        _answer("v2-live", {"path": "/v2/health/live"}, 200, {"live": True}),
        _answer("v2-ready", {"path": "/v2/health/ready"}, 200, {"ready": True}),
    ]


def _to_deployment(deployment: Deployment, **more: Any) -> Json:
    return {
        "route": {
            "cluster": deployment_cluster(deployment.id),
            "timeout": _MODEL_TIMEOUT,
            **more,
        },
        # A model server runs its owner's code: it must not learn its callers' keys.
        "request_headers_to_remove": list(KEY_HEADERS),
    }


def _refusal(name: str, prefix: str) -> Json:
    """Answer for what is absent just as for what is not granted: the same filter refuses both."""
    return {
        "name": name,
        "match": {"prefix": prefix},
        "direct_response": {"status": 403, "body": {"inline_string": NOTHING_GRANTED}},
        "typed_per_filter_config": allow_only((), ()),
    }


def _answer(name: str, match: Json, status: int, body: Json) -> Json:
    return {
        "name": name,
        "match": match,
        "direct_response": {"status": status, "body": {"inline_string": json.dumps(body)}},
        "response_headers_to_add": [header("content-type", "application/json")],
        "typed_per_filter_config": allow_all(),
    }


def _patient(cluster: str) -> Json:
    """Set no time limits: logs are followed for hours, artifacts take as long as they take."""
    return {"cluster": cluster, "timeout": "0s", "idle_timeout": "0s"}


def _retry(conditions: str) -> Json:
    """Several attempts with growing pauses, on another replica if there is one."""
    return {
        "retry_on": conditions,
        "retriable_headers": [{"name": _NOT_LOADED, "present_match": True}],
        "num_retries": 10,
        "retry_back_off": {"base_interval": "0.05s", "max_interval": "1s"},
        "retry_host_predicate": [
            typed(
                "envoy.retry_host_predicates.previous_hosts",
                "extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate",
            )
        ],
        "host_selection_retry_max_attempts": 3,
    }
