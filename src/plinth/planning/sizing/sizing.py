"""How many provisioned units, and what share goes to burst: the cheapest mix that keeps to a goal.

`plinth size` calls `size`. The search is exact: every count of units that could be the answer is
replayed, since neither the spill nor the cost need be monotone or convex in the count; only counts
that a bound rules out are left out. Pure: the same question gets the same answer.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from plinth.kit.errors import Invalid
from plinth.planning.sizing.arrivals import Arrivals
from plinth.planning.sizing.breakeven import Prices, break_even_share
from plinth.planning.sizing.spill import (
    Amount,
    Capacity,
    Load,
    Run,
    Service,
    fewest_requests,
    fewest_spilled,
    fewest_without_spill,
    serve,
    spilled_runs,
)

# How large the bucket is, nobody tells, so the answer for a small one is shown beside it.
OTHER_WINDOW_S = 10.0
# So many points are enough for a plot, however many counts there are.
_MOST_POINTS = 61


@dataclass(frozen=True, slots=True)
class Goal:
    """What the mix must keep to.

    `spilled_share`: at most this share of the requests goes to burst; None: whatever is cheapest.
    `patience_s`: how long a request waits for the units before it goes to burst.
    """

    spilled_share: Fraction | None = None
    patience_s: float = 0.0

    def allows(self, spilled: int, requests: int) -> bool:
        """Say whether so many spilled of so many are within the goal."""
        return self.spilled_share is None or spilled <= self.spilled_share * requests


@dataclass(frozen=True, slots=True)
class Question:
    """Everything that an answer depends on."""

    arrivals: Arrivals
    capacity: Capacity
    goal: Goal
    prices: Prices


@dataclass(frozen=True, slots=True)
class Share:
    """What spills of some of the trace."""

    spilled: Amount
    of: Amount

    @property
    def requests(self) -> Fraction:
        """Share of the requests."""
        return Fraction(self.spilled.requests, self.of.requests)

    @property
    def tokens(self) -> Fraction:
        """Share of the tokens, input and output counted alike."""
        return Fraction(self.spilled.tokens, self.of.tokens) if self.of.tokens else Fraction(0)


@dataclass(frozen=True, slots=True)
class Mix:
    """A count of units, what spills then, and what it costs a month. None: a price is unknown."""

    units: int
    share: Share
    base: Fraction | None
    burst: Fraction | None
    is_within_goal: bool

    @property
    def total(self) -> Fraction | None:
        """Base and burst together."""
        return None if self.base is None or self.burst is None else self.base + self.burst


@dataclass(frozen=True, slots=True)
class Halves:
    """The count that the first half of the trace's time asks for, tried on the second.

    `predicted`: what spilled of the first half. `observed`: what spilled of the second, the units
    as busy as the first had left them. `whole`: of both. `chosen`: what the count chosen for the
    whole trace spills of the first half and of the second. `first_rate`, `second_rate`: weighted
    tokens a minute in each half.
    """

    units: int
    predicted: Share
    observed: Share
    whole: Share
    chosen: tuple[Share, Share]
    first_rate: float
    second_rate: float


@dataclass(frozen=True, slots=True)
class Waits:
    """How long requests wait that do not spill: the median, the 99th percentile, the longest."""

    p50_s: float
    p99_s: float
    longest_s: float


@dataclass(frozen=True, slots=True)
class Sizing:
    """The answer.

    `cheapest`: the cheapest mix whatever it spills, None where a price is unknown. `provisioned`:
    the fewest units that spill nothing, None where that takes more than are considered. `curve`:
    mixes by rising units, for a plot. `busy_share`: the share of the time in which the chosen units
    have work. `break_even`: how much of a unit must be used to pay off. `halves`: None where a half
    of the trace is too thin to size from. `other_window`: the mix that would be chosen if 100 %
    were only what units drain in `OTHER_WINDOW_S`, None where no count would keep to the goal.
    """

    question: Question
    chosen: Mix
    burst_only: Mix
    provisioned: Mix | None
    cheapest: Mix | None
    curve: tuple[Mix, ...]
    busy_share: float
    waits: Waits | None
    break_even: Fraction | None
    halves: Halves | None
    other_window: Mix | None


def size(question: Question) -> Sizing:
    """Return the cheapest mix within the goal; with a price unknown, the one of fewest units.

    Raises Invalid when no count that may be deployed keeps to the goal.
    """
    search = Search(question)
    chosen = search.best(question.goal)
    prices, patience_s = question.prices, question.goal.patience_s
    service = serve(search.load, question.capacity, chosen.units, patience_s)
    top = search.top
    return Sizing(
        question=question,
        chosen=chosen,
        burst_only=search.mix(0),
        provisioned=None if top is None else search.mix(top),
        cheapest=search.best(Goal(None, patience_s)) if prices.is_complete else None,
        curve=search.curve(chosen.units),
        busy_share=service.busy_share,
        waits=_waits(service),
        break_even=break_even_share(prices, question.capacity, search.load.whole),
        halves=try_halves(question, search, chosen.units),
        other_window=_with_other_window(question),
    )


class Search:
    """Replays counts of units for one question, each at most once."""

    def __init__(self, question: Question) -> None:
        self.question = question
        self.load = Load(question.arrivals, question.capacity.output_weight)
        self.top = fewest_without_spill(self.load, question.capacity, question.goal.patience_s)
        self._mixes: dict[int, Mix] = {}
        largest = question.capacity.most if self.top is None else self.top
        self.counts = (0, *(n for n in question.capacity.counts() if n <= largest))

    @property
    def replays(self) -> int:
        """How many counts were replayed so far."""
        return len(self._mixes)

    def runs(self, units: int) -> list[Run]:
        """Return which requests spill."""
        patience = self.question.goal.patience_s
        return spilled_runs(self.load, self.question.capacity, units, patience)

    def mix(self, units: int) -> Mix:
        """Replay a count of units."""
        if units not in self._mixes:
            share = Share(self.load.amount(self.runs(units)), self.load.whole)
            prices, span_s = self.question.prices, self.question.arrivals.span_s
            self._mixes[units] = Mix(
                units,
                share,
                prices.base(units),
                prices.burst(share.spilled, span_s),
                self.question.goal.allows(share.spilled.requests, share.of.requests),
            )
        return self._mixes[units]

    def best(self, goal: Goal) -> Mix:
        """Return the cheapest mix within the goal, of equal ones that of fewer units.

        With a price unknown it is the mix of fewest units. Raises Invalid when there is none.
        """
        is_priced = self.question.prices.is_complete
        best = None if self.top is None or not is_priced else self.mix(self.top)
        for units in self.counts:
            if best is not None and self._costs_more(units, 0.0, best):
                # The base alone is dearer already, and it only grows.
                break
            spilled = fewest_spilled(self.load, self.question.capacity, units, goal.patience_s)
            if not goal.allows(fewest_requests(self.load, spilled), len(self.load.times)):
                continue
            if best is not None and self._costs_more(units, spilled, best):
                continue
            if not self._keeps_to(goal, units):
                continue
            mix = self.mix(units)
            if not is_priced:
                return mix
            if best is None or (mix.total or 0, units) < (best.total or 0, best.units):
                best = mix
        if best is None:
            raise _none_within(self, goal)
        return best

    def _keeps_to(self, goal: Goal, units: int) -> bool:
        """Replay a count only as far as it takes to see whether it spills too much."""
        if goal.spilled_share is None:
            return True
        most = math.floor(goal.spilled_share * len(self.load.times))
        runs = spilled_runs(self.load, self.question.capacity, units, goal.patience_s, most=most)
        return sum(end - begin for begin, end in runs) <= most

    def curve(self, also: int) -> tuple[Mix, ...]:
        """Return mixes of evenly spread counts, with the first, the last and `also`."""
        last = len(self.counts) - 1
        steps = min(last, _MOST_POINTS - 1)
        places = {round(last * step / steps) for step in range(steps + 1)} if steps else {0}
        units = sorted({*(self.counts[place] for place in places), *self.counts[:2], also})
        return tuple(self.mix(each) for each in units)

    def _costs_more(self, units: int, spilled: float, best: Mix) -> bool:
        """Say whether this count surely costs more than `best`, by what it spills at least."""
        prices, question = self.question.prices, self.question
        base = prices.base(units)
        if base is None or best.total is None:
            return False
        burst = prices.cheapest_burst(spilled, question.capacity, question.arrivals.span_s)
        return base + burst > best.total


def try_halves(question: Question, whole: Search, chosen: int) -> Halves | None:
    """Size from the first half of the time alone, and look what that count does in the second.

    `chosen`: the count that the whole trace asks for.
    """
    arrivals = question.arrivals
    middle = bisect_left(arrivals.times_s, arrivals.span_s / 2)
    first = arrivals.part(0, middle) if middle else None
    if first is None or not first.span_s:
        return None
    of_first = _best_or_none(replace(question, arrivals=first))
    if of_first is None:
        return None
    load = whole.load
    runs, of_chosen = whole.runs(of_first.units), whole.runs(chosen)
    before, after = load.amount([(0, middle)]), load.amount([(middle, len(arrivals))])
    minutes = arrivals.span_s / 2 / 60
    return Halves(
        units=of_first.units,
        predicted=of_first.share,
        observed=Share(load.amount(runs, middle), after),
        whole=Share(load.amount(runs), load.whole),
        chosen=(
            Share(load.amount(of_chosen, 0, middle), before),
            Share(load.amount(of_chosen, middle), after),
        ),
        first_rate=sum(load.weights[:middle]) / minutes,
        second_rate=sum(load.weights[middle:]) / minutes,
    )


def _with_other_window(question: Question) -> Mix | None:
    capacity = replace(question.capacity, window_s=OTHER_WINDOW_S)
    return _best_or_none(replace(question, capacity=capacity))


def _best_or_none(question: Question) -> Mix | None:
    try:
        return Search(question).best(question.goal)
    except Invalid:
        return None


def _waits(service: Service) -> Waits | None:
    found = service.waits_s
    return Waits(_at(found, 0.5), _at(found, 0.99), found[-1]) if found else None


def _at(values: Sequence[float], share: float) -> float:
    """Return the smallest value that `share` of the sorted values do not exceed."""
    return values[math.ceil(share * len(values)) - 1]


def _none_within(search: Search, goal: Goal) -> Invalid:
    most = search.mix(search.counts[-1])
    allowed = float(goal.spilled_share or 0)
    return Invalid(
        f"no count up to {search.question.capacity.most:,} units keeps to the goal of at most "
        f"{allowed:.2%} of requests: {most.units:,} units spill {float(most.share.requests):.2%}",
        hint="allow more units (`--max-units`) or a larger share (`--spill`)",
    )
