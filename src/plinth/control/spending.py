"""What single runs and workloads have cost so far, without a bill of everything else.

Called for pages that show them. What others used, and how much of it there is, costs nothing here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction

from plinth.control.bill import not_in_ledger
from plinth.control.context import Context
from plinth.control.metering import Metering
from plinth.control.prices import open_book
from plinth.domain.money import Money
from plinth.domain.usage import UsageSum
from plinth.metering.rating import PriceBook, rate_all
from plinth.metering.view import Detail, SumQuery

Key = str

_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Whose costs: of runs, and of all that a workload used since a time; each from its creation.

    `served`: of one run that serves, with its workload: also requests are its costs.
    """

    runs: Mapping[str, datetime] = field(default_factory=dict)
    workloads: Mapping[str, datetime] = field(default_factory=dict)
    served: Mapping[str, tuple[str, datetime]] = field(default_factory=dict)


def costs_of(
    context: Context, metering: Metering, wanted: Wanted, may_see: Callable[[str], bool]
) -> dict[Key, Money]:
    """Return what each run or workload cost, by its id or name; None known, none there.

    In the currency of which it is the most. Of teams for which `may_see` holds.
    """
    # The store first: what ends up in the ledger meanwhile is then seen there, and only there.
    spans = metering.unmetered()
    with context.database.read() as connection:
        book = open_book(connection)
    found: defaultdict[Key, defaultdict[str, Fraction]] = defaultdict(lambda: defaultdict(Fraction))
    with context.ledger.view() as view:
        for query, key_of in _queries(wanted, book, context.clock.now()):
            sums = [*view.sums(query), *not_in_ledger(view, spans, query)]
            for charge in rate_all((each for each in sums if may_see(each.team)), book):
                key = key_of(charge.usage)
                if charge.price is not None and charge.amount is not None and key is not None:
                    found[key][charge.price.currency] += charge.amount
    return {key: _most(amounts) for key, amounts in found.items()}


def _queries(
    wanted: Wanted, book: PriceBook, now: datetime
) -> list[tuple[SumQuery, Callable[[UsageSum], Key | None]]]:
    found: list[tuple[SumQuery, Callable[[UsageSum], Key | None]]] = []
    if wanted.runs:
        cuts = _cuts(list(wanted.runs.values()), book, now)
        details = (Detail.WORKLOAD, Detail.RUN)
        found.append((SumQuery(cuts, details, runs=tuple(wanted.runs)), lambda usage: usage.run))
    if wanted.workloads:
        cuts = _cuts(list(wanted.workloads.values()), book, now)
        query = SumQuery(cuts, (Detail.WORKLOAD,), workloads=tuple(wanted.workloads.items()))
        found.append((query, lambda usage: usage.workload))
    for run, (workload, since) in wanted.served.items():
        query = SumQuery(
            _cuts([since], book, now),
            (Detail.WORKLOAD, Detail.RUN),
            workloads=((workload, since),),
        )
        found.append((query, _only(run)))
    return found


def _only(run: str) -> Callable[[UsageSum], Key | None]:
    return lambda usage: run if usage.run == run else None


def _cuts(begins: Sequence[datetime], book: PriceBook, now: datetime) -> tuple[datetime, ...]:
    since = min(begins)
    # Up to now, also when the clock was set back meanwhile: some time has to lie between.
    until = max(now, since + _INSTANT)
    return tuple(sorted({since, until} | book.changes(since, until)))


def _most(amounts: Mapping[str, Fraction]) -> Money:
    currency = max(amounts, key=lambda each: (amounts[each], each))
    amount = amounts[currency]
    # For people: what is charged is on the bill.
    return Money(amount=Decimal(amount.numerator) / amount.denominator, currency=currency)
