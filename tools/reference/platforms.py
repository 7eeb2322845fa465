"""Render docs/reference/platforms.md from the reviewed facts of the catalog."""

from __future__ import annotations

import types
from collections.abc import Iterable
from datetime import date
from typing import Any, Union, get_args, get_origin

from plinth.catalog.platforms import GROUPS, PlatformFacts, load_facts
from plinth.catalog.servers import OWN_SERVER, Match, ServerFacts, load_servers, servers_for
from plinth.domain.platform import Facts, Limit

INTRODUCTION = """\
<!-- Written by `python -m tools.docs_reference` from src/plinth/catalog; do not edit. -->

# Platforms and model servers

What Plinth knows of each platform, with the source of every fact and the day it was compared with
it; see the same on a terminal, and ask why a workload would not run on one of them:

```console
$ plinth catalog platforms aks
$ plinth plan FILE --why-not aks
```

Today Plinth runs workloads on `local` only; the others are known, so that plans can be compared
with them. A fact that nobody could check is *unknown*: never a silent no, never a yes. Hours of
daily work are estimates of Plinth for one small production use:
[correct a platform fact](../howto/correct-a-platform-fact.md) says how they are made.
"""
_UNKNOWN = "unknown"
# The facts that are compared at a glance: heading, group, field.
_GLANCE = (
    ("rung", "compute", "rung"),
    ("GPU", "compute", "gpu"),
    ("MLflow", "compute", "mlflow"),
    ("price tiers", "supply", "tiers"),
    ("throughput promised", "supply", "throughput_guaranteed"),
    ("zones", "regions", "zone_redundant"),
    ("stage", "maturity", "stage"),
    ("default for", "guidance", "default_for"),
)
_ANSWERS = {True: "yes", False: "no", None: "?"}


def platforms_page() -> str:
    """Return the page as it must be."""
    platforms, servers = load_facts(), load_servers()
    parts = [INTRODUCTION, _glance(platforms), _matrix(servers, platforms), _servers(servers)]
    parts += [_section(facts) for facts in platforms]
    parts.append(_meanings())
    return "\n".join(parts)


def _glance(platforms: Iterable[PlatformFacts]) -> str:
    titles = ["platform", "functions", "scales to zero", *(each[0] for each in _GLANCE)]
    rows = [
        [
            f"[`{facts.name}`](#{facts.name})",
            written(facts.functions),
            written(facts.scale_to_zero),
            *(written(getattr(facts.groups[group], name)) for _, group, name in _GLANCE),
            _hours(facts),
        ]
        for facts in platforms
    ]
    table = _table([*titles, "day-2 hours a month"], rows)
    return f"## At a glance\n\n{table}"


def _matrix(servers: tuple[ServerFacts, ...], platforms: Iterable[PlatformFacts]) -> str:
    """Return who serves where, for platforms that serve anything."""
    names = [server.name for server in servers]
    rows = []
    for facts in platforms:
        if not {"online", "flow", "batch"} & set(facts.functions):
            continue
        found = {match.server: match for match in servers_for(servers, facts)}
        if not any(match.supported for match in found.values()) and facts.control.formats is None:
            continue
        answers = [_ANSWERS[found[name].supported] for name in names]
        rows.append([f"`{facts.name}`", *answers, _own(found.get(OWN_SERVER))])
    table = _table(["platform", *(f"`{name}`" for name in names), "its own takes"], rows)
    return (
        "## Which server runs where\n\nChoose the server for the platform, reading along a row, or "
        "the platform for the server, reading\ndown a column; `?` is unknown. A platform without a "
        f"row serves nothing, or nothing is known.\n\n{table}"
    )


def _own(match: Match | None) -> str:
    return "" if match is None else match.why.removeprefix("takes ")


