"""What a sizing rests on: facts of the catalog, what the user gave instead, what is assumed.

Each is told with its value and its source, since the answer is worth no more than they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from plinth.catalog import provisioned
from plinth.catalog.provisioned import ProvisionedModel
from plinth.kit.errors import Invalid
from plinth.kit.units import format_duration
from plinth.planning.sizing.arrivals import Arrivals
from plinth.planning.sizing.breakeven import HOURS_PER_MONTH, Prices
from plinth.planning.sizing.sizing import Goal, Question
from plinth.planning.sizing.spill import Capacity

DEFAULT_WEIGHT = Decimal(4)
DEFAULT_WINDOW_S = 60.0
DEFAULT_MOST = 10_000
# Where no goal is given and, for want of prices, nothing is cheapest.
DEFAULT_SPILL = Fraction(1, 20)
# Who states a p99 of waiting lets one request in a hundred go elsewhere.
P99_SPILL = Fraction(1, 100)

GIVEN = "given"
ASSUMED = "assumed"
UNKNOWN = "unknown"
_DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Given:
    """What the user stated. None: not stated. Prices are in `currency`; see `Prices`."""

    unit_tokens: int | None = None
    output_weight: Decimal | None = None
    window_s: float | None = None
    most: int | None = None
    spill: Fraction | None = None
    p99_wait_s: float | None = None
    unit_hour: Decimal | None = None
    input_million: Decimal | None = None
    output_million: Decimal | None = None
    currency: str = provisioned.CURRENCY
    reserved_month: Decimal | None = None
    reserved_units: int | None = None


@dataclass(frozen=True, slots=True)
class Assumption:
    """One thing the answer rests on. `source`: `given`, `assumed`, `unknown`, or who says so."""

    what: str
    value: str
    source: str


@dataclass(frozen=True, slots=True)
class Inputs:
    """A question, what it rests on, and what its answer cannot know."""

    model: ProvisionedModel
    question: Question
    assumptions: tuple[Assumption, ...]
    cautions: tuple[str, ...]


def make_inputs(arrivals: Arrivals, model: ProvisionedModel, given: Given) -> Inputs:
    """Put together what to size. Raises Invalid where what was given contradicts itself."""
    _check(given)
    prices = _prices(model, given)
    goal = _goal(given, prices)
    question = Question(arrivals, _capacity(model, given), goal, prices)
    assumptions = (
        *_capacity_assumptions(model, given, question.capacity),
        _goal_assumption(given, goal),
        *_price_assumptions(given, prices),
        *_FIXED,
    )
    return Inputs(model, question, assumptions, _cautions(arrivals))


def _check(given: Given) -> None:
    if given.spill is not None and given.p99_wait_s is not None:
        raise Invalid(
            "give one of `--spill` and `--p99-wait`",
            hint="`--spill` sends to burst at once, `--p99-wait` waits first",
        )
    if given.reserved_units is not None and given.reserved_month is None:
        raise Invalid(
            "`--reserved-units` needs `--reserved-price`",
            hint="state what one reserved unit costs a month",
        )


def _capacity(model: ProvisionedModel, given: Given) -> Capacity:
    weight = given.output_weight or model.output_weight or DEFAULT_WEIGHT
    most = DEFAULT_MOST if given.most is None else given.most
    if most < model.minimum:
        raise Invalid(
            f"`--max-units {most}`: `{model.model}` {model.deployment_type} starts at "
            f"{model.minimum} units",
            hint=f"allow {model.minimum} or more",
        )
    return Capacity(
        given.unit_tokens or model.input_tokens_per_minute,
        Fraction(weight),
        model.minimum,
        model.increment,
        given.window_s or DEFAULT_WINDOW_S,
        most,
    )


def _prices(model: ProvisionedModel, given: Given) -> Prices:
    """Take what was given, and the catalog's prices for the rest where the currency is theirs."""
    known = given.currency == provisioned.CURRENCY
    catalog = (model.unit_price, model.input_price, model.output_price) if known else (None,) * 3
    stated = (given.unit_hour, given.input_million, given.output_million)
    unit, of_input, of_output = (
        ours if theirs is None else theirs for theirs, ours in zip(stated, catalog, strict=True)
    )
    return Prices(
        given.currency, unit, of_input, of_output, given.reserved_month, given.reserved_units
    )


def _goal(given: Given, prices: Prices) -> Goal:
    if given.p99_wait_s is not None:
        return Goal(P99_SPILL, given.p99_wait_s)
    if given.spill is None and not prices.is_complete:
        return Goal(DEFAULT_SPILL)
    return Goal(given.spill)


