"""What one run is to do, as the control plane wrote it into a file. Standard library only."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

# Columns that say which row of which file a row of the output is, and what was wrong with it.
FILE_COLUMN, ROW_COLUMN = "input_file", "input_row"
ERROR_COLUMN, CONTENT_COLUMN = "error", "content"
# The exit code by which the run says that another attempt would end the same way.
HOPELESS = 3


class Hopeless(Exception):
    """The run cannot succeed, however often it is tried; the message says why."""


@dataclass(frozen=True)
class InputFile:
    """A file of the data version, with the digest that it was added with."""

    name: str
    digest: str
    size_bytes: int


@dataclass(frozen=True)
class Order:
    """See the module. `data`: the folder of the files; `model`: the model's folder.

    `model_python`: the interpreter with the model's own packages. `form`: `auto`, `onnx` or
    `pyfunc`. `known_form`: a folder with the form that was found for this model before, or None.
    `facts`: what the manifest repeats: the run, the model version, the data version.
    """

    data: str
    files: tuple[InputFile, ...]
    model: str
    model_python: str | None
    known_form: str | None
    form: str
    keep: tuple[str, ...]
    mini_batch: int
    workers: int
    error_threshold: str
    facts: dict[str, Any]

    @property
    def identity(self) -> dict[str, Any]:
        """What must be the same for finished mini-batches to be taken over."""
        return {
            "files": [[each.name, each.digest] for each in self.files],
            "model": self.facts["model"],
            "keep": list(self.keep),
            "mini_batch": self.mini_batch,
        }

    def path_of(self, number: int) -> Path:
        """Return where an input file lies."""
        return Path(self.data) / self.files[number].name


def read_order(path: Path) -> Order:
    """Read an order as the control plane wrote it."""
    found = json.loads(path.read_bytes())
    known = {field.name for field in fields(Order)}
    found = {name: value for name, value in found.items() if name in known}
    found["files"] = tuple(
        InputFile(each["name"], each["digest"], each["size_bytes"]) for each in found["files"]
    )
    found["keep"] = tuple(found["keep"])
    return Order(**found)
