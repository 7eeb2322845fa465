"""Of many workloads keep those apart that cost most, and put the others together.

Pure. Called for pages that show a bill: what a team ran in a month can be thousands of names. The
sum of all stays what it is, exactly.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from operator import attrgetter

from plinth.domain.usage import Meter, UsageSum
from plinth.metering.rating import PriceBook, rate

# What decides what one unit costs, but for the name: only tokens have prices of one workload.
_ALIKE = attrgetter(
    *("meter", "platform", "cpu", "memory_bytes", "team", "deployment", "estimated", "shadow"),
    *("since", "until", "seen_at"),
)
_MILLION = 1_000_000
_Key = tuple[object, ...]


def condense(
    sums: Iterable[UsageSum], book: PriceBook, most: int
) -> tuple[list[UsageSum], dict[str, int]]:
    """Keep the `most` costliest workloads of each team; return also how many others each has.

    The others' sums have no workload and no run. Whoever uses tokens is kept too, since prices of
    tokens can be of one endpoint alone.
    """
    found = [(_ALIKE(usage), usage) for usage in sums]
    kept = _costliest(found, book, most)
    others: defaultdict[_Key, int] = defaultdict(int)
    samples: dict[_Key, UsageSum] = {}
    names: defaultdict[str, set[str | None]] = defaultdict(set)
    result = []
    for key, usage in found:
        if (usage.team, usage.workload) in kept:
            result.append(usage)
            continue
        samples.setdefault(key, usage)
        others[key] += usage.millionths
        names[usage.team].add(usage.workload)
    result += [
        replace(
            samples[key],
            millionths=millionths,
            workload=None,
            principal=None,
            run=None,
            shadow=False,
        )
        for key, millionths in others.items()
    ]
    return result, {team: len(each) for team, each in names.items()}


def _costliest(
    sums: Iterable[tuple[_Key, UsageSum]], book: PriceBook, most: int
) -> set[tuple[str, str | None]]:
    """Return (team, workload) of those to keep. Only an order, so floats will do."""
    units: dict[_Key, float] = {}
    costs: defaultdict[str, dict[str | None, float]] = defaultdict(dict)
    kept: set[tuple[str, str | None]] = set()
    for key, usage in sums:
        if not usage.meter.is_of_replica and usage.meter is not Meter.REQUESTS:
            kept.add((usage.team, usage.workload))
            continue
        if key not in units:
            units[key] = _of_a_million(usage, book)
        of_team = costs[usage.team]
        cost = units[key] * usage.millionths
        of_team[usage.workload] = of_team.get(usage.workload, 0.0) + cost
    for team, found in costs.items():
        # One more would be a line by itself anyway.
        first = sorted(found, key=lambda name: (-found[name], name or ""))
        kept |= {(team, name) for name in (first if len(first) <= most + 1 else first[:most])}
    return kept


def _of_a_million(usage: UsageSum, book: PriceBook) -> float:
    charges = rate(replace(usage, millionths=_MILLION), book)
    return float(sum(each.amount for each in charges if each.amount is not None))