def _goal_assumption(given: Given, goal: Goal) -> Assumption:
    if given.p99_wait_s is not None:
        wait = f"99 % of requests get units within {given.p99_wait_s:g} s, the rest goes to burst"
        return Assumption("goal", wait, GIVEN)
    if goal.spilled_share is None:
        return Assumption("goal", "the cheapest, whatever it sends to burst", "no goal was given")
    share = f"at most {percent(goal.spilled_share)} of requests go to burst"
    source = (
        GIVEN if given.spill is not None else f"{ASSUMED}, since a price is unknown (`--spill`)"
    )
    return Assumption("goal", share, source)


def _capacity_assumptions(
    model: ProvisionedModel, given: Given, capacity: Capacity
) -> tuple[Assumption, ...]:
    measured = given.unit_tokens is not None
    weight_source = f"{ASSUMED}; no source gives it (`--output-weight`)"
    if given.output_weight is not None:
        weight_source = GIVEN
    elif model.output_weight is not None:
        weight_source = model.capacity_source
    window = f"what the units drain in {capacity.window_s:g} s"
    steps = f"{model.minimum} or more, in steps of {model.increment}"
    return (
        Assumption(
            "a unit serves",
            f"{capacity.input_tokens_per_minute:,} input tokens a minute",
            f"{GIVEN}, measured" if measured else f"{model.capacity_source}, estimated",
        ),
        Assumption(
            "an output token counts as",
            f"{decimal_text(Fraction(capacity.output_weight))} input tokens",
            weight_source,
        ),
        Assumption("units", f"{steps}; up to {capacity.most:,}", model.capacity_source),
        Assumption(
            "100 % utilization is",
            window,
            f"{ASSUMED} (`--window`)" if given.window_s is None else GIVEN,
        ),
    )


def _price_assumptions(given: Given, prices: Prices) -> tuple[Assumption, ...]:
    found = [
        _price("a unit for an hour", given.unit_hour, prices.unit_hour, given),
        _price("a million input tokens", given.input_million, prices.input_million, given),
        _price("a million output tokens", given.output_million, prices.output_million, given),
    ]
    if prices.reserved_month is not None:
        how_many = "every unit" if prices.reserved_units is None else f"{prices.reserved_units:,}"
        value = f"{prices.reserved_month:f} {prices.currency}; reserved: {how_many}"
        found.append(Assumption("a reserved unit for a month", value, GIVEN))
    return tuple(found)


def _price(what: str, stated: Decimal | None, used: Decimal | None, given: Given) -> Assumption:
    if used is None:
        why = "not in the catalog"
        if given.currency != provisioned.CURRENCY:
            why = f"the catalog's prices are in {provisioned.CURRENCY}"
        return Assumption(what, UNKNOWN, why)
    source = GIVEN if stated is not None else f"{ASSUMED}: {provisioned.PRICE_SOURCE}; no quote"
    return Assumption(what, f"{used:f} {given.currency}", source)


_FIXED = (
    Assumption("a month", f"{HOURS_PER_MONTH} hours of traffic like the trace's", ASSUMED),
    Assumption("burst", "takes whatever spills, at once, at the price above", ASSUMED),
    Assumption("a request", "counts with its true output tokens, from its beginning", ASSUMED),
    Assumption("cached tokens", "none; what a cache serves uses no units and costs less", ASSUMED),
)


def _cautions(arrivals: Arrivals) -> tuple[str, ...]:
    """Say what the trace does not show."""
    found = []
    if arrivals.moved:
        found.append(
            f"{arrivals.moved:,} rows came after a later one; the trace was sorted by time"
        )
    lasts = f"the trace lasts {format_duration(arrivals.span_s)}"
    if arrivals.span_s < _DAY_S:
        found.append(
            f"{lasts}: it shows no daily and no weekly pattern, and a month is taken to be like "
            "it; if nights are quiet, burst costs less than is said here and units the same"
        )
    elif arrivals.span_s < 7 * _DAY_S:
        found.append(f"{lasts}: it shows no weekly pattern, and a month is taken to be like it")
    return tuple(found)


def percent(share: Fraction | float) -> str:
    """Write a share: `4.54 %`; never `0 %` or `100 %` for what is only near it."""
    if share in (0, 1):
        return f"{int(share) * 100} %"
    return f"{min(max(float(share) * 100, 0.01), 99.99 if share < 1 else float('inf')):.2f} %"


def decimal_text(value: Fraction) -> str:
    """Write a number without needless zeros: `4`, `2.5`."""
    return f"{float(value):g}"
