"""What Envoy is started with: its admin socket, and where its configuration stands."""

from __future__ import annotations

from pathlib import Path

from plinth.gateway.envoy_types import Json, file_source, typed

_MOST_CONNECTIONS = 20_000
_OWNER_ONLY = 0o600


def bootstrap(*, node: str, admin_socket: Path, folder: Path) -> Json:
    """Return Envoy's bootstrap; `folder` holds the configuration and never moves."""
    limit = typed(
        "envoy.resource_monitors.global_downstream_max_connections",
        "extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
        max_active_downstream_connections=_MOST_CONNECTIONS,
    )
    return {
        "node": {"id": node, "cluster": "plinth"},
        "admin": {"address": {"pipe": {"path": str(admin_socket), "mode": _OWNER_ONLY}}},
        "overload_manager": {"resource_monitors": [limit]},
        "dynamic_resources": {
            "lds_config": file_source(str(folder), "lds"),
            "cds_config": file_source(str(folder), "cds"),
        },
    }
