"""What was asked, in a plan's report: requirements in words, data, demand, what nobody said."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from plinth.cli.plan_report_html import paragraph, table
from plinth.domain.application import (
    Application,
    BatchDemand,
    Declaration,
    ExploreDemand,
    OnlineDemand,
    Part,
    TrainDemand,
)
from plinth.domain.need import Demand, Need, needs_of
from plinth.domain.requirements import Budget, Requirements
from plinth.domain.resources import Accelerator, ResourceRequest
from plinth.kit.units import format_bytes

_HOUR_S, _DAY_S = 3600, 86_400
_SIZES = frozenset({"memory", "size"})
_TIMES = frozenset({"rto", "freshness", "latency", "duration", "window", "measured_latency"})
# What is asked of a part beside requirements, demand, resources and data; its words and its field.
_WORDS: Mapping[str, str] = {
    "model": "the model, hosted by its provider",
    "format": "format of the model",
    "server": "model server",
    "base_model": "model that is tuned",
    "method": "how it is tuned",
    "gpu_reason": "what a GPU is for",
    "gpu_hours": "hours of a GPU for each person, at most",
    "team_share": "the team's files in every workspace",
    "nodes": "machines at once",
    "replicas": "instances at once",
    "window": "time for one run",
    "target": "what works on the inputs",
    "spark": "a program for Spark",
    "split": "requests are divided between versions",
    "mirror_percent": "% of the requests that a second version gets too",
    "tool": "what the flow is written for",
}


def asked_section(workload: Declaration) -> str:
    """Return the section on what was asked."""
    needs = needs_of(workload)
    rows = [*requirement_rows(workload), *_part_rows(workload)]
    several = len(needs) > 1
    columns = (".FOR", ".WHAT MUST HOLD", ".VALUE", "_WHAT IT MEANS")
    found = [
        "<h2>What was asked</h2>",
        table(columns, rows)
        or paragraph("The file asks for nothing beyond the function itself.", "soft"),
        "<h3>Demand and resources</h3>",
        table(
            ("PART", "FUNCTION", "_DEMAND", "_RESOURCES OF ONE INSTANCE"),
            [
                [need.name, need.function, demand_words(need.demand), _resources(need)]
                for need in needs
            ],
        ),
    ]
    data = _data_rows(workload)
    if data:
        found += [
            "<h3>Data</h3>",
            table((".NAME", ">SIZE", "REGION", "PLATFORM", "KIND", "READ BY"), data),
        ]
    if several and isinstance(workload, Application) and workload.team:
        found.append(paragraph(f"The team `{workload.team}` owns it.", "soft"))
    return "".join(found)


def requirement_rows(workload: Declaration) -> list[list[str]]:
    """Return a row for each requirement that is stated: for whom, what, value, meaning."""
    shared = "all parts" if isinstance(workload, Application) else workload.name
    rows = _stated(shared, workload.requirements)
    if isinstance(workload, Application):
        for name, part in workload.parts.items():
            rows += _stated(name, part.requirements)
    return rows


def unsaid(workload: Declaration) -> list[str]:
    """Return what was assumed since the file does not say it, by the path of its field."""
    if not isinstance(workload, Application):
        return []
    return [
        f"`{name}.{path}` is not in the file: {value} is assumed"
        for name, part in workload.parts.items()
        for path, value in _defaults(part)
    ]


def demand_words(demand: Demand | None) -> str:
    """Write a demand in words; `not stated` for None, as for a plain job."""
    if isinstance(demand, ExploreDemand):
        return f"{_some(demand.users, 'person', 'people')}, {demand.hours:g} h a month each"
    if isinstance(demand, TrainDemand):
        return _sentence(_train_words(demand))
    if isinstance(demand, BatchDemand):
        return _sentence(_batch_words(demand))
    if isinstance(demand, OnlineDemand):
        return _sentence(_online_words(demand))
    return "not stated"


def value_words(name: str, value: Any) -> str:
    """Write the value of a field for people: times, sizes, lists, yes and no."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Budget):
        return f"{value.amount:,} {value.currency} a month"
    if isinstance(value, Accelerator):
        return f"{value.count} x {value.kind}"
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    if isinstance(value, BaseModel):
        return ", ".join(f"{each} {inner}" for each, inner in value)
    if name in _TIMES and isinstance(value, int | float):
        return time_words(float(value))
    if name in _SIZES and isinstance(value, int):
        return format_bytes(value)
    return f"{value:,g}" if isinstance(value, float) else str(value)


def time_words(seconds: float) -> str:
    """Write a time in its largest whole unit: `4 h`, `90 min`, `250 ms`."""
    if seconds < 1:
        return f"{seconds * 1000:g} ms"
    for unit, length in (("days", _DAY_S), ("h", _HOUR_S), ("min", 60)):
        if seconds >= length and seconds % length == 0:
            count = seconds / length
            return f"{count:g} {'day' if unit == 'days' and count == 1 else unit}"
    return f"{seconds / _HOUR_S:.3g} h" if seconds >= _HOUR_S else f"{seconds:g} s"


