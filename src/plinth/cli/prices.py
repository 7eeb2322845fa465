"""The verb `prices`: what one of everything costs, and stating that."""

from __future__ import annotations

from typing import Annotated

import typer

from plinth.cli.output import note, print_json, print_table
from plinth.cli.session import HomeOption, JsonOption, connect
from plinth.cli.verb import verbs


def list_prices(*, as_json: JsonOption = False, home: HomeOption = None) -> None:
    """List every price: since when it holds, and where it comes from."""
    with connect(home) as client:
        prices = client.prices()
    if as_json:
        print_json(prices)
        return
    rows = [
        [
            price["sku"],
            price["amount"],
            price["currency"],
            price["unit"],
            _time(price["valid_from"]),
            price["state"],
            price["source"],
        ]
        for price in prices
    ]
    print_table(
        ["SKU", ">PRICE", "CURRENCY", "FOR ONE", "FROM (UTC)", "STATE", "SOURCE"],
        rows,
        empty="no prices",
    )


def state_price(
    sku: Annotated[str, typer.Argument(metavar="SKU", help="Such as `local.cpu_hour`")],
    amount: Annotated[str, typer.Argument(metavar="AMOUNT", help="A number like `0.03`")],
    *,
    currency: Annotated[str, typer.Option(help="Three letters, like `EUR`")],
    valid_from: Annotated[
        str | None, typer.Option("--from", help="Day or time in UTC [default: now]")
    ] = None,
    as_json: JsonOption = False,
    home: HomeOption = None,
) -> None:
    """State what one unit costs from a time on. What was used before keeps its price."""
    with connect(home) as client:
        price = client.state_price(sku, amount, currency=currency, valid_from=valid_from)
    if as_json:
        print_json(price)
        return
    since, until = _time(price["valid_from"]), price["valid_until"]
    ends = f"until {_time(until)} UTC, when the next price begins" if until else "on"
    note(f"`{sku}` costs {price['amount']} {price['currency']} from {since} UTC {ends}")
    for other, its_currency in price["other_currencies"].items():
        note(f"`{other}` costs {its_currency} then: bills will have a total for each currency")


def _time(text: str) -> str:
    return text[:16].replace("T", " ")


COMMANDS = {
    "prices": verbs(
        "prices",
        list_prices,
        {"list": list_prices, "set": state_price},
        "List and state prices of what runs here; `plinth tokens` has those of model providers.",
    ),
}
