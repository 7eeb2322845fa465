"""`plinth catalog skus` and `accelerators`: sizes of machines, and what is in them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from plinth.catalog.catalog import Catalog, open_catalog
from plinth.catalog.names import spelling
from plinth.catalog.price import ListPrice, Tier
from plinth.catalog.skus import Sku, Skus
from plinth.cli.output import counted, note, print_json, print_table
from plinth.cli.session import HomeOption, JsonOption, open_home
from plinth.kit.errors import Invalid
from plinth.kit.units import parse_bytes

UNKNOWN = "unknown"
# Nobody reads two thousand rows; `--all` and `--json` give them.
SHOWN = 40
_GIB = 2**30
_MOST = float("inf")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a size must hold. `memory` in bytes; `accelerators`: how many at least."""

    cpu: float | None
    memory: int | None
    kind: str | None
    accelerators: int


def skus(
    *,
    region: Annotated[
        str | None, typer.Option(metavar="REGION", help="Offered in this region or group")
    ] = None,
    accelerator: Annotated[
        str | None, typer.Option(metavar="KIND", help="Like `A100`, or `A100:2` for two or more")
    ] = None,
    min_cpu: Annotated[
        float | None, typer.Option(metavar="N", help="This many processors or more")
    ] = None,
    min_memory: Annotated[
        str | None, typer.Option(metavar="SIZE", help="This much memory or more, like `64GiB`")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Every row, however many")] = False,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """List sizes of machines: what they hold, where, the price."""
    catalog = open_catalog(open_home(home).catalog)
    wanted = _wanted(catalog, accelerator, min_cpu, min_memory)
    where = catalog.regions.names if region is None else catalog.regions.expand(region)
    found, unsure = _choose(catalog.skus, wanted)
    if region is not None:
        # `no` in every one of them is known; unknown stays in the list.
        found = [
            each
            for each in found
            if any(catalog.skus.offered(each.name, name) is not False for name in where)
        ]
    if as_json:
        print_json([_json(each, catalog.skus, where if region else ()) for each in found])
    else:
        _show(found, catalog.skus, where, SHOWN if not every else len(found))
    if unsure:
        note(
            f"{counted(unsure, 'size')} left out, since what you ask for is unknown of them; "
            "`plinth catalog import FILE` (kind: skus) states it"
        )
    _note_uncovered(catalog.skus, where if region else ())


def accelerators(*, as_json: JsonOption = False, home: HomeOption = None) -> None:
    """List the kinds of accelerators with their memory."""
    known = open_catalog(open_home(home).catalog).accelerators
    if as_json:
        print_json(
            [
                {
                    "vendor": each.vendor,
                    "kind": each.kind,
                    "memory_bytes": each.memory,
                    "compute_capability": each.compute_capability,
                    "source": each.source.to_json(),
                }
                for each in known
            ]
        )
        return
    rows = [
        [
            *(each.kind, each.vendor, _memory(each.memory)),
            *(each.compute_capability or UNKNOWN, each.source),
        ]
        for each in known
    ]
    columns = ["KIND", "VENDOR", ">MEMORY", "COMPUTE CAPABILITY", "SOURCE"]
    print_table(columns, rows, empty="no accelerators")


def _wanted(
    catalog: Catalog, accelerator: str | None, cpu: float | None, memory: str | None
) -> Wanted:
    kind, _, count = (accelerator or "").partition(":")
    if kind:
        # A few kinds stand in the names of sizes only.
        named = {spelling(each.accelerator) for each in catalog.skus if each.accelerator}
        if spelling(kind) not in named:
            catalog.accelerators.find(kind)
    if count and not (count.isdecimal() and 0 < int(count) < 1000):
        raise Invalid(f"`{accelerator}` is not an accelerator; write it like `A100` or `A100:2`")
    if cpu is not None and not 0 < cpu <= 10_000:
        raise Invalid(f"`{cpu:g}` is not a number of processors; more than 0, at most 10,000")
    size = None
    if memory is not None:
        try:
            size = parse_bytes(memory)
        except ValueError as err:
            raise Invalid(str(err)) from err
    return Wanted(cpu, size, kind or None, int(count) if count else 0)


def _choose(known: Skus, wanted: Wanted) -> tuple[list[Sku], int]:
    """Return the sizes that hold what is wanted, the smallest first, and how many may."""
    found, unsure = [], 0
    for each in known:
        answers = [
            _at_least(each.cpu, wanted.cpu),
            _at_least(each.memory, wanted.memory),
            _has_kind(each, wanted.kind),
            _at_least(each.accelerators, wanted.accelerators or None),
        ]
        if False in answers:
            continue
        if None in answers:
            unsure += 1
            continue
        found.append(each)
    return sorted(found, key=_rank), unsure


def _at_least(value: float | None, least: float | None) -> bool | None:
    if least is None:
        return True
    return None if value is None else value >= least


def _has_kind(sku: Sku, kind: str | None) -> bool | None:
    if kind is None:
        return True
    if sku.accelerator is None:
        return None if sku.accelerators is None else False
    return spelling(sku.accelerator) == spelling(kind)


def _rank(sku: Sku) -> tuple[float, float, str]:
    cpu = _MOST if sku.cpu is None else sku.cpu
    return cpu, _MOST if sku.memory is None else sku.memory, sku.name


def _show(found: Sequence[Sku], known: Skus, where: Sequence[str], most: int) -> None:
    rows = [_row(each, known, where) for each in found[:most]]
    columns = ["SKU", "SERIES", ">CPU", ">MEMORY", "ACCELERATOR", "OFFERED", "SPOT"]
    columns += [">PRICE/H", ">SPOT/H"] if len(where) == 1 else []
    print_table([*columns, "SOURCE"], rows, empty="no size of machine is like that")
    if len(found) > most:
        note(f"{len(found) - most:,} more; narrow it down, or `--all`")
    if any(each.cpu_is_derived for each in found[:most]):
        note("CPU with ~ is read out of the name, by Azure's rule for names")


def _row(sku: Sku, known: Skus, where: Sequence[str]) -> list[Any]:
    row: list[Any] = [
        sku.name,
        sku.series or "-",
        UNKNOWN if sku.cpu is None else f"{'~' if sku.cpu_is_derived else ''}{sku.cpu:g}",
        _memory(sku.memory),
        _accelerator(sku),
        _offered(sku, known, where, Tier.STANDARD),
        _offered(sku, known, where, Tier.SPOT),
    ]
    if len(where) == 1:
        row += [
            _amount(known.price(sku.name, where[0], tier)) for tier in (Tier.STANDARD, Tier.SPOT)
        ]
        row.append(_source(sku, known, where[0]))
    else:
        row.append(sku.source)
    return row


def _source(sku: Sku, known: Skus, region: str) -> str:
    """Return every source of a row, each once: of the facts, the availability, the price."""
    price = known.price(sku.name, region)
    availability = known.availability(sku.name, region)
    sources = [sku.source, availability.source, price.source if price else None]
    return "; ".join(dict.fromkeys(str(each) for each in sources if each is not None))


def _offered(sku: Sku, known: Skus, where: Sequence[str], tier: Tier) -> str:
    answers = [known.offered(sku.name, name, tier) for name in where]
    if len(answers) == 1:
        return {True: "yes", False: "no", None: UNKNOWN}[answers[0]]
    if not any(answers) and None in answers:
        return UNKNOWN
    return f"{answers.count(True)} of {len(answers)}"


def _amount(price: ListPrice | None) -> str:
    return UNKNOWN if price is None else f"{price.amount:f} {price.currency}"


def _memory(size: int | None) -> str:
    return UNKNOWN if size is None else f"{size / _GIB:g} GiB"


def _accelerator(sku: Sku) -> str:
    if sku.accelerators == 0:
        return "none"
    each = f" {_memory(sku.accelerator_memory)}" if sku.accelerator_memory else ""
    number = "? x" if sku.accelerators is None else f"{sku.accelerators} x"
    return f"{number} {sku.accelerator}{each}" if sku.accelerator else UNKNOWN


def _json(sku: Sku, known: Skus, where: Sequence[str]) -> dict[str, Any]:
    return {
        "sku": sku.name,
        "series": sku.series or None,
        "cpu": sku.cpu,
        "cpu_is_derived": sku.cpu_is_derived,
        "memory_bytes": sku.memory,
        "accelerator": sku.accelerator,
        "accelerators": sku.accelerators,
        "accelerator_memory_bytes": sku.accelerator_memory,
        "source": sku.source.to_json(),
        "regions": {name: _in_region(sku, known, name) for name in where},
    }


def _in_region(sku: Sku, known: Skus, region: str) -> dict[str, Any]:
    def asked(ask: Callable[[Tier], Any]) -> dict[str, Any]:
        return {tier.value: ask(tier) for tier in Tier}

    def price(tier: Tier) -> dict[str, object] | None:
        found = known.price(sku.name, region, tier)
        return found.to_json() if found else None

    return {
        "offered": asked(lambda tier: known.offered(sku.name, region, tier)),
        "price": asked(price),
    }


def _note_uncovered(known: Skus, where: Sequence[str]) -> None:
    missing = [name for name in where if name not in known.covered_regions]
    if missing:
        names = ", ".join(f"`{name}`" for name in missing[:3])
        note(
            f"what is offered in {names} is unknown: no table covers it; "
            "`plinth catalog import FILE` (kind: availability) states it"
        )
