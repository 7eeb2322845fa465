"""Render docs/reference/workload.md from the types that read a workload's file."""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from plinth.domain.application import (
    DECLARATIONS,
    Batch,
    BatchDemand,
    Data,
    Explore,
    ExploreDemand,
    Flow,
    Online,
    OnlineDemand,
    Train,
    TrainDemand,
    Weights,
)
from plinth.domain.document import MAX_CHARACTERS, MAX_DEPTH
from plinth.domain.requirements import Requirements
from plinth.domain.resources import Accelerator, ResourceRequest
from plinth.domain.serving import Capacity, External, Health, Limit, Timeouts
from plinth.domain.workload import EndpointDeployment
from plinth.domain.workload_fields import RESERVED_VARIABLES, Environment
from plinth.domain.workspace import GpuUse, Schedule

# Sections after the kinds: the path of the field and the type that stands there.
PARTS: tuple[tuple[str, type[BaseModel]], ...] = (
    ("resources", ResourceRequest),
    ("resources.accelerator", Accelerator),
    ("requirements", Requirements),
    ("environment", Environment),
    ("deployments.NAME", EndpointDeployment),
    ("external", External),
    ("capacity", Capacity),
    ("limits", Limit),
    ("timeouts", Timeouts),
    ("health", Health),
    ("schedule", Schedule),
    ("gpu", GpuUse),
    ("data.NAME", Data),
    ("weights", Weights),
    ("explore", Explore),
    ("explore.demand", ExploreDemand),
    ("train", Train),
    ("train.demand", TrainDemand),
    ("batch", Batch),
    ("batch.demand", BatchDemand),
    ("online", Online),
    ("flow", Flow),
    ("online.demand", OnlineDemand),
)
# Parts that have the same fields as the one that is described.
_ALIKE = {
    "train": "tune",
    "train.demand": "tune.demand",
    "online.demand": "flow.demand",
}
_UNITS = {
    "size": (("TiB", 2**40), ("GiB", 2**30), ("GB", 10**9), ("MB", 10**6), ("MiB", 2**20)),
    "duration": (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)),
}
EXAMPLES = {
    "job": """\
kind: job
name: flights-train
command: python train.py --depth 8
environment:
  file: requirements.txt
data:
  flights: flights@latest
resources:
  cpu: 2
  memory: 2GB
timeout: 15m
""",
    "endpoint": """\
kind: endpoint
name: flights-delay
deployments:
  blue: {model: models:/flights-delay@champion}
  green: {model: models:/flights-delay/7}
traffic: {blue: 90, green: 10}
match:
  green: {x-variant: green}
limits:
  - {each: team, requests_per_minute: 600}
""",
    "flow": """\
kind: flow
name: answers
code: answers
environment:
  packages: [beautifulsoup4==4.14.3]
limits:
  - {each: key, requests_per_minute: 60}
""",
    "batch": """\
kind: batch
name: score-flights
model: models:/flights-delay@champion
files: ["months/*.parquet"]
keep: [id]
mini_batch: 20000
workers: 2
error_threshold: 1%
""",
    "workspace": """\
kind: workspace
name: lab
profile: small
environment:
  packages: [pandas, scikit-learn]
data:
  flights: flights@3
idle_stop: 30m
schedule:
  stop_at: "19:00"
  timezone: Europe/Berlin
""",
    "application": """\
kind: application
name: churn
requirements:
  regions: [eu]
  residency: eu
  criticality: production
data:
  customers: {size: 200GB, region: westeurope, production: true}
explore:
  data: [customers]
  demand: {users: 3, hours: 60}
train:
  data: [customers]
  resources: {cpu: 4, memory: 16GB}
  demand: {runs: 8, duration: 2h}
online:
  format: mlflow-pyfunc
  replicas: 2
  requirements: {rto: 4h}
  demand: {requests_per_second: 5, replica_requests_per_second: 40}
""",
}
INTRODUCTION = f"""\
<!-- Written by `python -m tools.docs_reference` from src/plinth/domain; do not edit. -->

# The workload file

A workload file declares one thing to run, or an application to plan, and what it requires. See
where it fits, and every mistake in it with its line:

```console
$ plinth plan FILE
```

The file is YAML 1.2: `true` and `12` are not texts, `yes`, `on` and `1:30` are. A version such as
`1.10` needs quotes where a text is expected, since YAML reads a number. One file holds one
workload, in UTF-8, with at most {MAX_CHARACTERS // 1024} KiB and {MAX_DEPTH} levels. Fields that
Plinth does not know are refused. Anchors and aliases are read; tags and merge keys (`<<`) are not.

Sizes are written like `512MB`, `16GB` (powers of ten) or `2GiB` (powers of two), durations like
`500ms`, `90s`, `15m`, `2h`, `1d`. Numbers without a unit are bytes and seconds.
"""


