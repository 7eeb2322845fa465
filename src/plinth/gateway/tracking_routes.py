"""What of MLflow can be reached: for clients at the gateway's address, for people at its own host.

An allow-list. Workspaces, webhooks, gateway secrets, jobs and the assistant stay out of reach: they
act for the whole server or call out of it.
"""

from __future__ import annotations

from collections.abc import Sequence

from plinth.domain.access import workspace_of
from plinth.domain.traffic import TRACKING_HOST
from plinth.domain.web_page import MLFLOW, page_authority
from plinth.gateway.browser import own_page
from plinth.gateway.envoy_types import Json, header
from plinth.gateway.gate import allow_all, allow_writers
from plinth.gateway.identity import KEY_HEADERS, TEAM_HEADER
from plinth.gateway.names import TRACKING
from plinth.gateway.page_routes import sign_in_routes
from plinth.gateway.places import host_place
from plinth.gateway.route import UNSENT, answer, by_method, nothing, patient, retry
from plinth.gateway.state import GatewayState, Writers

WORKSPACE_HEADER = "x-mlflow-workspace"

# What a job or a data scientist needs of MLflow.
_RESOURCES = (
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
_QUESTIONS = (
    "2.0/mlflow/artifacts/presigned-download-url",
    "2.0/mlflow/experiments/search",
    "2.0/mlflow/logged-models/search",
    "2.0/mlflow/registered-models/get-latest-versions",
    "2.0/mlflow/runs/search",
    "3.0/mlflow/datasets/search",
    "3.0/mlflow/traces/batchGetInfos",
    "3.0/mlflow/traces/calculate-filter-correlation",
    "3.0/mlflow/traces/metrics",
    "3.0/mlflow/traces/search",
)
_ARTIFACT_RESOURCES = ("artifacts", "mpu", "presigned")
_ARTIFACTS = tuple(
    f"/{api}/2.0/mlflow-artifacts/{name}"
    for api in ("api", "ajax-api")
    for name in _ARTIFACT_RESOURCES
)
# Where MLflow can be changed. Patterns, because each route repeats who may, which grows with the
# teams; several, because Envoy refuses a pattern of more than 100 steps.
_CHANGES = (
    r"2\.0/mlflow/(experiments|runs|traces|artifacts)(/.*)?",
    r"2\.0/mlflow/(logged-models|model-versions|registered-models)(/.*)?",
    r"3\.0/mlflow/(datasets|traces)(/.*)?",
)
_ARTIFACT_CHANGES = r"/(api|ajax-api)/2\.0/mlflow-artifacts/(artifacts|mpu)(/.*)?"

# What MLflow's pages ask besides, in their own namespace.
_PAGE_READS = (
    "/get-artifact",
    "/model-versions/get-artifact",
    "/ajax-api/2.0/mlflow/get-trace-artifact",
    "/ajax-api/3.0/mlflow/get-trace-artifact",
)
_PAGE_QUESTIONS = (
    # Every mutation of its schema only echoes.
    "/graphql",
    "/ajax-api/2.0/mlflow/experiments/search-datasets",
)
# The team has one workspace and no other, so the pages offer none to choose.
_SERVER_INFO = {
    "store_type": "SqlStore",
    "workspaces_enabled": False,
    "trace_archival_enabled": False,
    "multipart_uploads_enabled": False,
    "multipart_downloads_enabled": False,
}
_NO_GATEWAY: Json = {"endpoints": []}
_NO_TELEMETRY = {"disable_ui_telemetry": True, "disable_ui_events": [], "ui_rollout_percentage": 0}


# MLflow's pages show what jobs and people wrote. Whatever gets into them, they call nobody else.
_CONTENT_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
    "media-src 'self' data: blob:; worker-src 'self' blob:; frame-src 'self' data: blob:; "
    "object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)


def tracking_routes(writers: Sequence[Writers]) -> list[Json]:
    """Route to MLflow for clients: the team's workspace and nothing else. Every key may read."""
    return _interface(("api",), writers)


def tracking_host(state: GatewayState) -> Json:
    """Return the virtual host of MLflow's pages, an origin of its own to every browser."""
    domains = dict.fromkeys((page_authority(MLFLOW, state.port), TRACKING_HOST))
    return {
        "name": "mlflow",
        "domains": [host_place(domain) for domain in domains],
        "routes": [
            *sign_in_routes(len(state.control_planes)),
            *_page_routes(),
            *_interface(("ajax-api", "api"), state.writers),
            nothing(),
        ],
        "retry_policy": retry(f"{UNSENT},retriable-headers"),
        "typed_per_filter_config": own_page(MLFLOW, state.port),
    }


def _page_routes() -> list[Json]:
    """Route the pages themselves, and what they ask besides the interface that clients have."""
    reads, asks = by_method("GET|HEAD"), by_method("POST")
    matches: list[Json] = [
        {"path": "/", **reads},
        {"path_separated_prefix": "/static-files", **reads},
        *({"path": path, **reads} for path in _PAGE_READS),
        *({"path": path, **asks} for path in _PAGE_QUESTIONS),
    ]
    answers = {
        "/ajax-api/3.0/mlflow/server-info": _SERVER_INFO,
        "/ajax-api/3.0/mlflow/ui-telemetry": _NO_TELEMETRY,
        "/ajax-api/2.0/mlflow/gateway-proxy": _NO_GATEWAY,
    }
    return [
        *(answer("mlflow-info", {"path": path}, 200, body) for path, body in answers.items()),
        *(_route(match, allow_all()) for match in matches),
    ]


def _interface(apis: Sequence[str], writers: Sequence[Writers]) -> list[Json]:
    """Route MLflow's interface below `/api` or `/ajax-api`: reading first, then changing."""
    reads, asks = by_method("GET|HEAD"), by_method("POST")
    prefixes = [
        *(f"/{api}/{v}/mlflow/{name}" for api in apis for v in _VERSIONS for name in _RESOURCES),
        *_ARTIFACTS,
    ]
    reading: list[Json] = [
        *({"path_separated_prefix": prefix, **reads} for prefix in prefixes),
        *({"path": f"/{api}/{path}", **asks} for api in apis for path in _QUESTIONS),
    ]
    changes = [*(f"/{api}/{pattern}" for api in apis for pattern in _CHANGES), _ARTIFACT_CHANGES]
    changing: list[Json] = [{"safe_regex": {"regex": each}} for each in changes]
    return [
        *(_route(match, allow_all()) for match in reading),
        *(_route(match, allow_writers(writers)) for match in changing),
    ]


def _route(match: Json, permission: Json) -> Json:
    return {
        "name": TRACKING,
        "match": match,
        "route": {**patient(TRACKING), "host_rewrite_literal": "localhost"},
        "request_headers_to_remove": [*KEY_HEADERS, "cookie"],
        "request_headers_to_add": [header(WORKSPACE_HEADER, workspace_of(f"%REQ({TEAM_HEADER})%"))],
        # Whoever could set a cookie could sign a browser in as somebody else.
        "response_headers_to_remove": ["set-cookie"],
        "response_headers_to_add": [header("content-security-policy", _CONTENT_POLICY)],
        "typed_per_filter_config": permission,
    }
