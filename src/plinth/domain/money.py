"""What usage costs: money, prices, and usage rated with a price. Nothing here is rounded."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Context, Decimal, Inexact, InvalidOperation
from enum import StrEnum
from fractions import Fraction
from typing import Annotated

from pydantic import AwareDatetime, Field

from plinth.domain.base import Declared
from plinth.domain.usage import UsageSum
from plinth.kit.errors import Invalid
from plinth.kit.excerpt import excerpt

# Wide enough for every sum there can be; what would be rounded raises instead.
EXACT = Context(prec=80, traps=[Inexact, InvalidOperation])
# Requests are counted at the gateway, wherever the model server runs; so are tokens, which may also
# have a price at one endpoint.
GATEWAY = "gateway"
ENDPOINT = "endpoint/"
_MILLION = 1_000_000

_AMOUNT = re.compile(r"[0-9]{1,12}(\.[0-9]{1,18})?")
_CURRENCY = re.compile(r"^[A-Z]{3}$")
# Currencies whose smallest coin is not a hundredth (ISO 4217).
_WHOLE = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
_THOUSANDTHS = "BHD IQD JOD KWD LYD OMR TND"

Currency = Annotated[str, Field(pattern=_CURRENCY.pattern)]


class Money(Declared):
    """An amount of one currency. Adding another currency to it raises Invalid."""

    amount: Decimal
    currency: Currency

    def __add__(self, other: Money) -> Money:
        if self.currency != other.currency:
            raise Invalid(
                f"{self.currency} and {other.currency} cannot be added: no rate between them",
                hint="sum each currency by itself",
            )
        return Money(amount=EXACT.add(self.amount, other.amount), currency=self.currency)

    def __str__(self) -> str:
        return f"{self.amount:,f} {self.currency}"


class Measure(StrEnum):
    """What a price is for one of, as it stands in a SKU behind the point. GB: 10^9 bytes."""

    CPU_HOUR = "cpu_hour"
    MEMORY_GB_HOUR = "memory_gb_hour"
    REQUEST = "request"
    INPUT_TOKENS = "input_tokens"
    OUTPUT_TOKENS = "output_tokens"
    CACHED_INPUT_TOKENS = "cached_input_tokens"
    REASONING_TOKENS = "reasoning_tokens"

    @property
    def is_of_tokens(self) -> bool:
        """Tell whether it is a price of tokens."""
        return self.value.endswith("_tokens")

    @property
    def unit(self) -> str:
        """The unit for people."""
        return _UNITS[self][0]

    @property
    def fine_unit(self) -> str:
        """The unit in which usage is counted without a fraction being lost."""
        return _UNITS[self][1]

    @property
    def fine_units(self) -> int:
        """How many fine units one unit is."""
        if self.is_of_tokens:
            return _MILLION
        return 1 if self is Measure.REQUEST else 3600


_UNITS = {
    Measure.CPU_HOUR: ("CPU-hour", "CPU-second"),
    Measure.MEMORY_GB_HOUR: ("GB-hour", "GB-second"),
    Measure.REQUEST: ("request", "request"),
    Measure.INPUT_TOKENS: ("million input tokens", "input token"),
    Measure.OUTPUT_TOKENS: ("million output tokens", "output token"),
    Measure.CACHED_INPUT_TOKENS: ("million cached input tokens", "cached input token"),
    Measure.REASONING_TOKENS: ("million reasoning tokens", "reasoning token"),
}


class Sku(Declared):
    """What has a price: `local.cpu_hour` is an hour of one processor of the platform `local`."""

    place: str
    measure: Measure

    def __str__(self) -> str:
        return f"{self.place}.{self.measure}"


class Price(Declared):
    """What one unit of a SKU costs from `valid_from` on, until a later price.

    `source`: where it comes from, for people. `stated_by` and `stated_at`: who stated it and when;
    None for the prices that Plinth brings.
    """

    sku: str
    amount: Annotated[Decimal, Field(ge=0)]
    currency: Currency
    valid_from: AwareDatetime
    source: Annotated[str, Field(min_length=1)]
    stated_by: str | None = None
    stated_at: AwareDatetime | None = None

    @property
    def measure(self) -> Measure:
        """What it is for one of."""
        return parse_sku(self.sku).measure

    def cost_of(self, quantity: Decimal) -> Fraction:
        """Return what a quantity in the measure's fine units costs.

        An exact fraction: no decimal holds the third of an hour.
        """
        return Fraction(quantity) * Fraction(self.amount) / self.measure.fine_units


@dataclass(frozen=True, slots=True)
class Charge:
    """Usage of one team's workload between two times, of one SKU, with the price in force then.

    `quantity` is in the measure's fine units (CPU-seconds, GB-seconds, requests). Without a price
    it is unpriced: `why_unpriced` says why, and the cost is unknown, which is not zero. `measure`
    is None where not even the size of the replica is known; `quantity` is then its seconds.
    """

    usage: UsageSum
    measure: Measure | None
    sku: str | None
    quantity: Decimal
    price: Price | None
    why_unpriced: str | None = None

    @property
    def amount(self) -> Fraction | None:
        """What it costs, exactly; None where that is not known."""
        return None if self.price is None else self.price.cost_of(self.quantity)


def parse_sku(text: str) -> Sku:
    """Read `local.cpu_hour`. Raises Invalid naming what there is."""
    place, _, name = text.rpartition(".")
    measure = next((each for each in Measure if each.value == name), None)
    if measure is None or not _has(place, measure):
        raise Invalid(
            f"`{excerpt(text)}` is not a SKU; `PLATFORM.{Measure.CPU_HOUR}`, "
            f"`PLATFORM.{Measure.MEMORY_GB_HOUR}` and `{GATEWAY}.{Measure.REQUEST}` are, and of "
            f"tokens `{GATEWAY}.METER` and `{ENDPOINT}NAME.METER` with one of "
            + ", ".join(f"`{each}`" for each in Measure if each.is_of_tokens),
            hint="`plinth prices` lists them",
        )
    return Sku(place=place, measure=measure)


def _has(place: str, measure: Measure) -> bool:
    """Tell whether there can be such a price at a place: requests at the gateway, hours not."""
    is_endpoint = place.startswith(ENDPOINT) and len(place) > len(ENDPOINT)
    if measure.is_of_tokens:
        return is_endpoint or place == GATEWAY
    if measure is Measure.REQUEST:
        return place == GATEWAY
    return bool(place) and place != GATEWAY and "/" not in place


def parse_amount(text: str) -> Decimal:
    """Read the amount of a price. Raises Invalid for what is no decimal number from 0 up."""
    if not _AMOUNT.fullmatch(text):
        raise Invalid(
            f"`{excerpt(text, 40)}` is not a price; a number like `0.03` is: no sign, no exponent, "
            "a point for the decimals (at most 12 digits before it and 18 behind)"
        )
    return Decimal(text)


def parse_currency(text: str) -> str:
    """Read a currency. Raises Invalid for what is not three capital letters."""
    if not _CURRENCY.fullmatch(text):
        raise Invalid(
            f"`{excerpt(text, 40)}` is not a currency; three capital letters like `EUR` are"
        )
    return text


def coin_digits(currency: str) -> int:
    """Return how many decimals the smallest coin of a currency has."""
    if currency in _WHOLE.split():
        return 0
    return 3 if currency in _THOUSANDTHS.split() else 2
