"""What Plinth's own model servers speak and serve, for whoever plans without them.

`runtimes/catalog` says how each is run; a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from plinth.domain.platform import ModelFormat


@dataclass(frozen=True, slots=True)
class ModelServer:
    """One of them: what its callers speak, and the format of the models that it loads."""

    protocol: Literal["open-inference", "openai"]
    format: ModelFormat


MODEL_SERVERS: Mapping[str, ModelServer] = {
    "v2server": ModelServer("open-inference", "mlflow-pyfunc"),
    "llmserver": ModelServer("openai", "gguf"),
}
