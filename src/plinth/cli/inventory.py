"""The verb `inventory`: what the organisation owns, which plans prefer; needs no server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import typer

from plinth.catalog.catalog import open_catalog
from plinth.catalog.inventory import (
    add_owned,
    check_owned,
    fewest_units,
    load_inventory,
    remove_owned,
)
from plinth.catalog.machine import LOCAL
from plinth.catalog.platforms import find_facts
from plinth.cli.output import note, print_json, print_table
from plinth.cli.session import HomeOption, JsonOption, open_home
from plinth.cli.verb import group
from plinth.domain.inventory import Owned
from plinth.kit.units import format_bytes

_OWN = "own-hardware"


def add(  # noqa: PLR0913 - one for each option
    platform: Annotated[
        str, typer.Argument(metavar="PLATFORM", help="What it is, as `plinth catalog platforms`")
    ],
    *,
    name: Annotated[
        str | None, typer.Option(help="How you call it [default: the platform's name]")
    ] = None,
    region: Annotated[str | None, typer.Option(help="Where it stands, like `westeurope`")] = None,
    cpu: Annotated[str | None, typer.Option(help="Cores of one machine")] = None,
    memory: Annotated[str | None, typer.Option(help="Memory of one machine, like `64GB`")] = None,
    accelerator: Annotated[
        str | None, typer.Option(help="Accelerators of one machine, like `A100:2`")
    ] = None,
    count: Annotated[str | None, typer.Option(help="How many such machines there are")] = None,
    price_per_hour: Annotated[
        str | None, typer.Option(help="What an hour of one machine costs, as you reckon it")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="The model that `--units` are for, like `gpt-4o`")
    ] = None,
    units: Annotated[
        str | None, typer.Option(help="Units of provisioned throughput that are paid for")
    ] = None,
    committed: Annotated[
        str | None, typer.Option(help="Spend of a month that is promised already")
    ] = None,
    currency: Annotated[
        str | None, typer.Option(help="Of the amounts, like `EUR` [default: USD]")
    ] = None,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """State one thing that you own, and print what it means for plans.

    What you leave out is unknown. Everything is checked against the catalog first.
    """
    given = {
        "platform": platform,
        "name": name,
        "region": region,
        "cpu": cpu,
        "memory": memory,
        "accelerator": accelerator,
        "count": count,
        "price_per_hour": price_per_hour,
        "model": model,
        "units": units,
        "committed": committed,
        "currency": currency,
    }
    folder = open_home(home).catalog
    stated = {field: text for field, text in given.items() if text is not None}
    owned = check_owned(stated, open_catalog(folder))
    kept = add_owned(folder, owned, renames=name is None)
    if as_json:
        print_json(_json(kept))
    _tell(kept)


def list_owned(*, as_json: JsonOption = False, home: HomeOption = None) -> None:
    """List what you own, in the order in which it was added."""
    found = load_inventory(open_home(home).catalog).owned
    if as_json:
        print_json([_json(each) for each in found])
        return
    print_table(
        ["NAME", "PLATFORM", "REGION", ">MACHINES", "EACH", ">AN HOUR", "UNITS", ">COMMITTED"],
        [_row(each) for each in found],
        empty="the inventory is empty; `plinth inventory add PLATFORM` states what you own",
    )


def remove(
    name: Annotated[str, typer.Argument(metavar="NAME", help="As `list` shows it")],
    *,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Take one thing out. Plans do not count on it any more."""
    gone = remove_owned(open_home(home).catalog, name)
    if as_json:
        print_json({"name": name, "removed": True})
    note(f"removed `{name}`: {_summary(gone)}")


def _tell(kept: Owned) -> None:
    note(f"added `{kept.name}`: {_summary(kept)}")
    for line in _meaning(kept):
        note(f"  {line}")
    note(f"undo: `plinth inventory remove {kept.name}`")


def _summary(owned: Owned) -> str:
    parts = [f"`{owned.platform}`" + (f" in {owned.region}" if owned.region else "")]
    size = _size(owned)
    if owned.count is not None:
        parts.append(f"{owned.count:,} x ({size})" if size else f"{owned.count:,} machines")
    elif size:
        parts.append(size)
    if owned.units is not None:
        parts.append(f"{owned.units:,} units for {owned.model}")
    return ", ".join(parts)


def _size(owned: Owned) -> str:
    parts = []
    if owned.cpu is not None:
        parts.append(f"{owned.cpu:g} core" + ("" if owned.cpu == 1 else "s"))
    if owned.memory is not None:
        parts.append(format_bytes(owned.memory))
    if owned.accelerator is not None:
        parts.append(f"{owned.accelerator.count} x {owned.accelerator.kind}")
    return ", ".join(parts)


def _meaning(owned: Owned) -> Iterator[str]:
    """Say what plans make of it, and what they cannot know yet."""
    if owned.platform == LOCAL:
        where = f"it stands in {owned.region}" if owned.region else "where it stands is unknown"
        yield f"this machine: {where}; residency is judged by that, before each start too"
    else:
        yield "plans prefer it where it meets the requirements, else they name those that it fails"
        if owned.region is None:
            yield "where it stands is unknown, so residency is too: `--region` says it"
    if _OWN in (find_facts(owned.platform).supply.tiers or ()) and owned.platform != LOCAL:
        if owned.cpu is None or owned.memory is None:
            yield "its size is unknown, so whether a workload fits is too: `--cpu`, `--memory`"
        if owned.price_per_hour is None:
            yield "you have it, so it is not charged again; `--price-per-hour` charges for it"
    if owned.model is not None and owned.units is not None:
        yield f"its {owned.units:,} units for {owned.model} are paid for already"
        fewest = fewest_units(owned.model)
        if fewest is not None and owned.units < fewest:
            yield f"that is less than the {fewest} units that a deployment of it has at least"
    if owned.committed is not None:
        amount = f"{owned.committed:f} {owned.currency}"
        yield f"{amount} of a month are promised: paid whether they are used or not"


def _row(owned: Owned) -> list[Any]:
    return [
        *(owned.name, owned.platform, owned.region or "unknown"),
        None if owned.count is None else f"{owned.count:,}",
        _size(owned) or None,
        _money(owned, owned.price_per_hour),
        None if owned.units is None else f"{owned.units:,} of {owned.model}",
        _money(owned, owned.committed),
    ]


def _money(owned: Owned, amount: Any) -> str | None:
    return None if amount is None else f"{amount:f} {owned.currency}"


def _json(owned: Owned) -> dict[str, Any]:
    return owned.model_dump(mode="json")


COMMANDS = {
    "inventory": group(
        "inventory",
        {"add": add, "list": list_owned, "remove": remove},
        "State what you own, so that plans prefer it. Needs no running Plinth.",
    ),
}
