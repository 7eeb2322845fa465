"""The kinds of files that can be imported: their columns, and what a row states.

`KINDS` is the one table of columns; the how-to lists them. `imports.py` checks cells by it and
builds the typed rows, which `catalog.py` lays over what Plinth brings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal

from plinth.catalog import import_values as values
from plinth.catalog.egress import GB, INTER_REGION, INTERNET
from plinth.catalog.exchange import ExchangeRate
from plinth.catalog.import_values import Check, WrongValue
from plinth.catalog.meter_name import Counted, Deployment
from plinth.catalog.meters import MeterKey
from plinth.catalog.names import spelling
from plinth.catalog.price import COUNTS, HOUR, ListPrice, Tier
from plinth.catalog.quotas import Quota, QuotaKind
from plinth.catalog.skus import Sku
from plinth.catalog.table import Source
from plinth.domain.platform import Day2

YES = "yes"
MOST_AMOUNT = "1000000"
_TIERS = tuple(Tier)
_OPTIONS = ("batch", "priority", "fine-tuned", "long-context", "short-context")
_SUBJECTS = ("sku", "model", "egress")
_OF_MODELS = ("counted", "deployment", "version", "options")
DAY2_TASKS = tuple(name for name in Day2.model_fields if name not in ("source", "checked"))

Cells = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class SkuPrice:
    """What an hour of a size costs. `region` None: everywhere it has no price of its own."""

    sku: str
    region: str | None
    tier: Tier
    price: ListPrice


@dataclass(frozen=True, slots=True)
class ModelPrice:
    """What a model costs."""

    key: MeterKey
    price: ListPrice


@dataclass(frozen=True, slots=True)
class EgressPrice:
    """What a GB costs out of a region, to the internet or to another region."""

    path: str
    region: str | None
    price: ListPrice


@dataclass(frozen=True, slots=True)
class SkuOffered:
    """Whether a size is sold in a region."""

    sku: str
    region: str
    tier: Tier
    offered: bool
    source: Source


@dataclass(frozen=True, slots=True)
class ServiceOffered:
    """Whether a service is sold in a region."""

    service: str
    region: str
    offered: bool
    source: Source


@dataclass(frozen=True, slots=True)
class Zones:
    """How many availability zones a region has."""

    region: str
    zones: int
    source: Source


@dataclass(frozen=True, slots=True)
class Day2Hours:
    """How many hours of a person's work in a month one task of a platform takes."""

    platform: str
    task: str
    hours: float
    source: Source


@dataclass(frozen=True, slots=True)
class PlatformPrice:
    """What a platform charges beside its machines, for an hour of one of them.

    `region` None: everywhere it has no price of its own.
    """

    platform: str
    region: str | None
    price: ListPrice


Stated = (
    SkuPrice
    | ModelPrice
    | EgressPrice
    | SkuOffered
    | ServiceOffered
    | Zones
    | Sku
    | Quota
    | ExchangeRate
    | Day2Hours
    | PlatformPrice
)


