"""The verb `bill`: what was used x what it costs, with the arithmetic of every line."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import typer

from plinth.cli.output import console, counted, note, print_json, print_table
from plinth.cli.session import HomeOption, JsonOption, connect
from plinth.cli.verb import verb
from plinth.kit.errors import Invalid

Json = dict[str, Any]

# Column names of FOCUS, the open specification of bills, where it has one; `x_` marks our own.
_COLUMNS = (
    "BillingPeriodStart",
    "BillingPeriodEnd",
    "ChargePeriodStart",
    "ChargePeriodEnd",
    "ChargeCategory",
    "BillingCurrency",
    "BilledCost",
    "SkuId",
    "ListUnitPrice",
    "PricingQuantity",
    "PricingUnit",
    "ConsumedQuantity",
    "ConsumedUnit",
    "ChargeDescription",
)
_GROUP_COLUMNS = {"team": "SubAccountId", "workload": "ResourceId"}


def bill(
    *,
    by: Annotated[
        str,
        typer.Option(help="Of team, workload, principal, run, meter, sku, day, month"),
    ] = "team,workload",
    since: Annotated[
        str | None, typer.Option("--from", help="Day or time [default: the month's first day]")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--to", help="Up to, and without, this day [default: now]")
    ] = None,
    team: Annotated[str | None, typer.Option(help="Of this team only")] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Show every multiplication")] = False,
    csv_file: Annotated[
        Path | None, typer.Option("--csv", help="Write every multiplication to this file")
    ] = None,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """Show what was used x what it costs: this month so far, if nothing else is said.

    Times are UTC. Lines are rounded so that they sum to the total. What still runs is counted up
    to when it was last seen, as in `plinth usage`.
    """
    with connect(home) as client:
        made = client.bill(by=by, since=since, until=until, team=team)
    if csv_file is not None:
        _write_csv(made, csv_file)
    if as_json:
        print_json(made)
        return
    _show(made)
    if explain:
        _explain(made)
    _remark(made)


def _show(made: Json) -> None:
    so_far = ", so far" if made["is_until_now"] else ""
    console().print(f"From {_time(made['from'])} to {_time(made['to'])} UTC{so_far}\n")
    rows = [
        [
            *(line[group] for group in made["by"]),
            _coins(line),
            line["currency"],
            _state(line),
        ]
        for line in made["lines"]
    ]
    blanks = [""] * (len(made["by"]) - 1)
    rows += [["TOTAL", *blanks, _coins(total), total["currency"], ""] for total in made["totals"]]
    columns = [*(group.upper() for group in made["by"]), ">AMOUNT", "CURRENCY", "STATE"]
    print_table(columns, rows, empty="nothing was used then; `plinth usage` shows all there is")


def _explain(made: Json) -> None:
    shown = console()
    for line in made["lines"]:
        name = "  ".join(line[group] or "-" for group in made["by"])
        shown.print(f"\n{name}: {_coins(line)} {line['currency'] or ''}".rstrip())
        for part in line["parts"]:
            shown.print(f"  {_arithmetic(part)}", soft_wrap=True)
    shown.print()
    rows = [
        [each["sku"], each["amount"], each["currency"], _time(each["valid_from"]), each["source"]]
        for each in made["prices"]
    ]
    if rows:
        print_table(["SKU", ">PRICE", "CURRENCY", "FROM", "SOURCE"], rows, empty="")


def _arithmetic(part: Json) -> str:
    quantity = Decimal(part["fine_quantity"])
    used = f"{quantity:,f} {part['fine_unit']}{'' if quantity == 1 else 's'}"
    used += " (estimated)" if part["estimated"] else ""
    running = f" (still running, seen {_time(part['seen_at'])})" if part["seen_at"] else ""
    if part["price"] is None:
        return f"{part['sku'] or part['meter']}: {used}, unpriced: {part['why_unpriced']}{running}"
    unit = f" / {part['fine_units']}" if part["fine_units"] != 1 else ""
    exact = f"{Decimal(part['exact']):,f}".rstrip("0").rstrip(".")
    return (
        f"{part['sku']}: {used}{unit} x {part['price']} {part['currency']} = "
        f"{exact} {part['currency']}{running}"
    )


def _remark(made: Json) -> None:
    """Say on stderr what the amounts do not."""
    running = [line for line in made["lines"] if line["seen_at"]]
    if running:
        note(f"{counted(len(running), 'line')} still running: counted up to when it was last seen")
    if made["unpriced_lines"]:
        lines = counted(made["unpriced_lines"], "line")
        note(f"{lines} without a price: what that costs is unknown and in no total; `--explain`")
    for gap in made["gaps"]:
        note(
            f"usage may be missing from {_time(gap['from'])} to {_time(gap['to'])} UTC: "
            f"{gap['reason']}"
        )


def _state(line: Json) -> str:
    if line["amount"] is None:
        return "unpriced"
    return "still running" if line["seen_at"] else ""


def _write_csv(made: Json, path: Path) -> None:
    try:
        with path.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream)
            writer.writerow([*(_GROUP_COLUMNS.get(g, f"x_{g}") for g in made["by"]), *_COLUMNS])
            writer.writerows(_csv_rows(made))
    except OSError as err:
        raise Invalid(f"`{path}` cannot be written: {err.strerror}") from err


def _csv_rows(made: Json) -> Iterator[list[Any]]:
    for line in made["lines"]:
        for part in line["parts"]:
            yield [
                *(line[group] for group in made["by"]),
                made["from"],
                made["to"],
                part["from"],
                part["to"],
                "Usage",
                part["currency"],
                part["exact"],
                part["sku"],
                part["price"],
                part["quantity"],
                part["unit"],
                part["fine_quantity"],
                part["fine_unit"],
                _arithmetic(part),
            ]


def _coins(cost: Json) -> str:
    """Write an amount in coins; what is less than one, and not nothing, says so."""
    if cost["amount"] is None:
        return "unknown"
    amount = Decimal(cost["amount"])
    if not amount and Decimal(cost["exact"]):
        return f"<{Decimal((0, (1,), int(amount.as_tuple().exponent))):f}"
    return f"{amount:,f}"


def _time(text: str) -> str:
    return text[:16].replace("T", " ")


COMMANDS = {"bill": verb(bill, "bill")}