def _servers(servers: Iterable[ServerFacts]) -> str:
    rows = [
        [
            f"`{server.name}`",
            f"{server.description} ({server.kind})",
            written(server.formats),
            written(server.protocols),
            written(server.gpu),
            _life(server),
            _cited(server.source, server.checked),
        ]
        for server in servers
    ]
    titles = ["server", "what it is", "model formats", "protocols", "GPU", "stage", "source"]
    hosts = [
        [
            f"`{server.name}`",
            f"`{host.platform}`",
            written(host.supported),
            host.how,
            _cited(host.source, host.checked),
        ]
        for server in servers
        for host in server.runs_on
    ]
    where = _table(["server", "platform", "runs", "how", "source"], hosts)
    return f"## The servers\n\n{_table(titles, rows)}\n{where}"


def _life(server: ServerFacts) -> str:
    found = server.maturity
    ends = f", ends on {found.retires.isoformat()}" if found.retires else ""
    after = f"; {found.successor} instead" if found.successor else ""
    return f"{written(found.stage)}{ends}{after}"


def _section(facts: PlatformFacts) -> str:
    own = {
        "functions": facts.functions,
        "scale_to_zero": facts.scale_to_zero,
        "interruptible": facts.interruptible,
    }
    rows = [["itself", _facts(own), _cited(facts.source, facts.checked)]]
    for name, group in facts.groups.items():
        values = {field: getattr(group, field) for field in _fields(type(group))}
        if group.known:
            rows.append([f"`{name}`", _facts(values), _cited(group.source, group.checked)])
    nothing = [f"`{name}`" for name, group in facts.groups.items() if not group.known]
    silent = f"\nNothing is known of {', '.join(nothing)}.\n" if nothing else ""
    table = _table(["facts", "what is known", "source"], rows)
    return f"## {facts.name}\n\n{facts.description}.\n\n{table}{silent}"


def _facts(values: dict[str, Any]) -> str:
    known = [
        f"{_words(name)}: {written(value)}" for name, value in values.items() if value is not None
    ]
    unknown = [_words(name) for name, value in values.items() if value is None]
    return "<br>".join(known + ([f"*unknown: {', '.join(unknown)}*"] if unknown else []))


def _meanings() -> str:
    rows = [
        [f"`{group}.{name}`", _kind(field.annotation), field.description]
        for group, model in GROUPS.items()
        for name, field in _fields(model).items()
    ]
    return f"## What each fact means\n\n{_table(['fact', 'what is written', 'meaning'], rows)}"


def _fields(model: type[Facts]) -> dict[str, Any]:
    return {
        name: each for name, each in model.model_fields.items() if name not in Facts.model_fields
    }


def _hours(facts: PlatformFacts) -> str:
    return _UNKNOWN if facts.day2.total is None else f"{facts.day2.total:g}"


def written(value: Any) -> str:
    """Write a fact as people read it; None is unknown, an empty list is none."""
    if value is None:
        return _UNKNOWN
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return "; ".join(map(written, value)) if value else "none"
    if isinstance(value, Limit):
        more = (
            "" if value.raisable is None else ", on request more" if value.raisable else ", fixed"
        )
        return f"{value.name} {value.value:g} {value.unit}{more}"
    if isinstance(value, float):
        return f"{value:g}"
    return value.isoformat() if isinstance(value, date) else str(value)


def _kind(annotation: Any) -> str:
    """Say what is written for a fact's type."""
    arguments = [each for each in get_args(annotation) if each is not type(None)]
    if get_origin(annotation) in (types.UnionType, Union):
        return _kind(arguments[0])
    if get_origin(annotation) is tuple:
        return f"list: {_kind(arguments[0])}"
    if annotation is Limit:
        return "name, value, unit and whether it can be raised"
    named = {bool: "yes or no", date: "day", str: "text", int: "whole number", float: "number"}
    if annotation in named:
        return named[annotation]
    if hasattr(annotation, "__metadata__"):
        return _kind(arguments[0])
    return ", ".join(f"`{each}`" for each in arguments)


def _cited(source: str | None, checked: date | None) -> str:
    return f"{source}, checked {checked.isoformat()}" if source and checked else ""


def _words(name: str) -> str:
    return name.replace("_", " ")


def _table(titles: list[str], rows: Iterable[list[str]]) -> str:
    lines = [titles, ["---"] * len(titles), *rows]
    return "".join(f"| {' | '.join(_cell(cell) for cell in line)} |\n" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
