"""Usage x prices is exact, and no price changes what was used before it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest

from plinth.domain.money import Price
from plinth.domain.usage import Meter, UsageSum
from plinth.metering.rating import PriceBook, rate, rate_all

START = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
CPU, MEMORY, REQUEST = "local.cpu_hour", "local.memory_gb_hour", "gateway.request"


def price(
    sku: str = CPU, amount: str = "0.03", *, at: datetime = START, currency: str = "EUR"
) -> Price:
    return Price(
        sku=sku, amount=Decimal(amount), currency=currency, valid_from=at, source=f"test {amount}"
    )


BOOK = PriceBook([price(), price(MEMORY, "0.004"), price(REQUEST, "0.0001")], [])


def used(millionths: int, **changes: object) -> UsageSum:
    fields: dict[str, object] = {
        "meter": Meter.TRAINING_SECONDS,
        "since": START,
        "until": START + HOUR,
        "team": "ops",
        "workload": "job/train",
        "platform": "local",
        "cpu": 2.0,
        "memory_bytes": 3_000_000_000,
    }
    return UsageSum(**{**fields, **changes}, millionths=millionths)  # type: ignore[arg-type]


def test_a_replica_is_charged_for_its_processors_and_its_memory() -> None:
    cpu, memory = rate(used(7_200_000_000), BOOK)
    assert (cpu.sku, cpu.quantity, cpu.amount) == (CPU, Decimal(14400), Fraction("0.12"))
    assert (memory.sku, memory.quantity) == (MEMORY, Decimal(21600))
    assert memory.amount == Fraction("0.024")


def test_a_tenth_of_a_processor_is_a_tenth_and_not_a_binary_fraction() -> None:
    cpu, _ = rate(used(1, cpu=0.1), BOOK)
    assert cpu.quantity == Decimal("0.0000001")
    assert cpu.amount == Fraction(3, 100) / 3600 / 10**7


def test_a_request_has_a_price_of_its_own() -> None:
    (charge,) = rate(used(3_000_000, meter=Meter.REQUESTS, platform=None), BOOK)
    assert (charge.sku, charge.quantity, charge.amount) == (REQUEST, 3, Fraction("0.0003"))


@pytest.mark.parametrize("lacking", ["platform", "cpu", "memory_bytes"])
def test_seconds_of_a_replica_of_unknown_size_are_unpriced_and_keep_their_quantity(
    lacking: str,
) -> None:
    (charge,) = rate(used(90_000_000, **{lacking: None}), BOOK)
    assert (charge.sku, charge.quantity, charge.amount) == (None, 90, None)
    assert charge.why_unpriced == "the size of the replica was not recorded"


def test_what_has_no_price_then_is_unpriced() -> None:
    early = START - HOUR
    cpu, memory = rate(used(1_000_000, since=early), BOOK)
    assert (cpu.amount, memory.amount) == (None, None)
    assert cpu.why_unpriced == "`local.cpu_hour` had no price then"
    assert {each.amount for each in rate(used(1, platform="moon"), BOOK)} == {None}


def test_the_price_in_force_is_the_last_one_that_began() -> None:
    book = PriceBook([price()], [price(amount="0.05", at=START + HOUR)])
    moments = [START - HOUR, START, START + HOUR / 2, START + HOUR, START + 9 * HOUR]
    found = [book.at(CPU, moment) for moment in moments]
    assert [str(each.amount) if each else None for each in found] == [
        None,
        "0.03",
        "0.03",
        "0.05",
        "0.05",
    ]
    assert book.changes(START, START + 9 * HOUR) == {START + HOUR}
    assert book.changes(START, START + HOUR) == set()


def test_of_two_statements_for_one_time_the_later_counts() -> None:
    book = PriceBook([], [price(amount="1"), price(amount="2")])
    assert [str(each.amount) for each in book.prices()] == ["2"]


def test_a_stated_price_wins_over_later_ones_that_plinth_brings() -> None:
    brought = [price(amount="1"), price(amount="3", at=START + 2 * HOUR)]
    book = PriceBook(brought, [price(amount="2", at=START + HOUR)])
    assert [str(each.amount) for each in book.prices()] == ["1", "2"]
    book = PriceBook(brought, [price(amount="2")])
    assert [str(each.amount) for each in book.prices()] == ["2"]


def tokens(meter: Meter, number: int, **changes: object) -> UsageSum:
    fields: dict[str, object] = {"meter": meter, "platform": None, "cpu": None}
    given = {**fields, "memory_bytes": None, "workload": "endpoint/chat", **changes}
    return used(number * 1_000_000, **given)


HOSTED = PriceBook([price("gateway.input_tokens", "0"), price("gateway.output_tokens", "0")], [])
OWN = PriceBook(
    [price("endpoint/chat.input_tokens", "3"), price("endpoint/chat.cached_input_tokens", "0.5")],
    [],
)


def test_tokens_of_a_model_that_runs_here_cost_what_all_such_tokens_cost() -> None:
    (charge,) = rate(tokens(Meter.INPUT_TOKENS, 2), HOSTED)
    assert (charge.sku, charge.quantity, charge.amount) == ("gateway.input_tokens", 2, 0)


def test_tokens_of_a_model_elsewhere_are_unknown_until_a_price_is_stated_and_never_0() -> None:
    external = tokens(Meter.INPUT_TOKENS, 2, deployment="azure")
    (charge,) = rate(external, HOSTED)
    assert (charge.quantity, charge.amount) == (2, None)
    assert charge.why_unpriced == (
        "what `azure` charges is its provider's, and `endpoint/chat.input_tokens` was not stated"
    )
    (charge,) = rate(external, OWN)
    assert charge.amount == Fraction(6, 1_000_000)


def test_a_cached_token_with_a_price_of_its_own_is_charged_once() -> None:
    sums = [tokens(Meter.INPUT_TOKENS, 10), tokens(Meter.CACHED_INPUT_TOKENS, 4)]
    charged = {charge.sku: (charge.quantity, charge.amount) for charge in rate_all(sums, OWN)}
    assert charged == {
        "endpoint/chat.input_tokens": (6, Fraction(18, 1_000_000)),
        "endpoint/chat.cached_input_tokens": (4, Fraction(2, 1_000_000)),
    }


def test_a_part_without_a_price_of_its_own_pays_what_its_whole_pays() -> None:
    sums = [
        tokens(Meter.OUTPUT_TOKENS, 10),
        tokens(Meter.REASONING_TOKENS, 4),
        tokens(Meter.INPUT_TOKENS, 10, workload="endpoint/other"),
        tokens(Meter.CACHED_INPUT_TOKENS, 4, workload="endpoint/other"),
    ]
    book = PriceBook([*HOSTED.prices(), *OWN.prices()], [])
    assert [(each.sku, each.quantity) for each in rate_all(sums, book)] == [
        ("gateway.output_tokens", 10),
        ("gateway.input_tokens", 10),
    ]


def test_a_part_is_taken_off_what_is_estimated_and_what_is_not() -> None:
    sums = [
        tokens(Meter.INPUT_TOKENS, 3),
        tokens(Meter.INPUT_TOKENS, 5, estimated=True),
        tokens(Meter.CACHED_INPUT_TOKENS, 4),
        tokens(Meter.INPUT_TOKENS, 7, team="other"),
    ]
    charged = [(each.usage.meter, each.quantity) for each in rate_all(sums, OWN)]
    assert charged == [
        (Meter.INPUT_TOKENS, 0),
        (Meter.INPUT_TOKENS, 4),
        (Meter.CACHED_INPUT_TOKENS, 4),
        (Meter.INPUT_TOKENS, 7),
    ]
