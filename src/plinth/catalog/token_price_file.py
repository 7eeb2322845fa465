"""An organisation's own token prices, from a file that it writes.

The command line reads it for `plinth tokens --prices`; its rows go before those that Plinth
brings. A wrong row is refused with its line, and
nothing is half loaded.
"""

from __future__ import annotations

from datetime import date

from pydantic import Field, field_validator

from plinth.domain.base import Declared
from plinth.domain.load import load_as
from plinth.domain.money import Currency, parse_amount
from plinth.domain.token_cost import DOLLARS, Rate, TokenPrice, check_rates
from plinth.domain.tokens import TokenMeter, parse_meter
from plinth.kit.errors import Invalid


class OwnTokenPrice(Declared):
    """One row: what a model costs you.

    `prices`: for 1,000,000 tokens, or 1,000 searches or requests. A row replaces the whole price
    from the UTC day `valid_from` on, or for good without one.
    """

    provider: str = Field(min_length=1, max_length=60)
    model: str = Field(min_length=1, max_length=200)
    prices: dict[str, str] = Field(min_length=1)
    currency: Currency = DOLLARS
    tier: str | None = Field(default=None, min_length=1, max_length=60)
    valid_from: date | None = None
    source: str = Field(min_length=1)

    @field_validator("provider", "model")
    @classmethod
    def _in_lower_case(cls, value: str) -> str:
        return value.strip().lower()

    @field_validator("prices")
    @classmethod
    def _are_prices(cls, written: dict[str, str]) -> dict[str, str]:
        try:
            check_rates(read_rates(written))
        except Invalid as err:
            if err.hint is None:
                raise ValueError(err.message) from err
            # A line about a file has no room for every name there is.
            raise ValueError(f"{err.message.partition('; accepted')[0]}; {err.hint}") from err
        return written


class OwnTokenPriceFile(Declared):
    """The whole file."""

    token_prices: tuple[OwnTokenPrice, ...]

    @field_validator("token_prices")
    @classmethod
    def _rows_differ(cls, rows: tuple[OwnTokenPrice, ...]) -> tuple[OwnTokenPrice, ...]:
        seen = set()
        for row in rows:
            name = (row.provider, row.model, row.tier, row.valid_from)
            if name in seen:
                since = f" from {row.valid_from}" if row.valid_from else ""
                raise ValueError(f"`{row.model}` of `{row.provider}` stands twice{since}")
            seen.add(name)
        currencies = sorted({row.currency for row in rows})
        if len(currencies) > 1:
            raise ValueError(f"{' and '.join(currencies)} stand in one file; one is accepted")
        return rows


def read_own_prices(content: bytes, file: str) -> tuple[TokenPrice, ...]:
    """Read a file of one's own prices, oldest first. Raises LoadError with every mistake in it."""
    rows = load_as(OwnTokenPriceFile, content, file).token_prices
    ordered = sorted(rows, key=lambda row: row.valid_from or date.min)
    return tuple(_price(row, file) for row in ordered)


def read_rates(written: dict[str, str]) -> dict[TokenMeter, Rate]:
    """Read prices by meter. Raises Invalid naming the meter, and the nearest one there is."""
    return {parse_meter(name): Rate(parse_amount(amount)) for name, amount in written.items()}


def _price(row: OwnTokenPrice, file: str) -> TokenPrice:
    return TokenPrice(
        provider=row.provider,
        model=row.model,
        rates=read_rates(row.prices),
        source=f"{row.source} ({file})",
        priced_by=row.provider,
        currency=row.currency,
        tier=row.tier,
        valid_from=row.valid_from,
    )
