"""Counters that only grow, and their text for Prometheus.

What a line of a log adds to them is committed with its usage (`ledger.py`), so a counter is exact
whoever reads the log, and any control plane can answer for it.

The text format is written here: it is thirty lines of escaping and order. `prometheus-client` would
bring a registry of the process's own counters, which is just what these are not.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
# The label of a histogram's buckets; its sum has the label's value `sum` in the ledger.
LE, SUM = "le", "sum"


class Kind(StrEnum):
    """What Prometheus calls a family of series."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Series:
    """One counter: a name, and labels with their values in a fixed order."""

    name: str
    labels: tuple[tuple[str, str], ...] = ()

    def label(self, name: str) -> str | None:
        """Return a label's value; None where it has no such label."""
        return dict(self.labels).get(name)

    def without(self, name: str) -> Series:
        """Return the series with a label left out."""
        return Series(self.name, tuple(each for each in self.labels if each[0] != name))


@dataclass(frozen=True, slots=True)
class Counter:
    """How far a series has counted, and the time of the line that began it."""

    series: Series
    value: float
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Family:
    """What a name means: for people, and for Prometheus. `bounds`: of a histogram's buckets."""

    name: str
    kind: Kind
    text: str
    bounds: tuple[float, ...] = ()


def observed(series: Series, value: float, bounds: Sequence[float]) -> dict[Series, float]:
    """Return what one observation adds to a histogram: one bucket, and the sum.

    Buckets are kept apart here; the text adds up all below.
    """
    bound = next((each for each in bounds if value <= each), math.inf)
    return {
        Series(series.name, (*series.labels, (LE, _number(bound)))): 1.0,
        Series(series.name, (*series.labels, (LE, SUM))): value,
    }


def add_counts(total: dict[Series, float], more: Mapping[Series, float]) -> None:
    """Add what some lines add to what others do."""
    for series, value in more.items():
        total[series] = total.get(series, 0.0) + value


def to_text(families: Iterable[Family], counters: Iterable[Counter]) -> str:
    """Return the text that Prometheus scrapes; a family without series is left out."""
    by_name: dict[str, list[Counter]] = {}
    for counter in counters:
        by_name.setdefault(counter.series.name, []).append(counter)
    lines: list[str] = []
    for family in families:
        found = sorted(by_name.get(family.name, ()), key=lambda each: each.series.labels)
        if found:
            lines += [f"# HELP {family.name} {_escaped(family.text, quote=False)}"]
            lines += [f"# TYPE {family.name} {family.kind}"]
            lines += _histogram(family, found) if family.bounds else _plain(found)
    return "".join(f"{line}\n" for line in lines)


def _plain(found: Iterable[Counter]) -> list[str]:
    return [_sample(each.series.name, each.series.labels, each.value) for each in found]


def _histogram(family: Family, found: Iterable[Counter]) -> list[str]:
    """Return the buckets, each with all below it, the sum and the count of every series."""
    groups: dict[Series, dict[str, float]] = {}
    for each in found:
        values = groups.setdefault(each.series.without(LE), {})
        values[each.series.label(LE) or ""] = each.value
    lines = []
    for series, values in groups.items():
        count = 0.0
        for bound in (*family.bounds, math.inf):
            count += values.get(_number(bound), 0.0)
            labels = (*series.labels, (LE, _number(bound)))
            lines.append(_sample(f"{series.name}_bucket", labels, count))
        lines.append(_sample(f"{series.name}_sum", series.labels, values.get(SUM, 0.0)))
        lines.append(_sample(f"{series.name}_count", series.labels, count))
    return lines


def _sample(name: str, labels: Sequence[tuple[str, str]], value: float) -> str:
    shown = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels)
    return f"{name}{{{shown}}} {_number(value)}" if shown else f"{name} {_number(value)}"


def _number(value: float) -> str:
    if math.isinf(value):
        return "+Inf"
    return str(int(value)) if value == int(value) else repr(round(value, 6))


def _escaped(text: str, *, quote: bool = True) -> str:
    escaped = text.replace("\\", r"\\").replace("\n", r"\n")
    return escaped.replace('"', r"\"") if quote else escaped
