"""`plinth catalog prices`: what machines, models and moving data cost, by list or by import."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from plinth.catalog.catalog import Catalog, open_catalog
from plinth.catalog.egress import INTER_REGION, INTERNET
from plinth.catalog.exchange import ExchangeRate
from plinth.catalog.import_kinds import EgressPrice, ModelPrice, PlatformPrice
from plinth.catalog.import_values import CURRENCIES
from plinth.catalog.names import nearest, spelling
from plinth.catalog.price import ListPrice, Tier
from plinth.cli.output import note, print_json, print_table
from plinth.cli.session import HomeOption, JsonOption, open_home
from plinth.kit.errors import Invalid

UNKNOWN = "unknown"
SHOWN = 60
_EVERYWHERE = "every other"


@dataclass(frozen=True, slots=True)
class Line:
    """One price, or that it is unknown. `how`: tier or deployment; `since`: its first day."""

    what: str
    how: str
    where: str
    price: ListPrice | None
    since: str = ""
    name: str = ""


def prices(
    *,
    model: Annotated[
        str | None, typer.Option(metavar="MODEL", help="Every meter of a model, like `gpt-4o`")
    ] = None,
    sku: Annotated[
        str | None, typer.Option(metavar="SKU", help="A size of machine, like `D4s_v5`")
    ] = None,
    region: Annotated[
        str | None, typer.Option(metavar="REGION", help="Only in this region or group")
    ] = None,
    models: Annotated[bool, typer.Option("--models", help="List the models instead")] = False,
    currency: Annotated[
        str | None, typer.Option(metavar="CODE", help="Convert, at a rate that was imported")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Every row, however many")] = False,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """List prices with source and date. What nobody stated is unknown, not free."""
    catalog = open_catalog(open_home(home).catalog)
    if model is not None and sku is not None:
        raise Invalid("`--model` and `--sku` ask for different things", hint="give one of them")
    if models:
        _show_models(catalog, as_json)
        return
    where = None if region is None else catalog.regions.expand(region)
    lines, used = _convert(list(_lines(catalog, model, sku, where)), catalog, currency)
    if as_json:
        print_json([_json(each) for each in lines])
    else:
        _show(lines, len(lines) if every else SHOWN)
        if model is None and sku is None:
            note(f"and {len(catalog.meters):,} meters of models: `plinth catalog prices --models`")
    for rate in used:
        note(f"converted: {rate}")
    if any(each.price is None for each in lines):
        note("`plinth catalog import FILE` (kind: prices) states what is unknown")


def _lines(
    catalog: Catalog, model: str | None, sku: str | None, where: tuple[str, ...] | None
) -> Iterator[Line]:
    if model is not None:
        yield from _model_lines(catalog, model, where)
    elif sku is not None:
        yield from _sku_lines(catalog, catalog.skus.find(sku).name, where)
    else:
        for each in catalog.skus:
            if catalog.skus.priced_regions(each.name):
                yield from _sku_lines(catalog, each.name, where, unknown=False)
        yield from _platform_lines(catalog, where)
        yield from _data_lines(catalog, where)


def _sku_lines(
    catalog: Catalog, sku: str, where: tuple[str, ...] | None, *, unknown: bool = True
) -> Iterator[Line]:
    known = catalog.skus
    priced = known.priced_regions(sku)
    regions = [name for name in priced if name] if where is None else where
    for region in regions:
        for tier in (Tier.STANDARD, Tier.SPOT, Tier.LOW_PRIORITY):
            price = known.price(sku, region, tier)
            # Low priority is asked for by few, and never priced in what Plinth brings.
            if price is not None or (unknown and tier is not Tier.LOW_PRIORITY):
                yield Line(sku, tier.value, region, price)
    if where is None:
        for tier in Tier:
            # No region has an empty name, so this is the price of all that have none.
            price = known.price(sku, "", tier)
            if price is not None:
                yield Line(sku, tier.value, _EVERYWHERE, price)
        if unknown and None not in priced:
            yield Line(sku, "each tier", _EVERYWHERE if priced else "every", None)


def _model_lines(catalog: Catalog, model: str, where: tuple[str, ...] | None) -> Iterator[Line]:
    stated = [
        each
        for imported in catalog.imports
        for each in imported.rows
        if isinstance(each, ModelPrice) and each.key.model == spelling(model)
    ]
    latest = {each.key: each for each in stated}
    for key, each in latest.items():
        if where is None or key.region is None or key.region in where:
            words = (key.deployment, key.version or "", *sorted(key.options))
            how = " ".join(word for word in (key.counted.value, *words) if word)
            yield Line(model, how, key.region or _EVERYWHERE, each.price)
    try:
        meters = catalog.meters.find(model)
    except Invalid:
        if not latest:
            raise
        return
    found: list[tuple[tuple[str, ...], Line]] = []
    for meter in meters:
        name = catalog.meters.name_of(meter)
        regions = meter.regions if where is None else meter.regions.intersection(where)
        if not regions and (where is not None or meter.regions):
            continue
        parts = [name.deployment or UNKNOWN, name.version, name.modality, *sorted(name.options)]
        line = Line(
            what=name.model,
            how=" ".join(part for part in (name.counted.value, *parts) if part),
            where=", ".join(sorted(regions)) or UNKNOWN,
            price=catalog.meters.list_price(meter),
            since=meter.effective.isoformat(),
            name=meter.name,
        )
        # The plain prices first: they are what most people look for.
        order = (*sorted(name.options), "", name.version, name.deployment or "", name.counted)
        found.append((order if name.options else ("", *order), line))
    yield from (line for _, line in sorted(found, key=lambda each: each[0]))


def _platform_lines(catalog: Catalog, where: tuple[str, ...] | None) -> Iterator[Line]:
    stated = {
        (each.platform, each.region): each.price
        for imported in catalog.imports
        for each in imported.rows
        if isinstance(each, PlatformPrice)
    }
    for (platform, region), price in stated.items():
        if where is None or region is None or region in where:
            yield Line(f"platform {platform}", "beside one machine", region or _EVERYWHERE, price)


def _data_lines(catalog: Catalog, where: tuple[str, ...] | None) -> Iterator[Line]:
    overrides = {
        (each.path, each.region): each.price
        for imported in catalog.imports
        for each in imported.rows
        if isinstance(each, EgressPrice)
    }
    for (path, region), price in overrides.items():
        if where is None or region is None or region in where:
            yield Line(f"egress {path}", "each GB", region or _EVERYWHERE, price)
    for path in (INTERNET, INTER_REGION):
        for (its_path, region), steps in catalog.egress.paths.items():
            if its_path != path or not (where is None or region is None or region in where):
                continue
            for step in steps:
                end = f"to {step.to_gb:,}" if step.to_gb else "on"
                how = f"GB of a month from {step.from_gb:,} {end}"
                yield Line(f"egress {path}", how, region or "every", step.price)
    for tier in catalog.egress.storage:
        if where is None or tier.region in where:
            yield Line(tier.sku, tier.tier, tier.region, tier.price)


def _convert(
    lines: list[Line], catalog: Catalog, currency: str | None
) -> tuple[list[Line], list[ExchangeRate]]:
    if currency is None:
        return lines, []
    if currency not in CURRENCIES:
        close = nearest(currency, CURRENCIES)
        meant = f"; did you mean `{close}`?" if close else ""
        raise Invalid(f"`{currency[:20]}` is not a currency; three letters like `EUR` are{meant}")
    found: list[Line] = []
    used: dict[str, ExchangeRate] = {}
    for each in lines:
        if each.price is None:
            found.append(each)
            continue
        price, rate = catalog.exchange.convert(each.price, currency)
        if rate is not None:
            used[rate.origin] = rate
        found.append(Line(each.what, each.how, each.where, price, each.since, each.name))
    return found, list(used.values())


def _show(lines: list[Line], most: int) -> None:
    rows = [
        [
            *(each.what, each.how, _short(each.where)),
            *_money(each.price),
            each.since or "-",
            each.price.source if each.price else "-",
        ]
        for each in lines[:most]
    ]
    columns = ["WHAT", "HOW", "REGION", ">PRICE", "CURRENCY", "FOR ONE", ">PER 1M", "SINCE"]
    print_table([*columns, "SOURCE"], rows, empty="no price is known; `plinth catalog import FILE`")
    if len(lines) > most:
        note(f"{len(lines) - most:,} more; narrow it down by `--region`, or `--all`")


def _money(price: ListPrice | None) -> tuple[str, str, str, str]:
    if price is None:
        return UNKNOWN, "-", "-", "-"
    per_million = "-" if price.per_million is None else f"{price.per_million.normalize():f}"
    return f"{price.amount:f}", price.currency, price.unit, per_million


def _short(where: str) -> str:
    names = where.split(", ")
    return where if len(names) < 3 else f"{len(names)} regions"


def _json(line: Line) -> dict[str, Any]:
    return {
        "what": line.what,
        "how": line.how,
        "regions": line.where.split(", "),
        "price": line.price.to_json() if line.price else None,
        "since": line.since or None,
        "meter": line.name or None,
    }


def _show_models(catalog: Catalog, as_json: bool) -> None:
    names = sorted(set(catalog.meters.models.values()))
    if as_json:
        print_json(names)
        return
    rows = [[name, len(catalog.meters.find(name)), catalog.meters.source] for name in names]
    print_table(["MODEL", ">METERS", "SOURCE"], rows, empty="no models")
