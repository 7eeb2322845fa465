"""What provisioned units serve of a trace, and what spills: every request is replayed.

How provisioned deployments on Azure count (Microsoft Learn, May 2026: "How utilization works" in
"Operate provisioned deployments", and "Determine PTU sizing for a workload"): every request adds
its input tokens, and its output tokens times a weight, to the utilization; utilization drains all
the time at the rate of the units; while it is below 100 % a request is accepted, and may take it
above; at 100 % it is refused at once, with the time after which it may come again.

What is ours: 100 % is what the units drain in `Capacity.window_s` (the service does not tell the
size of its bucket; it measures by the minute); a request counts with its true output tokens from
its beginning (the service estimates them by `max_tokens` and corrects later); nothing comes from a
cache.

More units nearly always spill less, but not always: a large request that few units refuse may be
accepted by more of them, and then keep many small ones out. So nothing here bisects, except
`fewest_without_spill`, where it is provable.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate

from plinth.planning.sizing.arrivals import Arrivals

# Places of a trace: from the first up to and without the second.
Run = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Capacity:
    """What one unit does and how many there may be.

    `output_weight`: as how many input tokens one output token counts. `window_s`: how many seconds
    of drain are 100 %. `most`: no more units than these are considered.
    """

    input_tokens_per_minute: int
    output_weight: Fraction
    minimum: int
    increment: int
    window_s: float = 60.0
    most: int = 10_000

    def counts(self) -> range:
        """Return every count of units that can be deployed; 0, none at all, is not among them."""
        return range(self.minimum, self.most + 1, self.increment)

    def seconds_per_token(self, units: int) -> float:
        """Return how long `units` take to drain one weighted token."""
        return 60.0 / (units * self.input_tokens_per_minute)


@dataclass(frozen=True, slots=True)
class Amount:
    """Some of a trace's requests: how many, and their tokens."""

    requests: int
    input_tokens: int
    output_tokens: int

    @property
    def tokens(self) -> int:
        """Input and output tokens, each counted once."""
        return self.input_tokens + self.output_tokens


@dataclass(frozen=True, slots=True)
class Service:
    """How units serve a trace.

    `waits_s`: how long each request waits that does not spill, sorted. `busy_share`: the share of
    the time in which the units have something to drain.
    """

    waits_s: tuple[float, ...]
    busy_share: float


class Load:
    """A trace made ready for many replays. `weights`: weighted tokens of each request."""

    def __init__(self, arrivals: Arrivals, output_weight: Fraction) -> None:
        weight = float(output_weight)
        self.arrivals = arrivals
        self.times: Sequence[float] = arrivals.times_s
        self.weights = [
            tokens + weight * out
            for tokens, out in zip(arrivals.input_tokens, arrivals.output_tokens, strict=True)
        ]
        self._inputs = [0, *accumulate(arrivals.input_tokens)]
        self._outputs = [0, *accumulate(arrivals.output_tokens)]
        self.whole = self.amount([(0, len(arrivals))])
        self.weight = Fraction(self.whole.input_tokens) + output_weight * self.whole.output_tokens
        # The weight of the heaviest request, of the two heaviest, and so on.
        self.heaviest = list(accumulate(sorted(self.weights, reverse=True)))

    def amount(self, runs: Sequence[Run], start: int = 0, stop: int | None = None) -> Amount:
        """Return how much the runs hold, counting only places from `start` up to `stop`."""
        last = len(self.times) if stop is None else stop
        requests = of_input = of_output = 0
        for begin, end in runs:
            low, high = max(begin, start), min(end, last)
            if low < high:
                requests += high - low
                of_input += self._inputs[high] - self._inputs[low]
                of_output += self._outputs[high] - self._outputs[low]
        return Amount(requests, of_input, of_output)


def spilled_runs(
    load: Load,
    capacity: Capacity,
    units: int,
    patience_s: float = 0.0,
    *,
    most: int | None = None,
) -> list[Run]:
    """Replay the trace and return which requests spill, as runs of places.

    `patience_s`: a request that is told to come again within this time waits instead, in the order
    of arrival; 0 spills at once. No units spill everything. The bucket is empty at the beginning.
    `most`: once more requests than these have spilled, return those so far.
    """
    times, weights = load.times, load.weights
    count = len(times)
    left = count if most is None else most
    if units == 0:
        return [(0, count)]
    per_token = capacity.seconds_per_token(units)
    room = capacity.window_s + patience_s
    runs: list[Run] = []
    place = 0
    # When all that was accepted will have drained. A request is accepted after `empty - room`.
    empty = 0.0
    opens = -1.0
    while place < count:
        time = times[place]
        if time > opens:
            empty = (empty if empty > time else time) + weights[place] * per_token
            opens = empty - room
            place += 1
        else:
            end = bisect_right(times, opens, place)
            runs.append((place, end))
            left -= end - place
            if left < 0:
                break
            place = end
    return runs


def serve(load: Load, capacity: Capacity, units: int, patience_s: float) -> Service:
    """Replay the trace and return how what does not spill is served; see `spilled_runs`."""
    if units == 0:
        return Service((), 0.0)
    per_token = capacity.seconds_per_token(units)
    room = capacity.window_s + patience_s
    waits = []
    empty = idle = 0.0
    for time, weight in zip(load.times, load.weights, strict=True):
        if time > empty - room:
            waits.append(max(0.0, empty - capacity.window_s - time))
            idle += max(0.0, time - empty)
            empty = max(empty, time) + weight * per_token
    span_s = load.times[-1]
    idle += max(0.0, span_s - empty)
    return Service(tuple(sorted(waits)), 1.0 - idle / span_s if span_s else 0.0)


def fewest_without_spill(load: Load, capacity: Capacity, patience_s: float = 0.0) -> int | None:
    """Return the fewest units that spill nothing; None where even the most of them spill.

    Every larger count spills nothing either: while nothing is refused, all counts accept the same
    requests, and what they have still to drain at any time only gets less with more units (each
    step of the replay is monotone, also in floating point). So this one may be bisected.
    """
    counts = capacity.counts()

    def is_clean(units: int) -> bool:
        return not spilled_runs(load, capacity, units, patience_s, most=0)

    low = bisect_left(counts, True, key=is_clean)
    return counts[low] if low < len(counts) else None


def fewest_spilled(load: Load, capacity: Capacity, units: int, patience_s: float = 0.0) -> float:
    """Return a bound: `units` spill at least so many weighted tokens, without a replay.

    They accept at most what drains until the end, a full bucket, and the request that overfills it.
    """
    if units == 0:
        return float(load.weight)
    seconds = load.arrivals.span_s + capacity.window_s + patience_s
    accepted = seconds / capacity.seconds_per_token(units) + load.heaviest[0]
    # A thousandth of a millionth less, so that rounding never makes the bound too high.
    return max(0.0, (float(load.weight) - accepted) * (1 - 1e-9) - 1e-6)


def fewest_requests(load: Load, weight: float) -> int:
    """Return how few requests can weigh `weight` together."""
    return bisect_left(load.heaviest, weight * (1 - 1e-9)) + 1 if weight > 0 else 0
