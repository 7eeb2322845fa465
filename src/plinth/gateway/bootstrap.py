"""What Envoy is started with: its admin socket, and where its configuration stands."""

from __future__ import annotations

from pathlib import Path

from plinth.gateway.envoy_types import Json, file_source, typed

_MOST_CONNECTIONS = 20_000
_OWNER_ONLY = 0o600
_LARGEST_EXPRESSION = 100_000
_COUNTED = (
    *("cluster_manager.", "listener_manager.", "extension_config_discovery.", "server."),
    *("http.gateway.", "http.inner.", "overload."),
)


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
        "bootstrap_extensions": [inner_bootstrap()],
        "layered_runtime": runtime(),
        "stats_config": {"stats_matcher": {"inclusion_list": {"patterns": _counted()}}},
        "overload_manager": {"resource_monitors": [limit]},
        "dynamic_resources": {
            "lds_config": file_source(str(folder), "lds"),
            "cds_config": file_source(str(folder), "cds"),
        },
    }


def _counted() -> list[Json]:
    """Name what Envoy counts of itself: how it took its configuration, and its own health.

    By default it keeps some hundred numbers for each cluster, which is most of its memory where
    there are many, and is looked through at each question. Requests are counted from its log.
    """
    return [{"prefix": prefix} for prefix in _COUNTED]


def runtime() -> Json:
    """Return what Envoy allows itself: long expressions, as those of MLflow's addresses.

    By default it refuses one of ten names. It means to guard against strangers' expressions; ours
    are alternatives of plain names, which take time and memory by their length and no more.
    """
    sizes = {"error_level": _LARGEST_EXPRESSION, "warn_level": _LARGEST_EXPRESSION}
    layer = {"name": "plinth", "static_layer": {"re2": {"max_program_size": sizes}}}
    return {"layers": [layer]}


def inner_bootstrap() -> Json:
    """Return what lets listeners of one Envoy reach each other, where nothing else reaches them."""
    return typed(
        "envoy.bootstrap.internal_listener",
        "extensions.bootstrap.internal_listener.v3.InternalListener",
    )
