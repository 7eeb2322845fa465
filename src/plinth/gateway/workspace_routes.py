"""The page of each workspace: a host of its own, for its owner or its team, with WebSockets."""

from __future__ import annotations

from plinth.domain.web_page import page_authority, workspace_page
from plinth.gateway.browser import own_page
from plinth.gateway.cluster import cluster, pipe, servers
from plinth.gateway.envoy_types import Json, header
from plinth.gateway.gate import allow_only, allow_visitors
from plinth.gateway.identity import KEY_HEADERS
from plinth.gateway.page_routes import sign_in_routes
from plinth.gateway.places import host_place
from plinth.gateway.route import UNSENT, patient, retry, to_control
from plinth.gateway.state import GatewayState, WorkspaceRoute
from plinth.kit.page import CONTENT_TYPE, HEADERS, page

WORKSPACE = "workspace"
# As in runtimes/tool.py; neither room knows the other.
ACTIVITY_PATH = "/plinth/activity"
PAGE_PREFIX, CONTROL_PREFIX = "/plinth/", "/workspace-page/"
# Tornado keeps a connection for an hour; nobody else sends into it meanwhile.
_IDLE = "30s"
# No status that the gateway gives a page of its own.
_NOT_OPEN = 409


def workspace_hosts(state: GatewayState) -> list[Json]:
    """Return a virtual host for each workspace; also for one that is not open, which says so."""
    return [_host(each, state) for each in state.workspaces]


def workspace_clusters(state: GatewayState) -> list[Json]:
    """Return the cluster of each workspace that is open."""
    return [
        cluster(_cluster(each), servers([pipe(each.socket)], hostname="localhost"), idle=_IDLE)
        for each in state.workspaces
        if each.socket is not None
    ]


def _host(workspace: WorkspaceRoute, state: GatewayState) -> Json:
    name = workspace_page(workspace.name)
    return {
        "name": f"{WORKSPACE}:{workspace.name}",
        "domains": [host_place(page_authority(name, state.port))],
        "routes": [
            *sign_in_routes(len(state.control_planes)),
            _told(workspace, state.platform),
            _asked(workspace, len(state.control_planes)),
            _everything(workspace),
        ],
        "retry_policy": retry(UNSENT),
        "typed_per_filter_config": own_page(name, state.port),
    }


def _told(workspace: WorkspaceRoute, platform: str) -> Json:
    """Route the platform's own question what goes on, by which it sees that the page is there."""
    granted = allow_only((platform,), ())
    return _route(workspace, {"path": ACTIVITY_PATH}, granted)


def _asked(workspace: WorkspaceRoute, count: int) -> Json:
    """Route what the page itself asks of the control plane, which is shown the cookie."""
    return {
        "name": WORKSPACE,
        "match": {"prefix": PAGE_PREFIX},
        "route": {**to_control(count), "prefix_rewrite": CONTROL_PREFIX},
        "typed_per_filter_config": allow_visitors(workspace.principals, workspace.teams),
    }


def _everything(workspace: WorkspaceRoute) -> Json:
    return _route(workspace, {"prefix": "/"}, allow_visitors(workspace.principals, workspace.teams))


def _route(workspace: WorkspaceRoute, match: Json, filters: Json) -> Json:
    route: Json = {"name": WORKSPACE, "match": match, "typed_per_filter_config": filters}
    if workspace.socket is None:
        return {**route, **_closed(workspace)}
    return {
        **route,
        "route": {
            # Kernels are spoken to for as long as a page is open.
            **patient(_cluster(workspace)),
            "upgrade_configs": [{"upgrade_type": "websocket"}],
        },
        "request_headers_to_remove": [*KEY_HEADERS, "cookie"],
        # Whoever could set a cookie could sign a browser in as somebody else.
        "response_headers_to_remove": ["set-cookie"],
        "response_headers_to_add": [
            header("referrer-policy", "same-origin"),
            header("cross-origin-opener-policy", "same-origin"),
            header("cross-origin-resource-policy", "same-origin"),
        ],
    }


def _closed(workspace: WorkspaceRoute) -> Json:
    text = page(
        f"Workspace {workspace.name} is not open",
        "It was stopped, or is starting. Its files are kept. On a terminal, this opens it:",
        command=f"plinth workspace start {workspace.name}",
    )
    return {
        "direct_response": {"status": _NOT_OPEN, "body": {"inline_string": text}},
        "response_headers_to_add": [
            header("content-type", CONTENT_TYPE),
            *(header(*each) for each in HEADERS.items()),
        ],
    }


def _cluster(workspace: WorkspaceRoute) -> str:
    return f"{WORKSPACE}:{workspace.name}"
