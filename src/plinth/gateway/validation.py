"""Ask Envoy itself whether a configuration is one, without serving it.

Envoy's log is the only place where a running Envoy says why it refuses a file; a second one that
only reads the same configuration says it to us.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from plinth.gateway import envoy
from plinth.gateway.bootstrap import inner_bootstrap, runtime
from plinth.gateway.envoy_types import Json
from plinth.gateway.snapshot import Snapshot

_DEADLINE_S = 30.0


def static_form(snapshot: Snapshot) -> Json:
    """Return a bootstrap that holds everything itself: what stands in files is only read later."""
    listeners: list[Json] = json.loads(json.dumps(snapshot.listeners.items))
    routes = {each["name"]: each for each in (*snapshot.routes.items, *snapshot.inner.items)}
    for listener in listeners:
        manager: dict[str, Any] = listener["filter_chains"][0]["filters"][0]["typed_config"]
        if "rds" in manager:
            named = manager.pop("rds")["route_config_name"]
            manager["route_config"] = _untyped(routes[named])
        changing = {
            item["name"]: _untyped(item)
            for kind in (snapshot.filters, snapshot.gate, snapshot.limits)
            for item in kind.items
        }
        manager["http_filters"] = [
            _with(each, changing.get(each["name"], {})) for each in manager["http_filters"]
        ]
    return {
        # Credentials are asked for by a node that has a name.
        "node": {"id": "validation", "cluster": "plinth"},
        "bootstrap_extensions": [inner_bootstrap()],
        "layered_runtime": runtime(),
        "static_resources": {
            "listeners": [_untyped(listener) for listener in listeners],
            "clusters": [_untyped(cluster) for cluster in snapshot.clusters.items],
        },
    }


def complaint(snapshot: Snapshot) -> str | None:
    """Return what Envoy says against the configuration, or None when it accepts it.

    Blocks for about 0.1 s. Raises subprocess.TimeoutExpired when Envoy hangs.
    """
    with tempfile.TemporaryDirectory(prefix="pl-") as folder:
        path = Path(folder) / "bootstrap.json"
        path.write_text(json.dumps(static_form(snapshot)))
        answer = subprocess.run(
            (*envoy.command(path, workers=1), "--mode", "validate"),
            capture_output=True,
            text=True,
            check=False,
            timeout=_DEADLINE_S,
        )
    if answer.returncode == 0:
        return None
    lines = [line for line in answer.stderr.splitlines() if line.strip()]
    return lines[-1] if lines else f"exit status {answer.returncode}"


def _with(source: Json, found: Json) -> Json:
    """Return a filter that comes by a file as one that stands there itself."""
    if not found:
        return source
    return {**{name: value for name, value in source.items() if name == "disabled"}, **found}


def _untyped(resource: Json) -> Json:
    return {name: value for name, value in resource.items() if name != "@type"}
