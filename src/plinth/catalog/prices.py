"""The prices that Plinth brings: reviewed facts from `prices.yaml`.

The control service calls `load_prices` once for each bill. A wrong row of the file is refused with
its line, and nothing is half loaded.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from functools import cache
from importlib import resources

from pydantic import Field, field_validator

from plinth.domain.base import Declared
from plinth.domain.load import load_as
from plinth.domain.money import Currency, Price, parse_amount, parse_sku
from plinth.kit.errors import Invalid

FILE = "prices.yaml"


class PriceFacts(Declared):
    """One row of the file. `valid_from`: from the beginning of that day in UTC."""

    sku: str
    amount: str
    currency: Currency
    valid_from: date
    source: str = Field(min_length=1)
    checked: date

    @field_validator("sku")
    @classmethod
    def _is_a_sku(cls, value: str) -> str:
        try:
            return str(parse_sku(value))
        except Invalid as err:
            raise ValueError(err.message) from err

    @field_validator("amount")
    @classmethod
    def _is_an_amount(cls, value: str) -> str:
        try:
            parse_amount(value)
        except Invalid as err:
            raise ValueError(err.message) from err
        return value


class PriceFile(Declared):
    """The whole file."""

    prices: tuple[PriceFacts, ...]

    @field_validator("prices")
    @classmethod
    def _rows_differ(cls, rows: tuple[PriceFacts, ...]) -> tuple[PriceFacts, ...]:
        names = [(row.sku, row.valid_from) for row in rows]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"`{twice[0][0]}` stands twice from {twice[0][1]} on")
        return rows


@cache
def load_prices() -> tuple[Price, ...]:
    """Return every price of the file, read once. Raises LoadError when it has a mistake."""
    return read_prices(resources.files("plinth.catalog").joinpath(FILE).read_bytes())


def read_prices(content: bytes, file: str = FILE) -> tuple[Price, ...]:
    """Read a prices file. Raises LoadError with every mistake in it."""
    return tuple(_price(facts) for facts in load_as(PriceFile, content, file).prices)


def _price(facts: PriceFacts) -> Price:
    return Price(
        sku=facts.sku,
        amount=parse_amount(facts.amount),
        currency=facts.currency,
        valid_from=datetime.combine(facts.valid_from, time(), UTC),
        source=f"{facts.source} ({facts.checked.isoformat()})",
    )