def _stated(owner: str, requirements: Requirements) -> list[list[str]]:
    rows = []
    for name, field in Requirements.model_fields.items():
        value = getattr(requirements, name)
        if name in requirements.model_fields_set and value not in (None, ()):
            meaning = field.description or ""
            rows.append([owner, name.replace("_", " "), value_words(name, value), meaning])
    return rows


def _part_rows(workload: Declaration) -> list[list[str]]:
    if not isinstance(workload, Application):
        return []
    rows = []
    for owner, part in workload.parts.items():
        for name, words in _WORDS.items():
            if name in part.model_fields_set and getattr(part, name) is not None:
                meaning = type(part).model_fields[name].description or ""
                rows.append([owner, words, value_words(name, getattr(part, name)), meaning])
    return rows


def _data_rows(workload: Declaration) -> list[list[str]]:
    if not isinstance(workload, Application):
        return []
    return [
        [
            name,
            format_bytes(data.size),
            data.region or "not stated",
            data.platform or "not stated",
            "production" if data.production else "not production",
            ", ".join(part for part, found in workload.parts.items() if name in found.data) or "-",
        ]
        for name, data in workload.data.items()
    ]


def _resources(need: Need) -> str:
    if need.uses_hosted_model:
        return "the provider's"
    resources = need.resources
    cores = _some(resources.cpu, "core", "cores")
    found = f"{cores}, {format_bytes(resources.memory)}"
    if resources.accelerator is not None:
        found += f", {value_words('accelerator', resources.accelerator)}"
    stated = resources.model_fields_set
    return (
        found
        + (f"; {need.instances} at once" if need.instances > 1 else "")
        + ("" if stated & set(ResourceRequest.model_fields) else " (assumed, nothing is stated)")
    )


def _train_words(demand: TrainDemand) -> Iterator[str]:
    yield f"{_some(demand.runs, 'run', 'runs')} a month"
    if demand.duration is not None:
        yield f"{time_words(demand.duration)} each"
    if demand.tokens is not None:
        yield f"{demand.tokens:,} tokens each"
    for size, seconds in demand.measured.items():
        yield f"measured on {size}: {time_words(seconds)}"


def _batch_words(demand: BatchDemand) -> Iterator[str]:
    yield f"{_some(demand.runs, 'run', 'runs')} a month"
    if demand.rows is not None:
        yield f"{demand.rows:,} rows each"
    if demand.duration is not None:
        yield f"{time_words(demand.duration)} each"
    if demand.rows_per_second is not None:
        yield f"measured: {demand.rows_per_second:,g} rows a second on one instance"
    yield from _tokens(demand, "row")


def _online_words(demand: OnlineDemand) -> Iterator[str]:
    yield f"{_some(demand.requests_per_second, 'request', 'requests')} a second on average"
    yield f"{demand.peak:,g} at the peak"
    yield f"{demand.active_hours:g} h a month in which anybody asks"
    if demand.replica_requests_per_second is not None:
        yield f"measured: {demand.replica_requests_per_second:,g} a second on one instance"
    if demand.measured_latency is not None:
        yield f"measured: 99 of 100 within {time_words(demand.measured_latency)}"
    yield from _tokens(demand, "request")


def _tokens(demand: BatchDemand | OnlineDemand, unit: str) -> Iterator[str]:
    if demand.input_tokens is not None or demand.output_tokens is not None:
        read = "unknown" if demand.input_tokens is None else f"{demand.input_tokens:,}"
        written = "unknown" if demand.output_tokens is None else f"{demand.output_tokens:,}"
        yield f"{read} tokens read and {written} written for each {unit}"


def _defaults(part: Part) -> Iterator[tuple[str, str]]:
    demand = part.demand
    for name, field in type(demand).model_fields.items():
        if (
            name not in demand.model_fields_set
            and field.default is not None
            and not isinstance(getattr(demand, name), dict)
        ):
            yield f"demand.{name}", value_words(name, getattr(demand, name))
    if isinstance(demand, OnlineDemand) and demand.peak_requests_per_second is None:
        yield "demand.peak_requests_per_second", f"three times the average, {demand.peak:,g},"
    hosted = getattr(part, "model", None) or getattr(part, "base_model", None)
    for name in ("cpu", "memory") if hosted is None else ():
        if name not in part.resources.model_fields_set:
            yield f"resources.{name}", value_words(name, getattr(part.resources, name))


def _some(count: float, one: str, several: str) -> str:
    return f"{count:,g} {one if count == 1 else several}"


def _sentence(words: Iterator[str]) -> str:
    return ", ".join(words)
