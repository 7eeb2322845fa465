"""What provisioned units and burst cost a month, and how much of a unit must be used to pay off.

Exact: amounts are fractions, and whoever prints rounds. A price that is not known stays unknown.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from plinth.planning.sizing.spill import Amount, Capacity

# As Azure's price calculator counts: 365 days of 24 hours, divided by 12.
HOURS_PER_MONTH = 730
_MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Prices:
    """What units and tokens cost, in one currency. None: unknown.

    `unit_hour`: one unit for an hour. `input_million`, `output_million`: a million tokens of burst.
    `reserved_month`: one reserved unit for a month. `reserved_units`: how many are reserved, and
    paid for also when fewer are deployed; None where as many are reserved as are deployed.
    """

    currency: str
    unit_hour: Decimal | None = None
    input_million: Decimal | None = None
    output_million: Decimal | None = None
    reserved_month: Decimal | None = None
    reserved_units: int | None = None

    @property
    def is_complete(self) -> bool:
        """Whether the cost of every count of units is known."""
        hourly = self.reserved_month is None or self.reserved_units is not None
        tokens = self.input_million is not None and self.output_million is not None
        return tokens and (self.unit_hour is not None or not hourly)

    def base(self, units: int) -> Fraction | None:
        """Return what `units` cost a month; more units never cost less."""
        reserved = 0
        if self.reserved_month is not None:
            reserved = units if self.reserved_units is None else self.reserved_units
        extra = max(0, units - reserved)
        if extra and self.unit_hour is None:
            return None
        hourly = Fraction(self.unit_hour or 0) * HOURS_PER_MONTH
        return reserved * Fraction(self.reserved_month or 0) + extra * hourly

    def burst(self, spilled: Amount, span_s: float) -> Fraction | None:
        """Return what burst costs a month when `spilled` comes again and again in `span_s`."""
        if not spilled.requests:
            return Fraction(0)
        if self.input_million is None or self.output_million is None:
            return None
        of_input = Fraction(self.input_million) * spilled.input_tokens
        of_output = Fraction(self.output_million) * spilled.output_tokens
        return (of_input + of_output) / _MILLION * per_month(span_s)

    def cheapest_burst(self, weight: float, capacity: Capacity, span_s: float) -> Fraction:
        """Return a bound: so many weighted tokens of burst cost at least this."""
        of_input = Fraction(self.input_million or 0)
        of_output = Fraction(self.output_million or 0) / capacity.output_weight
        return min(of_input, of_output) * Fraction(weight) / _MILLION * per_month(span_s)

    def unit_month(self) -> Fraction | None:
        """Return what one more unit costs a month: reserved where that has a price, else hourly."""
        if self.reserved_month is not None and self.reserved_units is None:
            return Fraction(self.reserved_month)
        return None if self.unit_hour is None else Fraction(self.unit_hour) * HOURS_PER_MONTH


def per_month(span_s: float) -> Fraction:
    """Return how many times a trace of `span_s` seconds goes into a month."""
    return HOURS_PER_MONTH * 3600 / Fraction(span_s)


def break_even_share(prices: Prices, capacity: Capacity, whole: Amount) -> Fraction | None:
    """Return how much of a unit must be used so that it costs what burst would for the same tokens.

    `whole`: the trace, for its mix of input and output tokens. Above 1 no unit ever pays off by its
    price alone. None where a price is not known or burst is free.
    """
    unit = prices.unit_month()
    if unit is None or prices.input_million is None or prices.output_million is None:
        return None
    cost = (
        Fraction(prices.input_million) * whole.input_tokens
        + Fraction(prices.output_million) * whole.output_tokens
    ) / _MILLION
    weight = whole.input_tokens + capacity.output_weight * whole.output_tokens
    drained = capacity.input_tokens_per_minute * 60 * HOURS_PER_MONTH
    return unit / (cost / weight * drained) if cost else None
