"""The catalog of runtimes."""

from __future__ import annotations

from pathlib import Path

import pytest

from plinth.kit.errors import Invalid, NotFound
from plinth.runtimes.runtime import CATALOG, find_runtime, load_runtimes, read_runtime

_TEXT = (CATALOG / "v2server.yaml").read_text()


def test_the_catalog_loads_and_serves_mlflow_models() -> None:
    runtime = find_runtime(load_runtimes(), "mlflow-pyfunc")
    assert runtime.name == "v2server"
    assert runtime.protocol == "open-inference-v2"


def test_the_catalog_serves_chat_models_over_openais_api() -> None:
    runtime = find_runtime(load_runtimes(), "gguf")
    assert (runtime.name, runtime.protocol) == ("llmserver", "openai")
    # Another version may read other files, or be silent about telemetry no more.
    assert any("openvino-genai==" in package for package in runtime.packages)
    place = {"python": Path("/e/bin/python"), "model": Path("/m"), "name": "n", "version": "4"}
    variables = runtime.variables_for(**place)  # type: ignore[arg-type]
    assert (Path(variables["PYTHONPATH"]) / "llmserver" / "__main__.py").is_file()


def test_the_command_is_filled_in() -> None:
    runtime = load_runtimes()["v2server"]
    place = {"python": Path("/e/bin/python"), "model": Path("/m"), "name": "n", "version": "4"}
    command = runtime.command_for(**place)  # type: ignore[arg-type]
    assert command[:3] == ("/e/bin/python", "-m", "v2server")
    assert command[3:] == ("--model", "/m", "--name", "n", "--version", "4", "--fd", "3")
    variables = runtime.variables_for(**place)  # type: ignore[arg-type]
    assert (Path(variables["PYTHONPATH"]) / "v2server" / "__main__.py").is_file()
    assert runtime.example_path_for("n") == "/v2/models/n/example"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("protocol: ", "protocoll: ", "unknown `protocoll`, missing `protocol`"),
        ("packages: [", "packages: [1, ", "`packages` must be a list of texts"),
        ("ready_path: /v2/health/ready", "ready_path: 3", "`ready_path` must be a text"),
        ("date: 2026-11-22", "date: soon", "`date` must be a date"),
        ("{model}", "{modell}", "unknown placeholder"),
        ("{model}", "{model", "is not a template"),
        ("name: v2server", "name: [", "not YAML"),
    ],
)
def test_mistakes_are_named_with_the_file(old: str, new: str, said: str) -> None:
    with pytest.raises(Invalid) as caught:
        read_runtime(_TEXT.replace(old, new), "x.yaml")
    assert str(caught.value).startswith("x.yaml: ")
    assert said in str(caught.value)


def test_an_unknown_format_lists_the_known_ones() -> None:
    with pytest.raises(NotFound, match="served: gguf, mlflow-pyfunc"):
        find_runtime(load_runtimes(), "onnx")