@dataclass(frozen=True, slots=True)
class Column:
    """One column: how a cell is checked, and what it holds, for people."""

    name: str
    check: Check
    text: str
    needed: bool = False


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of file.

    `check_row` yields what is wrong between the cells of a row, with its column. `key`: the columns
    by which two rows of a file are the same. `build`: the row, from cells that are checked.
    """

    columns: tuple[Column, ...]
    key: tuple[str, ...]
    build: Callable[[Cells, Source], Stated]
    check_row: Callable[[Cells], Iterator[tuple[str, WrongValue]]]


def _one_subject(cells: Cells, subjects: tuple[str, ...]) -> Iterator[tuple[str, WrongValue]]:
    named = [each for each in subjects if each in cells]
    if len(named) != 1:
        names = ", ".join(f"`{each}`" for each in subjects)
        fact = "two of them stand here" if named else "none stands here"
        yield subjects[0], WrongValue(f"a row is about one of {names}; {fact}")


def _check_price(cells: Cells) -> Iterator[tuple[str, WrongValue]]:
    yield from _one_subject(cells, _SUBJECTS)
    unit = cells.get("unit")
    if "model" in cells:
        for name in ("counted", "deployment", "unit"):
            if name not in cells:
                yield name, WrongValue("this column is needed for the price of a model")
        if unit == GB:
            yield "unit", WrongValue(f"`{GB}` is no unit of a model's prices", (*COUNTS, HOUR))
    elif unit is not None and unit != _usual_unit(cells):
        yield "unit", WrongValue(f"`{unit}` is not the unit here; `{_usual_unit(cells)}` is")
    if "sku" in cells and Decimal(cells.get("amount", "1")) == 0:
        yield "amount", WrongValue("a machine is not free; leave the row out where it is unknown")
    for name in (*_OF_MODELS, "tier"):
        owner = "sku" if name == "tier" else "model"
        if name in cells and owner not in cells:
            yield name, WrongValue("this column does not belong to what the row is about")


def _check_availability(cells: Cells) -> Iterator[tuple[str, WrongValue]]:
    yield from _one_subject(cells, ("sku", "service"))
    if "service" in cells and "tier" in cells:
        yield "tier", WrongValue("a service has no tiers")


def _check_sku(cells: Cells) -> Iterator[tuple[str, WrongValue]]:
    if cells.keys() <= {"sku"}:
        yield "cpu", WrongValue("the row says nothing about the size; fill a column")
    if "accelerator-memory" in cells and cells.get("accelerator", "none") == "none":
        yield "accelerator-memory", WrongValue("the size has no accelerator to hold it")


def _check_rate(cells: Cells) -> Iterator[tuple[str, WrongValue]]:
    if "from" in cells and cells.get("from") == cells.get("to"):
        yield "to", WrongValue("a rate is between two currencies")


def _usual_unit(cells: Cells) -> str:
    return GB if "egress" in cells else HOUR


def _price(cells: Cells, source: Source) -> Stated:
    price = ListPrice(
        Decimal(cells["amount"]), cells["currency"], cells.get("unit") or _usual_unit(cells), source
    )
    region = cells.get("region")
    if "sku" in cells:
        return SkuPrice(cells["sku"], region, Tier(cells.get("tier", Tier.STANDARD)), price)
    if "egress" in cells:
        return EgressPrice(cells["egress"], region, price)
    key = MeterKey(
        spelling(cells["model"]),
        Counted(cells["counted"]),
        Deployment(cells["deployment"]),
        region,
        cells.get("version"),
        frozenset(cells.get("options", "").split()),
    )
    return ModelPrice(key, price)


def _sku(cells: Cells, source: Source) -> Stated:
    kind, _, count = cells.get("accelerator", "").partition(":")
    return Sku(
        name=cells["sku"],
        series="",
        cpu=float(cells["cpu"]) if "cpu" in cells else None,
        memory=int(cells["memory"]) if "memory" in cells else None,
        accelerator=kind if count else None,
        accelerators=int(count or 0) if kind else None,
        accelerator_memory=_optional_whole(cells, "accelerator-memory"),
        cpu_is_derived=False,
        source=source,
    )


def _availability(cells: Cells, source: Source) -> Stated:
    offered, region = cells["offered"] == YES, cells["region"]
    if "service" in cells:
        return ServiceOffered(cells["service"], region, offered, source)
    tier = Tier(cells.get("tier", Tier.STANDARD))
    return SkuOffered(cells["sku"], region, tier, offered, source)


def _quota(cells: Cells, source: Source) -> Stated:
    return Quota(
        kind=QuotaKind(cells["quota"]),
        of=cells.get("of", ""),
        region=cells["region"],
        limit=int(cells["limit"]),
        used=_optional_whole(cells, "used"),
        source=source,
    )


def _rate(cells: Cells, source: Source) -> Stated:
    return ExchangeRate(cells["from"], cells["to"], Decimal(cells["rate"]), source)


def _zones(cells: Cells, source: Source) -> Stated:
    return Zones(cells["region"], int(cells["zones"]), source)


def _day2(cells: Cells, source: Source) -> Stated:
    return Day2Hours(cells["platform"], cells["task"], float(cells["hours"]), source)


def _platform_price(cells: Cells, source: Source) -> Stated:
    price = ListPrice(Decimal(cells["amount"]), cells["currency"], HOUR, source)
    return PlatformPrice(cells["platform"], cells.get("region"), price)


def _optional_whole(cells: Cells, name: str) -> int | None:
    return int(cells[name]) if name in cells else None


def _nothing_between(_: Cells) -> Iterator[tuple[str, WrongValue]]:
    return iter(())


_COUNT = values.number("1", "1000000000000", whole=True, zero=True)
KINDS: Mapping[str, Kind] = {
    "prices": Kind(
        columns=(
            Column("sku", values.known_sku, "a size of machine; a row has this, or"),
            Column("model", values.name, "a model; or"),
            Column("egress", values.one_of((INTERNET, INTER_REGION)), "the way data leaves"),
            Column("region", values.region, "left out: wherever no other row says more"),
            Column("tier", values.one_of(_TIERS), "of a size; left out: standard"),
            Column("counted", values.one_of(tuple(Counted)), "of a model, needed there"),
            Column("deployment", values.one_of(tuple(Deployment)), "of a model, needed there"),
            Column("version", values.name, "of a model; left out: every version"),
            Column("options", values.several_of(_OPTIONS), "of a model, with spaces between them"),
            Column(
                "amount",
                values.number("0.000000000001", MOST_AMOUNT, zero=True),
                "what one unit costs; a size is never 0",
                needed=True,
            ),
            Column("currency", values.currency, "three letters, like EUR", needed=True),
            Column(
                "unit",
                values.one_of((HOUR, GB, *COUNTS)),
                "hour for sizes, GB for egress, else 1K, 1M, ... (needed for models)",
            ),
        ),
        key=(*_SUBJECTS, "region", "tier", *_OF_MODELS),
        build=_price,
        check_row=_check_price,
    ),
    "skus": Kind(
        columns=(
            Column("sku", values.any_sku, "a size, also a new one", needed=True),
            Column("cpu", values.number("0.1", "10000"), "processors"),
            Column("memory", values.memory, "like 16GiB"),
            Column("accelerator", values.accelerator, "like A100:2, or none"),
            Column("accelerator-memory", values.memory, "of each accelerator, like 80GiB"),
        ),
        key=("sku",),
        build=_sku,
        check_row=_check_sku,
    ),
    "availability": Kind(
        columns=(
            Column("sku", values.known_sku, "a size of machine; a row has this, or"),
            Column("service", values.service, "a service of Azure"),
            Column("region", values.region, "a region", needed=True),
            Column("tier", values.one_of(_TIERS), "of a size; left out: standard"),
            Column("offered", values.one_of((YES, "no")), "yes or no", needed=True),
        ),
        key=("sku", "service", "region", "tier"),
        build=_availability,
        check_row=_check_availability,
    ),
    "quotas": Kind(
        columns=(
            Column("quota", values.one_of(tuple(QuotaKind)), "what is limited", needed=True),
            Column("of", values.name, "a series, an accelerator or a model; left out: all"),
            Column("region", values.region, "a region", needed=True),
            Column("limit", _COUNT, "a whole number; 0: none may be used", needed=True),
            Column("used", _COUNT, "a whole number; left out: unknown"),
        ),
        key=("quota", "of", "region"),
        build=_quota,
        check_row=_nothing_between,
    ),
    "exchange-rates": Kind(
        columns=(
            Column("from", values.currency, "three letters, like USD", needed=True),
            Column("to", values.currency, "three letters, like EUR", needed=True),
            Column(
                "rate",
                values.number("0.000000000001", MOST_AMOUNT),
                "what one unit of `from` is in `to`",
                needed=True,
            ),
        ),
        key=("from", "to"),
        build=_rate,
        check_row=_check_rate,
    ),
    "regions": Kind(
        columns=(
            Column("region", values.region, "a region", needed=True),
            Column(
                "zones",
                values.number("1", "10", whole=True, zero=True),
                "how many availability zones it has",
                needed=True,
            ),
        ),
        key=("region",),
        build=_zones,
        check_row=_nothing_between,
    ),
    "day2-hours": Kind(
        columns=(
            Column("platform", values.platform, "a platform", needed=True),
            Column("task", values.one_of(DAY2_TASKS), "what the work is", needed=True),
            Column(
                "hours",
                values.number("0.01", "744", zero=True),
                "hours of a person's work in a month",
                needed=True,
            ),
        ),
        key=("platform", "task"),
        build=_day2,
        check_row=_nothing_between,
    ),
    "platform-prices": Kind(
        columns=(
            Column("platform", values.platform, "a platform", needed=True),
            Column("region", values.region, "left out: wherever no other row says more"),
            Column(
                "amount",
                values.number("0.000000000001", MOST_AMOUNT, zero=True),
                "what it costs beside one machine; 0: nothing",
                needed=True,
            ),
            Column("currency", values.currency, "three letters, like EUR", needed=True),
            Column("unit", values.one_of((HOUR,)), "hour, which may be left out"),
        ),
        key=("platform", "region"),
        build=_platform_price,
        check_row=_nothing_between,
    ),
}
