"""LiteLLM's proxy, as the peer of the gateway: installed once, in its better set-up.

Its better set-up: all bytecode is there, and OpenTelemetry is installed, without which it tries to
import it again with each request. One worker, a key, no database, and nothing asked of the network.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from urllib.request import urlopen

from uv import find_uv_bin

from benchmarks.chain import Chain, Stand, wait_for
from benchmarks.machine import free_port
from plinth.environments import Environments, EnvironmentSpec, this_python

PACKAGES = (
    "litellm[proxy]==1.106.2",
    "opentelemetry-api==1.45.2",
    "opentelemetry-sdk==1.45.2",
    "opentelemetry-exporter-otlp==1.45.2",
)
KEY = "sk-of-the-benchmark"
_MODULE = "import sys; from litellm import run_server; sys.exit(run_server())"


def install(environments: Path) -> Path:
    """Return the folder of LiteLLM's environment, built the first time.

    Raises Invalid, Temporary or Permanent with uv's reason when it cannot be installed.
    """
    spec = EnvironmentSpec(PACKAGES, this_python())
    return Environments(environments, find_uv_bin()).build(spec).folder


def start(stand: Stand, environment: Path, model: str, upstream_port: int) -> Chain:
    """Start the proxy before the server at `upstream_port`, which answers for `model`."""
    port, settings = free_port(), stand.folder / "litellm.json"
    behind = {"model": f"openai/{model}", "api_base": f"http://127.0.0.1:{upstream_port}/v1"}
    parameters = {**behind, "api_key": "sk-of-the-provider"}
    models = [{"model_name": model, "litellm_params": parameters}]
    # JSON is YAML.
    settings.write_text(json.dumps({"model_list": models, "general_settings": {"master_key": KEY}}))
    options = ["--config", str(settings), "--host", "127.0.0.1", "--port", str(port)]
    command = [str(environment / "bin" / "python"), "-c", _MODULE, *options, "--num_workers", "1"]
    process = stand.start("litellm", command, _variables(stand))
    wait_for(lambda: is_ready(port), process, stand.folder / "litellm.log")
    return Chain("litellm", port, (process.pid,))


def is_ready(port: int) -> bool:
    """Say whether the proxy answers."""
    try:
        with urlopen(f"http://127.0.0.1:{port}/health/liveliness", timeout=1) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _variables(stand: Stand) -> dict[str, str]:
    """Return what it may see of our environment, with what keeps it quick and at home."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    return {
        **kept,
        "HOME": str(stand.folder),
        "LITELLM_MODE": "PRODUCTION",
        "LITELLM_LOG": "ERROR",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_TELEMETRY": "False",
        "NO_DOCS": "True",
        "DISABLE_ADMIN_UI": "True",
    }
