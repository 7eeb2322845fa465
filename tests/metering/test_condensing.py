"""Of many workloads the costliest keep a line each, and the sum of all is the same."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from plinth.domain.money import Price
from plinth.domain.usage import Meter, UsageSum
from plinth.metering.bill import Group, make_lines, make_totals
from plinth.metering.condensing import condense
from plinth.metering.rating import PriceBook, rate_all

SINCE = datetime(2026, 3, 1, tzinfo=UTC)


def used(workload: str, seconds: int, **changes: object) -> UsageSum:
    fields: dict[str, object] = {
        "meter": Meter.TRAINING_SECONDS,
        "millionths": seconds * 1_000_000,
        "since": SINCE,
        "until": SINCE + timedelta(days=1),
        "team": "red",
        "workload": workload,
        "platform": "local",
        "cpu": 2.0,
        "memory_bytes": 10**9,
    }
    return UsageSum(**(fields | changes))  # type: ignore[arg-type]


@pytest.fixture
def book() -> PriceBook:
    def price(sku: str, amount: str) -> Price:
        return Price(
            sku=sku,
            amount=Decimal(amount),
            currency="EUR",
            valid_from=datetime(2026, 1, 1, tzinfo=UTC),
            source="test",
        )

    prices = [price("local.cpu_hour", "0.07"), price("local.memory_gb_hour", "0.013")]
    return PriceBook(prices, [])


def total(sums: list[UsageSum], book: PriceBook) -> str:
    lines = make_lines(rate_all(sums, book), (Group.TEAM, Group.WORKLOAD), "EUR")
    return str(make_totals(lines)[0].cost)


def test_the_costliest_of_each_team_stay_and_the_sum_is_the_same(book: PriceBook) -> None:
    sums = [used(f"job/j{number}", 100 + number) for number in range(50)]
    sums += [used("job/x", 5, team="blue")]
    found, others = condense(sums, book, 3)
    assert {each.workload for each in found} == {"job/j47", "job/j48", "job/j49", "job/x", None}
    assert others == {"red": 47}
    assert len(found) == 5
    assert total(found, book) == total(sums, book)


def test_a_single_one_that_would_be_left_keeps_its_name(book: PriceBook) -> None:
    sums = [used(f"job/j{number}", 100) for number in range(4)]
    assert condense(sums, book, 3) == (sums, {})


def test_who_uses_tokens_keeps_its_name_for_its_price(book: PriceBook) -> None:
    tokens = {"meter": Meter.INPUT_TOKENS, "platform": None, "cpu": None, "memory_bytes": None}
    sums = [used("endpoint/chat", 1, **tokens), *(used(f"job/j{each}", 9) for each in range(9))]
    found, others = condense(sums, book, 2)
    assert "endpoint/chat" in {each.workload for each in found}
    assert others == {"red": 7}
