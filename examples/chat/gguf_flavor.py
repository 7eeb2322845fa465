"""An MLflow flavor for GGUF files: what `mlflow.models.Model.log` saves a chat model with.

A model of this flavor has no Python function: the runtime `llmserver` reads the file itself.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from mlflow.models import Model

FLAVOR_NAME = "gguf"
EXAMPLE = "input_example.json"
DEFAULTS = "generation_config.json"


def save_model(
    path: str,
    mlflow_model: Model,
    *,
    gguf: Path,
    example: dict[str, Any],
    defaults: dict[str, float] | None = None,
) -> None:
    """Write the model's folder; called by `Model.log`.

    `example`: a chat request without `model`, by which Plinth checks that a deployment answers.
    `defaults`: `temperature` and `top_p` for requests that leave them open.
    """
    folder = Path(path)
    folder.mkdir(parents=True)
    shutil.copyfile(gguf, folder / gguf.name)
    (folder / EXAMPLE).write_text(json.dumps(example))
    (folder / DEFAULTS).write_text(json.dumps(defaults or {}))
    mlflow_model.add_flavor(FLAVOR_NAME, file=gguf.name)
    mlflow_model.saved_input_example_info = {"artifact_path": EXAMPLE, "type": "json_object"}
    mlflow_model.save(str(folder / "MLmodel"))


def log_model(name: str, *, registered_model_name: str | None = None, **saved: Any) -> Any:
    """Log the model to the active run, and register it; `saved` is what `save_model` takes.

    Returns MLflow's ModelInfo.
    """
    return Model.log(
        artifact_path=None,
        name=name,
        flavor=_FLAVOR,
        registered_model_name=registered_model_name,
        **saved,
    )


# What `Model.log` wants is a module: `save_model`, under the flavor's name.
_FLAVOR = SimpleNamespace(__name__=FLAVOR_NAME, save_model=save_model)
