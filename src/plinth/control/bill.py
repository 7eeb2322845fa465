"""The bill: what is in the ledger, what still runs, and the prices of each time, put together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from plinth.control.context import Context
from plinth.control.metering import Metering
from plinth.control.prices import open_book
from plinth.domain.usage import Gap, UsageSum
from plinth.kit.clock import parse_moment
from plinth.kit.errors import Invalid
from plinth.kit.excerpt import excerpt
from plinth.metering.bill import Group, Line, Total, make_lines, make_totals
from plinth.metering.condensing import condense
from plinth.metering.engine_usage import ReplicaSpan, usage_of
from plinth.metering.rating import PriceBook, rate_all
from plinth.metering.view import Detail, SumQuery, UsageView, sums_of

_GROUPS = ", ".join(f"`{group}`" for group in Group)
_DETAILS = {
    Group.WORKLOAD: Detail.WORKLOAD,
    Group.PRINCIPAL: Detail.PRINCIPAL,
    Group.RUN: Detail.RUN,
}


@dataclass(frozen=True, slots=True)
class BillQuery:
    """What is to be billed: [since, until) by these groups, of one team or of all.

    `is_until_now`: nobody said until when, so what still runs will cost more. `most`: of each team
    that many workloads, those that cost most; the others are one line without a name.
    """

    since: datetime
    until: datetime
    by: tuple[Group, ...]
    team: str | None = None
    is_until_now: bool = False
    most: int | None = None


@dataclass(frozen=True, slots=True)
class Bill:
    """What was asked for, the lines, one total for each currency, and where usage is missing.

    `others`: how many workloads of each team are in its line without a name.
    """

    query: BillQuery
    lines: tuple[Line, ...]
    totals: tuple[Total, ...]
    gaps: tuple[Gap, ...]
    others: Mapping[str, int] = field(default_factory=dict)


def parse_query(
    *, since: str | None, until: str | None, by: str, team: str | None, now: datetime
) -> BillQuery:
    """Read what a person asked for. Raises Invalid for unknown groups and impossible times.

    Without `until`: until now. Without `since`: from the beginning of this month, or, where
    `until` is not after that, of the month that it ends.
    """
    ends = now if until is None else _moment(until)
    begins = (
        _month_of(min(now, ends - timedelta(microseconds=1))) if since is None else _moment(since)
    )
    if begins >= ends:
        raise Invalid(
            f"the bill would begin at {_shown(begins)} and end at {_shown(ends)}; "
            "it begins before it ends",
            hint="`--from 2026-10-01 --to 2026-11-01` is the whole of October",
        )
    return BillQuery(begins, ends, parse_groups(by), team, is_until_now=until is None)


def parse_groups(text: str) -> tuple[Group, ...]:
    """Read `team,workload`. Raises Invalid naming the groups there are."""
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in set(Group):
            raise Invalid(f"`{excerpt(name, 40)}` is no group of a bill; {_GROUPS} are")
        if names.count(name) > 1:
            raise Invalid(f"the group `{name}` is asked for twice")
    return tuple(Group(name) for name in names)


def make_bill(
    context: Context, metering: Metering, query: BillQuery, may_see: Callable[[str], bool]
) -> Bill:
    """Return the bill of the teams for which `may_see` holds."""
    # The store first: what ends up in the ledger meanwhile is then seen there, and only there.
    spans = metering.unmetered()
    with context.database.read() as connection:
        book = open_book(connection)
    asked = SumQuery(
        cuts=_cuts(query, book),
        # An endpoint may have a price of its own for tokens.
        details=tuple(
            {Detail.WORKLOAD, *(_DETAILS[each] for each in query.by if each in _DETAILS)}
        ),
        team=query.team,
    )
    with context.ledger.view() as view:
        sums = [*view.sums(asked), *not_in_ledger(view, spans, asked)]
        gaps = view.gaps(query.since, query.until)
    seen = [usage for usage in sums if may_see(usage.team)]
    others: Mapping[str, int] = {}
    if query.most is not None:
        seen, others = condense(seen, book, query.most)
    charges = rate_all(seen, book)
    lines = make_lines(charges, query.by, _currency(book, query.until))
    return Bill(query, tuple(lines), tuple(make_totals(lines)), tuple(gaps), others)


def not_in_ledger(view: UsageView, spans: list[ReplicaSpan], asked: SumQuery) -> Iterator[UsageSum]:
    """Give what replicas used since their last record, up to when they were last seen."""
    for span in spans:
        if not asked.holds(run=span.run, workload=span.workload, started_at=span.started_at):
            continue
        closed = replace(span, ended_at=span.ended_at or span.seen_at)
        for record in usage_of(closed, view.cursor(span.source))[0]:
            for found in sums_of(record, asked):
                is_running = span.ended_at is None and span.seen_at <= found.until
                yield replace(found, seen_at=span.seen_at) if is_running else found


def _cuts(query: BillQuery, book: PriceBook) -> tuple[datetime, ...]:
    """Return where sums are cut: at the ends, where a price changes, and between days or months."""
    cuts = {query.since, query.until} | book.changes(query.since, query.until)
    if Group.DAY in query.by:
        day = query.since.replace(hour=0, minute=0, second=0, microsecond=0)
        while (day := day + timedelta(days=1)) < query.until:
            cuts.add(day)
    elif Group.MONTH in query.by:
        month = _month_of(query.since)
        while (month := _month_of(month + timedelta(days=32))) < query.until:
            cuts.add(month)
    return tuple(sorted(cuts))


def _currency(book: PriceBook, until: datetime) -> str:
    """Return the currency of lines on which everything is free: that of the first price."""
    found = [book.at(sku, until) for sku in sorted({price.sku for price in book.prices()})]
    costing = [price.currency for price in found if price is not None and price.amount]
    return costing[0] if costing else book.prices()[0].currency


def _moment(text: str) -> datetime:
    try:
        return parse_moment(text)
    except ValueError as err:
        raise Invalid(str(err)) from err


def _month_of(moment: datetime) -> datetime:
    return datetime(moment.year, moment.month, 1, tzinfo=UTC)


def _shown(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M UTC")
