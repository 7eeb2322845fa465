"""Model servers as data: what each serves, in which environment, how it starts and shows itself.

A runtime is one YAML file in `catalog/`; adding a server of the same protocol is adding a file.
"""

from __future__ import annotations

import string
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import date
from pathlib import Path
from typing import Any

import yaml

from plinth.kit.errors import Invalid, NotFound

_FOLDER = Path(__file__).parent
CATALOG = _FOLDER / "catalog"
_LISTS = ("formats", "packages", "command")
# May be left out.
_OPTIONAL = ("without_dependencies", "leave_out")
_FORM = "takes_form"
_TEXTS = (
    *("name", "description", "protocol", "ready_path", "example_path", "metrics_path", "source"),
)
_PLACEHOLDERS = {"python", "model", "name", "version", "runtimes"}


@dataclass(frozen=True, slots=True)
class Runtime:
    """One kind of model server.

    `packages` are added to those of the model's own environment. `command` and `variables` are
    templates; the server gets its listening socket as file descriptor 3. `example_path` answers
    `{"request", "expected"}`, or 404 where the model has no input example. Of
    `without_dependencies` only the packages themselves are installed; `leave_out` names packages
    that nobody's dependencies bring. `takes_form`: with `--form FOLDER` it answers by the model's
    ONNX form that lies there.
    """

    name: str
    description: str
    protocol: str
    formats: tuple[str, ...]
    packages: tuple[str, ...]
    command: tuple[str, ...]
    variables: Mapping[str, str]
    ready_path: str
    example_path: str
    metrics_path: str
    source: str
    date: date
    without_dependencies: tuple[str, ...] = ()
    leave_out: tuple[str, ...] = ()
    takes_form: bool = False

    def command_for(self, *, python: Path, model: Path, name: str, version: str) -> tuple[str, ...]:
        """Return the command that serves the model's folder under `name` and `version`."""
        values = _values(python=str(python), model=str(model), name=name, version=version)
        return tuple(part.format_map(values) for part in self.command)

    def variables_for(
        self, *, python: Path, model: Path, name: str, version: str
    ) -> dict[str, str]:
        """Return the variables that the command needs, beside the platform's own."""
        values = _values(python=str(python), model=str(model), name=name, version=version)
        return {key: text.format_map(values) for key, text in self.variables.items()}

    def example_path_for(self, name: str) -> str:
        """Return the path of the input example of model `name`."""
        return self.example_path.format_map({"name": name})

    @property
    def folder(self) -> Path:
        """The folder that the server's process must be able to read, beside its environment."""
        return _FOLDER


def load_runtimes(catalog: Path = CATALOG) -> dict[str, Runtime]:
    """Return every runtime of the catalog by name. Raises Invalid naming the file and the field."""
    runtimes: dict[str, Runtime] = {}
    for path in sorted(catalog.glob("*.yaml")):
        runtime = read_runtime(path.read_text("utf-8"), path.name)
        if runtime.name in runtimes:
            raise Invalid(f"{path.name}: a runtime `{runtime.name}` exists already")
        runtimes[runtime.name] = runtime
    return runtimes


def find_runtime(runtimes: Mapping[str, Runtime], model_format: str) -> Runtime:
    """Return the first runtime that serves `model_format`. Raises NotFound."""
    # What hosts flows serves no models.
    servers = [runtime for runtime in runtimes.values() if runtime.protocol != "flow"]
    for runtime in servers:
        if model_format in runtime.formats:
            return runtime
    known = sorted({name for runtime in servers for name in runtime.formats})
    raise NotFound(
        f"no runtime serves the model format `{model_format}`; served: {', '.join(known)}",
        hint="log the model with an MLflow flavor that has `python_function`",
    )


def read_runtime(text: str, file_name: str) -> Runtime:
    """Return the runtime in a YAML text. Raises Invalid naming the file and the field."""
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as err:
        raise Invalid(f"{file_name}: not YAML: {err}") from err
    if not isinstance(document, dict):
        raise Invalid(f"{file_name}: must be a mapping, got {type(document).__name__}")
    known = {field.name for field in fields(Runtime)}
    unknown = sorted(map(str, set(document) - known))
    missing = sorted(known - set(document) - {*_OPTIONAL, _FORM})
    if unknown or missing:
        wrong = [f"unknown `{name}`" for name in unknown]
        wrong += [f"missing `{name}`" for name in missing]
        raise Invalid(f"{file_name}: {', '.join(wrong)}; fields: {', '.join(sorted(known))}")
    for name in _TEXTS:
        _expect(isinstance(document[name], str), file_name, name, "a text")
    for name in (*_LISTS, *(each for each in _OPTIONAL if each in document)):
        _expect(_is_texts(document[name]), file_name, name, "a list of texts")
        document[name] = tuple(document[name])
    _expect(isinstance(document.get(_FORM, False), bool), file_name, _FORM, "`true` or `false`")
    _expect(_is_variables(document["variables"]), file_name, "variables", "a mapping of texts")
    _expect(isinstance(document["date"], date), file_name, "date", "a date like 2026-01-31")
    for template in (*document["command"], *document["variables"].values()):
        _check_template(template, file_name)
    return Runtime(**document)


def _values(**given: str) -> dict[str, str]:
    return {**given, "runtimes": str(_FOLDER)}


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _is_variables(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(item, str) for item in value.values())


def _check_template(template: str, file_name: str) -> None:
    try:
        used = {name for _, name, _, _ in string.Formatter().parse(template) if name is not None}
    except ValueError as err:
        raise Invalid(f"{file_name}: `{template}` is not a template: {err}") from err
    if not used <= _PLACEHOLDERS:
        raise Invalid(
            f"{file_name}: `{template}` has an unknown placeholder; "
            f"accepted: {', '.join(sorted(_PLACEHOLDERS))}"
        )


def _expect(fits: bool, file_name: str, field: str, wanted: str) -> None:
    if not fits:
        raise Invalid(f"{file_name}: `{field}` must be {wanted}")
