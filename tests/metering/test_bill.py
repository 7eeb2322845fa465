"""Lines sum to the last coin, however they are cut: properties over any usage."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plinth.domain.money import Money
from plinth.domain.usage import Meter, UsageSum
from plinth.metering.bill import DIGITS, Group, Line, apportion, make_lines, make_totals
from plinth.metering.rating import PriceBook, rate
from tests.metering.test_rating import (
    BOOK,
    CPU,
    HOUR,
    MEMORY,
    REQUEST,
    START,
    price,
    used,
)

ALL = tuple(Group)
BY = (Group.TEAM, Group.WORKLOAD)

usages = st.builds(
    lambda millionths, meter, team, workload, cpu, memory, run, day: used(
        millionths,
        meter=meter,
        team=team,
        workload=workload,
        cpu=cpu,
        memory_bytes=memory,
        run=run,
        since=START + timedelta(days=day),
        until=START + timedelta(days=day + 1),
    ),
    st.integers(1, 10**13),
    st.sampled_from(Meter),
    st.sampled_from(["ops", "research"]),
    st.sampled_from(["job/a", "job/b", "endpoint/c"]),
    st.sampled_from([0.1, 0.5, 1.0, 3.0, None]),
    st.integers(1, 10**12),
    st.sampled_from(["r_1", None]),
    st.integers(0, 40),
)


def bill(
    usage: Iterable[UsageSum], by: tuple[Group, ...] = BY, book: PriceBook = BOOK
) -> list[Line]:
    return make_lines((charge for each in usage for charge in rate(each, book)), by, "EUR")


def exact(usage: Iterable[UsageSum]) -> Fraction:
    amounts = (charge.amount for each in usage for charge in rate(each, BOOK))
    return sum((amount for amount in amounts if amount is not None), Fraction(0))


@given(st.lists(usages, max_size=12), st.lists(st.sampled_from(ALL), min_size=1, unique=True))
@settings(max_examples=60, deadline=None)
def test_lines_sum_to_the_total_and_the_total_is_the_rounded_sum(
    usage: list[UsageSum], by: list[Group]
) -> None:
    lines = bill(usage, tuple(by))
    costs = [line for line in lines if line.cost is not None]
    totals = make_totals(lines)
    if not costs:
        assert totals == []
        return
    (total,) = totals
    assert sum(line.cost.amount for line in costs if line.cost) == total.cost.amount
    assert sum(line.shown.amount for line in costs if line.shown) == total.shown.amount
    assert abs(Fraction(total.cost.amount) - exact(usage)) <= Fraction(1, 2 * 10**DIGITS)
    assert total.shown.amount == round_half_up(total.cost.amount, 2)
    for line in costs:
        parts = [part.cost.amount for part in line.parts if part.cost]
        assert line.cost is not None
        assert line.shown is not None
        assert sum(parts) == line.cost.amount
        assert abs(line.shown.amount - line.cost.amount) < Decimal("0.01")


@given(
    st.lists(usages, min_size=1, max_size=12),
    st.lists(st.sampled_from(ALL), min_size=1, unique=True),
)
@settings(max_examples=60, deadline=None)
def test_no_grouping_changes_the_total(usage: list[UsageSum], by: list[Group]) -> None:
    assert make_totals(bill(usage, tuple(by))) == make_totals(bill(usage, BY))


@given(st.lists(usages, min_size=1, max_size=8), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_no_splitting_and_no_order_of_records_changes_the_bill(
    usage: list[UsageSum], random: object
) -> None:
    pieces = [
        used_piece
        for each in usage
        for used_piece in halves(each, random.randint(0, each.millionths))  # type: ignore[attr-defined]
    ]
    random.shuffle(pieces)  # type: ignore[attr-defined]
    assert bill(pieces) == bill(usage)


def halves(usage: UsageSum, first: int) -> list[UsageSum]:
    fields = {name: getattr(usage, name) for name in usage.__slots__}
    return [
        UsageSum(**{**fields, "millionths": millionths})
        for millionths in (first, usage.millionths - first)
    ]


def round_half_up(amount: Decimal, digits: int) -> Decimal:
    return Decimal((amount * 10**digits + Decimal("0.5")) // 1) / 10**digits


def test_a_million_records_too_small_for_a_cent_lose_none() -> None:
    # A microsecond of two processors and 3 GB costs a fiftieth of a billionth of a euro.
    each = exact([used(1)])
    assert each < Fraction(1, 10**10)
    million = [used(1, workload=f"job/j{number % 7}") for number in range(1000)] * 1000
    sums: dict[str | None, int] = {}
    for usage in million:
        sums[usage.workload] = sums.get(usage.workload, 0) + usage.millionths
    (total,) = make_totals(bill(used(count, workload=name) for name, count in sums.items()))
    assert Fraction(total.cost.amount) == Fraction(apportion([each * 1_000_000], DIGITS)[0])
    (one_by_one,) = make_totals(bill(million[:20_000]))
    assert one_by_one.cost.amount == apportion([each * 20_000], DIGITS)[0]


@given(st.lists(st.fractions(0, 1000), max_size=30), st.integers(0, 12))
@settings(max_examples=100, deadline=None)
def test_amounts_are_apportioned_without_loss(amounts: list[Fraction], digits: int) -> None:
    found = apportion(amounts, digits)
    assert len(found) == len(amounts)
    whole = sum(amounts, Fraction(0)) * 10**digits + Fraction(1, 2)
    assert sum(found) * 10**digits == whole.numerator // whole.denominator
    for amount, given_amount in zip(amounts, found, strict=True):
        assert abs(Fraction(given_amount) - amount) < Fraction(1, 10**digits)


def test_the_missing_cent_goes_to_who_lost_most_and_of_equal_ones_to_the_first() -> None:
    third = Fraction(1, 3)
    assert apportion([third] * 3, 2) == [Decimal("0.34"), Decimal("0.33"), Decimal("0.33")]
    assert apportion([third, 2 * third], 0) == [Decimal(0), Decimal(1)]
    assert apportion([], 2) == []


def test_each_currency_has_lines_and_a_total_of_its_own() -> None:
    book = PriceBook([price(), price(MEMORY, "0.004", currency="USD")], [])
    lines = bill([used(3_600_000_000)], book=book)
    assert [line.shown for line in lines] == [
        Money(amount=Decimal("0.06"), currency="EUR"),
        Money(amount=Decimal("0.01"), currency="USD"),
    ]
    assert [total.shown.currency for total in make_totals(lines)] == ["EUR", "USD"]
    yen = PriceBook([price(amount="100", currency="JPY")], [])
    in_yen, unpriced = bill([used(3_600_000_000)], book=yen)
    assert (str(in_yen.shown), unpriced.shown) == ("200 JPY", None)


def test_what_is_free_joins_the_line_that_costs() -> None:
    book = PriceBook([price(), price(MEMORY, "0.004"), price(REQUEST, "0", currency="USD")], [])
    asked = used(5_000_000, meter=Meter.REQUESTS)
    (line,) = bill([used(3_600_000_000), asked], book=book)
    assert (str(line.shown), len(line.parts)) == ("0.07 EUR", 3)
    (line,) = bill([asked], book=book)
    assert str(line.shown) == "0.00 EUR"


def test_what_has_no_price_is_a_line_without_an_amount_and_in_no_total() -> None:
    lines = bill([used(3_600_000_000), used(60_000_000, cpu=None)])
    assert [line.shown is None for line in lines] == [False, True]
    assert lines[1].parts[0].quantity == 60
    assert [str(total.shown) for total in make_totals(lines)] == ["0.07 EUR"]


def test_two_prices_are_two_parts_of_one_line() -> None:
    book = PriceBook([price(), price(MEMORY, "0")], [price(amount="0.05", at=START + HOUR)])
    usage = [used(3_600_000_000), used(3_600_000_000, since=START + HOUR, until=START + 2 * HOUR)]
    (line,) = bill(usage, book=book)
    found = [(part.quantity, str(part.price and part.price.amount)) for part in line.parts]
    assert found[:2] == [(7200, "0.03"), (7200, "0.05")]
    assert str(line.shown) == "0.16 EUR"


def test_what_still_runs_is_a_part_of_its_own_and_marks_its_line() -> None:
    lines = bill([used(3_600_000_000), used(1_000_000, seen_at=START + HOUR)])
    assert [line.seen_at for line in lines] == [START + HOUR]
    assert [part.seen_at for part in lines[0].parts if part.sku == CPU] == [None, START + HOUR]


@pytest.mark.parametrize(
    ("group", "key"),
    [(Group.DAY, "2026-03-01"), (Group.MONTH, "2026-03"), (Group.METER, "training_seconds")],
)
def test_lines_are_kept_apart_by_what_is_asked(group: Group, key: str) -> None:
    (line,) = bill([used(1_000_000)], (group,))
    assert line.key == (key,)
    assert [line.key for line in bill([used(1_000_000)], (Group.SKU,))] == [(CPU,), (MEMORY,)]
