"""What tokens cost: rates, rows of prices, and the exact cost of a request, line by line.

The catalog finds the row of a model, and `cost_of` multiplies. Pure arithmetic on decimals: nothing
is rounded, and what has no price is unknown, never zero.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, time
from decimal import Decimal
from types import MappingProxyType

from plinth.domain.money import EXACT
from plinth.domain.tokens import TokenMeter, TokenUsage, check_quantity
from plinth.kit.errors import Invalid

DOLLARS = "USD"


@dataclass(frozen=True, slots=True)
class Rate:
    """What `meter.per` of a meter cost.

    `steps`: (more input tokens than this, then this price for all), ascending: a request with a
    long prompt pays the other price from its first token on.
    """

    base: Decimal
    steps: tuple[tuple[int, Decimal], ...] = ()

    def at(self, input_tokens: int) -> tuple[Decimal, int | None]:
        """Return the price for a request of that many input tokens, and the step that it is on."""
        price, step = self.base, None
        for start, above in self.steps:
            if input_tokens > start:
                price, step = above, start
        return price, step


@dataclass(frozen=True, slots=True)
class TokenPrice:
    """One row of prices of a model at a provider.

    `tier`: how it is sold, such as `batch`; None is the standard price. `valid_from`: the UTC day
    that it holds from, None where the source does not say. `daily`: the UTC hours it holds in.
    `priced_by`: whose row it is, where a provider sells another's model and no price of its own is
    known. `other`: what the model is priced by that is not counted here, such as hours of audio.
    """

    provider: str
    model: str
    rates: Mapping[TokenMeter, Rate]
    source: str
    priced_by: str
    currency: str = DOLLARS
    tier: str | None = None
    valid_from: date | None = None
    daily: tuple[time, time] | None = None
    other: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "rates", MappingProxyType(dict(self.rates)))


@dataclass(frozen=True, slots=True)
class TokenLine:
    """One multiplication: `quantity` x `unit_price` for `meter.per`.

    The quantity is what no other line counts. `includes`: reported parts without a price of their
    own, which pay this one. `step`: the price is that of requests with more input tokens than this.
    `unit_price` and `amount` are None where no price is known.
    """

    meter: TokenMeter
    quantity: int
    unit_price: Decimal | None
    step: int | None = None
    includes: tuple[TokenMeter, ...] = ()

    @property
    def amount(self) -> Decimal | None:
        """What it costs, exactly; None where that is not known."""
        if self.unit_price is None:
            return None
        product = EXACT.multiply(self.unit_price, Decimal(self.quantity))
        return EXACT.divide(product, Decimal(self.meter.per))


@dataclass(frozen=True, slots=True)
class TokenCost:
    """What usage costs, line by line.

    `price` is None where the model has none; `why_unknown` says why the amount is not known.
    """

    price: TokenPrice | None
    lines: tuple[TokenLine, ...]
    requests: int = 1
    why_unknown: str | None = None

    @property
    def amount(self) -> Decimal | None:
        """The sum of the lines, exactly; None where one is unknown."""
        return None if self.why_unknown else self.known

    @property
    def known(self) -> Decimal:
        """The sum of the lines that have a price."""
        return _sum(line.amount for line in self.lines)

    def of(self, direction: str) -> Decimal:
        """Return the sum of the priced lines of `input` or `output`."""
        return _sum(line.amount for line in self.lines if line.meter.direction == direction)


def cost_of(usage: TokenUsage, price: TokenPrice, requests: int = 1) -> TokenCost:
    """Return what `requests` requests cost that each use `usage`.

    Every priced meter pays for what no priced part of it pays for. Raises Invalid where the parts
    are more than their whole, and for a number of requests below 1.
    """
    if requests != 1:
        check_quantity("requests", requests)
    if requests < 1:
        raise Invalid("0 requests cost nothing; a number from 1 up is accepted")
    unsplit = _unsplit(usage, price)
    if unsplit is not None:
        return TokenCost(price, (), requests, unsplit)
    alone = _quantities(usage, price.rates)
    lines = [
        _line(meter, quantity * requests, price, usage)
        for meter, quantity in alone.items()
        if quantity
    ]
    unpriced = _unpriced(usage, price.rates)
    lines += [
        TokenLine(meter, usage[meter] * requests, None, includes=_parts(meter, usage, ()))
        for meter in unpriced
    ]
    return TokenCost(price, tuple(lines), requests, _why_unknown(unpriced, price))


def check_rates(rates: Mapping[TokenMeter, Rate]) -> None:
    """Raise Invalid where rates leave open what a token costs.

    A part needs the price of its whole beside it, and where two priced meters overlap, such as
    cached and audio, what is both needs a price too.
    """
    for meter in rates:
        for whole in TokenMeter:
            if whole.contains(meter) and whole not in rates:
                raise Invalid(f"`{meter}` has a price and `{whole}`, which holds it, has none")
        for other in rates:
            both = meter.joined(other)
            if both is not None and both not in rates:
                raise Invalid(f"`{meter}` and `{other}` have a price and `{both}` has none")


def _quantities(usage: TokenUsage, rates: Mapping[TokenMeter, Rate]) -> dict[TokenMeter, int]:
    """Return for each priced meter what is counted in it and in no priced part of it."""
    finest = sorted(rates, key=lambda meter: (-meter.depth, meter))
    alone: dict[TokenMeter, int] = {}
    for meter in finest:
        parts = [part for part in alone if meter.contains(part) and alone[part]]
        rest = usage[meter] - sum(alone[part] for part in parts)
        if rest < 0:
            named = " and ".join(f"`{part}` ({alone[part]:,})" for part in sorted(parts))
            raise Invalid(
                f"{named} are more than `{meter}` ({usage[meter]:,}), which holds them",
                hint=f"`{meter}` counts all of them",
            )
        alone[meter] = rest
    if TokenMeter.REQUESTS in rates:
        alone[TokenMeter.REQUESTS] = max(1, usage[TokenMeter.REQUESTS])
    return {meter: alone[meter] for meter in TokenMeter if meter in alone}


def _line(meter: TokenMeter, quantity: int, price: TokenPrice, usage: TokenUsage) -> TokenLine:
    unit_price, step = price.rates[meter].at(usage[TokenMeter.INPUT])
    includes = _parts(meter, usage, price.rates)
    return TokenLine(meter, quantity, unit_price, step, includes)


def _parts(
    whole: TokenMeter, usage: TokenUsage, priced: Mapping[TokenMeter, Rate] | Sequence[TokenMeter]
) -> tuple[TokenMeter, ...]:
    """Return the reported parts that pay the price of `whole`, for want of one of their own."""
    return tuple(
        part
        for part in usage
        if whole.contains(part)
        and part not in priced
        and not any(whole.contains(other) and other.contains(part) for other in priced)
    )


def _unpriced(usage: TokenUsage, rates: Mapping[TokenMeter, Rate]) -> list[TokenMeter]:
    """Return what was used and pays no price, not even that of a whole that holds it."""
    nowhere = [
        meter
        for meter in usage
        if meter not in rates
        and meter is not TokenMeter.REQUESTS
        and not any(whole.contains(meter) for whole in rates)
    ]
    return [meter for meter in nowhere if not any(whole.contains(meter) for whole in nowhere)]


def _unsplit(usage: TokenUsage, price: TokenPrice) -> str | None:
    """Say which number is missing, where reported parts overlap and what is both has a price."""
    reported = set(usage)
    for both in price.rates:
        if both in usage.quantities:
            continue
        if any(both.contains(part) for part in reported):
            return f"the price is for `{both}`, and only a part of it was reported"
        halves = [meter for meter in reported if meter.contains(both)]
        for first in halves:
            second = next((other for other in halves if first.joined(other) is both), None)
            if second is not None:
                return f"`{both}` has a price and was not reported; `{first}` and `{second}` were"
    return None


def _why_unknown(unpriced: Sequence[TokenMeter], price: TokenPrice) -> str | None:
    if not unpriced:
        return None
    named = ", ".join(f"`{meter}`" for meter in unpriced)
    why = f"`{price.model}` of `{price.provider}` has no price for {named}"
    if price.other:
        why += f"; it is priced by {', '.join(price.other)}, which is not counted here"
    return why


def _sum(amounts: Iterator[Decimal | None]) -> Decimal:
    total = Decimal(0)
    for amount in amounts:
        total = EXACT.add(total, amount or Decimal(0))
    return total
