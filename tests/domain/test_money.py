"""Money is exact, and of one currency."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction

import pytest
from pydantic import ValidationError

from plinth.domain.money import (
    Charge,
    Measure,
    Money,
    Price,
    coin_digits,
    parse_amount,
    parse_currency,
    parse_sku,
)
from plinth.domain.usage import Meter, UsageSum
from plinth.kit.errors import Invalid

JANUARY = datetime(2026, 1, 1, tzinfo=UTC)


def money(amount: str, currency: str = "EUR") -> Money:
    return Money(amount=Decimal(amount), currency=currency)


def price(sku: str = "local.cpu_hour", amount: str = "0.03") -> Price:
    return Price(sku=sku, amount=Decimal(amount), currency="EUR", valid_from=JANUARY, source="test")


def test_money_of_one_currency_adds_without_a_bit_lost() -> None:
    assert money("0.1") + money("0.2") == money("0.3")
    vast, tiny = money("123456789012345678901234567890"), money("0.000000000000000001")
    assert (vast + tiny).amount == Decimal("123456789012345678901234567890.000000000000000001")
    assert str(money("1234.50")) == "1,234.50 EUR"


def test_two_currencies_never_add_up() -> None:
    with pytest.raises(Invalid, match="EUR and USD cannot be added"):
        money("1") + money("1", "USD")


@pytest.mark.parametrize("currency", ["eur", "EURO", "EU", "€", ""])
def test_a_currency_is_three_capital_letters(currency: str) -> None:
    with pytest.raises(Invalid, match="is not a currency"):
        parse_currency(currency)
    with pytest.raises(ValidationError):
        money("1", currency)


def test_a_coin_has_as_many_decimals_as_its_currency() -> None:
    assert [coin_digits(each) for each in ("EUR", "USD", "JPY", "KWD")] == [2, 2, 0, 3]


def test_a_sku_says_where_and_what() -> None:
    sku = parse_sku("local.memory_gb_hour")
    assert (sku.place, sku.measure, str(sku)) == (
        "local",
        Measure.MEMORY_GB_HOUR,
        "local.memory_gb_hour",
    )
    assert (sku.measure.unit, sku.measure.fine_unit, sku.measure.fine_units) == (
        "GB-hour",
        "GB-second",
        3600,
    )


def test_tokens_have_a_price_for_a_million_at_the_gateway_or_at_an_endpoint() -> None:
    sku = parse_sku("endpoint/chat.cached_input_tokens")
    assert (sku.place, sku.measure, sku.measure.fine_units) == (
        *("endpoint/chat", Measure.CACHED_INPUT_TOKENS),
        1_000_000,
    )
    assert parse_sku("gateway.output_tokens").measure.unit == "million output tokens"
    assert price("endpoint/chat.input_tokens", "3").cost_of(Decimal(2)) == Fraction(6, 10**6)


@pytest.mark.parametrize(
    "text",
    [
        *("", "local", "local.", ".cpu_hour", "local.gpu", "local.request", "gateway.cpu_hour"),
        *("local.input_tokens", "endpoint/.input_tokens", "endpoint/chat.request", "a/b.cpu_hour"),
    ],
)
def test_what_is_no_sku_is_refused_with_those_there_are(text: str) -> None:
    with pytest.raises(Invalid, match=r"`gateway\.request` are"):
        parse_sku(text)


@pytest.mark.parametrize("text", ["0", "0.03", "12", "999999999999.999999999999999999"])
def test_a_price_is_read_as_it_is_written(text: str) -> None:
    assert str(parse_amount(text)) == text


@pytest.mark.parametrize(
    "text",
    ["", "-1", "+1", "1e3", "0,03", ".5", "1.", "NaN", "Infinity", "0.03 EUR", "1" * 13, "٣"],
)
def test_what_is_no_price_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="is not a price"):
        parse_amount(text)


def test_a_price_is_never_negative() -> None:
    with pytest.raises(ValidationError):
        price(amount="-0.01")


def test_the_third_of_an_hour_costs_exactly_a_third() -> None:
    assert price(amount="1").cost_of(Decimal(1200)) == Fraction(1, 3)
    assert price("gateway.request", "0.5").cost_of(Decimal(3)) == Fraction(3, 2)


def test_a_charge_without_a_price_has_no_amount() -> None:
    usage = UsageSum(Meter.TRAINING_SECONDS, 1, JANUARY, JANUARY, "ops")
    charge = Charge(usage, Measure.CPU_HOUR, "local.cpu_hour", Decimal(7200), price())
    assert charge.amount == Fraction(6, 100)
    assert Charge(usage, None, None, Decimal(60), None, "no size").amount is None
