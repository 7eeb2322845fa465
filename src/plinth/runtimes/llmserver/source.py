"""What lies in a model's folder beside the GGUF file: an example, and how it wants to be sampled.

Standard library only.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .errors import NotServable, Refused
from .request import Sampling, read_defaults

EXAMPLE = "input_example.json"
# The name that models are published with; of it, `temperature` and `top_p` are read.
DEFAULTS = "generation_config.json"


@dataclass(frozen=True)
class Source:
    """`example`: a chat request that came with the model, or None where none did."""

    example: dict[str, Any] | None = None
    defaults: Sampling = field(default_factory=Sampling)


def read_source(folder: Path) -> Source:
    """Return what the folder says of its model. Raises NotServable for a file that is wrong."""
    example = _read(folder / EXAMPLE)
    defaults = _read(folder / DEFAULTS)
    try:
        sampling = Sampling() if defaults is None else read_defaults(defaults)
        document = None if example is None else json.loads(example)
    except (Refused, ValueError) as err:
        raise NotServable(f"`{EXAMPLE}` or `{DEFAULTS}` of the model is wrong: {err}") from err
    if document is not None and not isinstance(document, dict):
        raise NotServable(f"`{EXAMPLE}` of the model must be one chat request, a JSON object")
    return Source(document, sampling)


def find_gguf(folder: Path) -> Path:
    """Return the one GGUF file of a model's folder. Raises NotServable."""
    files = sorted(folder.rglob("*.gguf"))
    if len(files) != 1:
        names = ", ".join(file.name for file in files[:5]) or "none"
        raise NotServable(f"the model must have one file `*.gguf`; it has {names}")
    return files[0]


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as err:
        raise NotServable(f"`{path.name}` of the model cannot be read: {err.strerror}") from err
