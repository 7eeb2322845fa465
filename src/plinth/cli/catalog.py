"""The verb `catalog`: facts and numbers that plans use, with source and date; needs no server."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

import typer

from plinth.catalog.catalog import open_catalog
from plinth.catalog.platforms import PlatformFacts, find_facts, load_facts
from plinth.catalog.quotas import QuotaKind
from plinth.catalog.regions import Region, Regions
from plinth.cli.catalog_imports import forget, import_file, list_imports
from plinth.cli.catalog_prices import prices
from plinth.cli.catalog_skus import accelerators, skus
from plinth.cli.output import note, print_json, print_table
from plinth.cli.session import HomeOption, JsonOption, open_home
from plinth.cli.verb import group

UNKNOWN = "unknown"
_CITATION = ("source", "checked")


def regions(
    *,
    geography: Annotated[
        str | None,
        typer.Option(metavar="GROUP", help="A group like `eu`, `us`, `germany`, or one region"),
    ] = None,
    groups: Annotated[bool, typer.Option("--groups", help="List the groups instead")] = False,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """List regions with country, pair and zones, or their groups."""
    known = open_catalog(open_home(home).catalog).regions
    if groups:
        _show_groups(known, as_json)
        return
    names = known.names if geography is None else known.expand(geography)
    found = [known.find(name) for name in names]
    if as_json:
        print_json([_region_json(each, known) for each in found])
        return
    columns = ["REGION", "NAME", "COUNTRY", "PLACE", "GROUPS", "PAIR", "ZONES", "SOURCE"]
    print_table(columns, [_region_row(each, known) for each in found], empty="no regions")
    if any(each.zones is None for each in found):
        note("zones are unknown until they are imported: `plinth catalog import FILE`")


def quotas(
    *,
    kind: Annotated[
        QuotaKind | None, typer.Option(metavar="KIND", help="Only of this kind, like `cpu`")
    ] = None,
    region: Annotated[
        str | None, typer.Option(metavar="REGION", help="Only of this region or group")
    ] = None,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """List the quotas that were imported; all others are unknown."""
    catalog = open_catalog(open_home(home).catalog)
    wanted = None if region is None else set(catalog.regions.expand(region))
    found = [
        each
        for each in catalog.quotas
        if kind in (None, each.kind) and (wanted is None or each.region in wanted)
    ]
    if as_json:
        print_json(
            [
                {
                    "quota": each.kind,
                    "of": each.of or None,
                    "region": each.region,
                    "limit": each.limit,
                    "used": each.used,
                    "left": each.left,
                    "source": each.source.to_json(),
                }
                for each in found
            ]
        )
        return
    rows = [
        [
            *(each.kind, each.of or "all", each.region, f"{each.limit:,}"),
            *(_whole(each.used), _whole(each.left), each.source),
        ]
        for each in found
    ]
    print_table(
        ["QUOTA", "OF", "REGION", ">LIMIT", ">USED", ">LEFT", "SOURCE"],
        rows,
        empty="unknown: no such quota was imported; `plinth catalog import FILE` (kind: quotas) "
        "states what your subscription has",
    )


def platforms(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Show every fact of this one")
    ] = None,
    *,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """List the platforms plans consider, or every fact of one."""
    catalog = open_catalog(open_home(home).catalog)
    if name is not None:
        _show_platform(_platform_json(catalog.with_day2(name, find_facts(name))), as_json)
        return
    rows = [_platform_json(catalog.with_day2(each.name, each)) for each in load_facts()]
    if as_json:
        print_json(rows)
        return
    columns = ["PLATFORM", "FUNCTIONS", "WHAT IT IS", "CHECKED", "SOURCE"]
    fields = ("name", "functions", "description", "checked", "source")
    print_table(columns, [[_fact(row[each]) for each in fields] for row in rows], empty="none")
    note("`plinth catalog platforms NAME` shows every fact of one")


def _show_groups(known: Regions, as_json: bool) -> None:
    if as_json:
        print_json({name: list(members) for name, members in known.groups.items()})
        return
    rows = [[name, len(members), ", ".join(members)] for name, members in known.groups.items()]
    print_table(["GROUP", ">REGIONS", "WHICH"], rows, empty="no groups")


def _region_row(region: Region, known: Regions) -> list[Any]:
    return [
        *(region.name, region.display, region.country or UNKNOWN, region.place or UNKNOWN),
        ", ".join(_groups_of(region.name, known)) or "none",
        region.pair or "none known",
        UNKNOWN if region.zones is None else region.zones,
        region.source,
    ]


def _region_json(region: Region, known: Regions) -> dict[str, Any]:
    return {
        "name": region.name,
        "display": region.display,
        "country": region.country or None,
        "geography": region.geography or None,
        "place": region.place or None,
        "type": region.type,
        "pair": region.pair,
        "code": region.code,
        "latitude": region.latitude,
        "longitude": region.longitude,
        "zones": region.zones,
        "groups": _groups_of(region.name, known),
        "source": region.source.to_json(),
    }


def _groups_of(name: str, known: Regions) -> list[str]:
    return [group for group, members in known.groups.items() if name in members]


def _platform_json(facts: PlatformFacts) -> dict[str, Any]:
    """Return the facts of one; what its file leaves out is None, also where a default stands."""
    dumped = facts.model_dump(mode="json")
    return {
        name: value if name in facts.model_fields_set or isinstance(value, dict) else None
        for name, value in dumped.items()
    }


def _show_platform(facts: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(facts)
        return
    rows = list(_facts_of("", facts, {each: facts.get(each) for each in _CITATION}))
    print_table(["FACT", "IS", "CHECKED", "SOURCE"], rows, empty="no facts")


def _facts_of(before: str, facts: dict[str, Any], citation: dict[str, Any]) -> Iterable[list[str]]:
    for name, value in facts.items():
        if name in _CITATION or (not before and name == "name"):
            continue
        if isinstance(value, dict) and set(_CITATION) <= value.keys():
            own = {each: value[each] for each in _CITATION}
            yield from _facts_of(f"{name}.", value, own)
        else:
            # Where a fact is unknown, nobody has checked it.
            cited = citation if value is not None else {}
            checked, source = cited.get("checked"), cited.get("source")
            yield [f"{before}{name}", _fact(value), str(checked or "-"), str(source or "-")]


def _fact(value: Any) -> str:
    if value is None:
        return UNKNOWN
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(_fact(each) for each in value) or "none"
    if isinstance(value, dict):
        return " ".join(f"{name}={_fact(each)}" for name, each in value.items())
    return str(value)


def _whole(value: int | None) -> str:
    return UNKNOWN if value is None else f"{value:,}"


COMMANDS = {
    "catalog": group(
        "catalog",
        {
            "platforms": platforms,
            "regions": regions,
            "skus": skus,
            "accelerators": accelerators,
            "prices": prices,
            "quotas": quotas,
            "imports": list_imports,
            "import": import_file,
            "forget": forget,
        },
        "Show the facts that plans use, and state your own. Needs no running Plinth.",
    ),
}
