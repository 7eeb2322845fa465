"""Envoy's type names and the few shapes that every part of its configuration needs.

Resources are plain JSON values, as Envoy's own documentation writes them.
"""

from __future__ import annotations

import json
from typing import Any, TypeAlias

Json: TypeAlias = dict[str, Any]

TYPE_PREFIX = "type.googleapis.com/"
LISTENER = TYPE_PREFIX + "envoy.config.listener.v3.Listener"
CLUSTER = TYPE_PREFIX + "envoy.config.cluster.v3.Cluster"
ROUTES = TYPE_PREFIX + "envoy.config.route.v3.RouteConfiguration"
FILTER = TYPE_PREFIX + "envoy.config.core.v3.TypedExtensionConfig"
# The kinds that are large where there are many endpoints, and so written as `protobuf.py` does.
BINARY = frozenset({"cds", "rds", "inner"})


def typed(name: str, type_name: str, /, **fields: Any) -> Json:
    """Return an extension: a name and a configuration of the type `envoy.<type_name>`."""
    return {"name": name, "typed_config": config(type_name, **fields)}


def config(type_name: str, /, **fields: Any) -> Json:
    """Return a configuration of the type `envoy.<type_name>` without a name."""
    return {"@type": f"{TYPE_PREFIX}envoy.{type_name}", **fields}


def file_name(kind: str) -> str:
    """Return how the file of `kind` is called: its end tells Envoy in which form it is."""
    return f"{kind}.pb" if kind in BINARY else f"{kind}.json"


def file_source(folder: str, kind: str) -> Json:
    """Return where Envoy reads the resources of `kind` from.

    Each kind has a folder of its own: Envoy reads everything again when its folder changes.
    """
    path = f"{folder}/{kind}"
    return {
        "path_config_source": {
            "path": f"{path}/{file_name(kind)}",
            "watched_directory": {"path": path},
        },
        "resource_api_version": "V3",
    }


def header(name: str, value: str) -> Json:
    """Return the setting of a header, in the place of any that stands there already."""
    return {
        "header": {"key": name, "value": value},
        "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
    }


def first_of(*operators: Json | str) -> str:
    """Return the format of the first operator that has a value."""
    return f"%COALESCE({json.dumps({'operators': operators})})%"