def workload_page() -> str:
    """Return the page as it must be."""
    parts = [INTRODUCTION]
    for kind, model in DECLARATIONS.items():
        summary = (model.__doc__ or "").strip().splitlines()[0]
        title = f"## `kind: {kind}`\n\n{summary}\n"
        parts += [title, f"```yaml\n{EXAMPLES[kind]}```\n", _table(model, known_kind=kind)]
    for path, part in PARTS:
        summary = " ".join((part.__doc__ or "").split("\n\n")[0].split())
        summary = summary.partition(". ")[0].removesuffix(".") + "."
        alike = f" `{_ALIKE[path]}` has the same fields." if path in _ALIKE else ""
        parts += [f"## `{path}`\n\n{summary}{alike}\n", _table(part)]
    reserved = ", ".join(f"`{name}`" for name in RESERVED_VARIABLES)
    parts.append(
        "## Variables that Plinth sets\n\n"
        f"`variables` may not name what starts with one of these: {reserved}.\n"
    )
    return "\n".join(parts)


def _table(model: type[BaseModel], known_kind: str | None = None) -> str:
    lines = ["| field | what is written | default | meaning |", "|---|---|---|---|"]
    for name, field in _ordered(model):
        if known_kind is not None and name == "kind":
            lines.append(f"| `kind` | `{known_kind}` | required | What the file declares. |")
            continue
        assert field.description, f"{model.__name__}.{name} has no description"
        written = field.title or _written(field.annotation)
        written += _limits(field)
        lines.append(f"| `{name}` | {written} | {_default(field)} | {field.description} |")
    return "\n".join(lines) + "\n"


def _ordered(model: type[BaseModel]) -> Iterator[tuple[str, FieldInfo]]:
    """Yield fields as a person writes them: the kind, the name, what is required, the rest."""
    fields = list(model.model_fields.items())
    first = [item for name in ("kind", "name") for item in fields if item[0] == name]
    rest = [item for item in fields if item not in first]
    # What this kind of file is about comes before what it has from others.
    inherited = {name for base in model.__mro__[1:] for name in getattr(base, "model_fields", ())}
    rest.sort(key=lambda item: item[0] not in model.__annotations__ or item[0] in inherited)
    yield from first
    yield from (item for item in rest if item[1].is_required())
    yield from (item for item in rest if not item[1].is_required())


def _written(annotation: Any) -> str:
    """Say in words what is written for a type."""
    for known, words in ((bool, "`true` or `false`"), (int, "whole number"), (float, "number")):
        if annotation is known:
            return words
    arguments = get_args(annotation)
    origin = get_origin(annotation)
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in arguments)
    if origin is Annotated:
        titles = (each.title for each in arguments[1:] if isinstance(each, FieldInfo))
        return next(filter(None, titles), None) or _written(arguments[0])
    if origin in (Union, types.UnionType):
        return " or ".join(_written(part) for part in arguments if part is not type(None))
    if origin is tuple:
        return f"list of {_written(arguments[0])}s"
    if origin is dict:
        return f"mapping of {_written(arguments[0])} to {_written(arguments[1])}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        path = next(path for path, model in PARTS if issubclass(annotation, model))
        return f"[mapping](#{path.replace('.', '')})"
    return "text"


def _limits(field: FieldInfo) -> str:
    said = []
    for words, key in (("more than", "gt"), ("at least", "ge"), ("at most", "le")):
        for item in field.metadata:
            bound = getattr(item, key, None)
            if bound is not None:
                said.append(f"{words} {_quantity(field, bound)}")
    return f"; {', '.join(said)}" if said else ""


def _quantity(field: FieldInfo, value: float) -> str:
    """Write a number as it stands in a file: with the largest unit that leaves it whole."""
    kind = (field.title or "").split(",")[0]
    for unit, size in _UNITS.get(kind, ()):
        if value and value % size == 0:
            return f"{value // size:g}{unit}"
    return f"{value:,g}"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True, validated_data={})
    if isinstance(value, BaseModel):
        is_written = type(value).__str__ is not BaseModel.__str__
        return f"`{value}`" if is_written else "its defaults"
    if value in (None, (), {}):
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, int | float):
        return f"`{_quantity(field, value)}`"
    return f"`{value}`"
