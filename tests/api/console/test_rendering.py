"""Times, durations and money in the words of a page."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from plinth.api.console.rendering import (
    age,
    amount,
    coded,
    counted,
    duration,
    measured,
    moment,
    number,
    reason,
)

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-3, "0 s"), (0, "0 s"), (59, "59 s"), (119, "119 s"), (120, "2 min"), (7200, "2 h")],
)
def test_a_duration_is_said_in_one_unit(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_an_age_counts_from_a_time_or_its_text() -> None:
    began = NOW - timedelta(days=3)
    assert age(began, NOW) == age(began.isoformat(), NOW) == "3 d"
    assert age(None, NOW) == ""


def test_a_moment_is_shown_to_the_second() -> None:
    assert moment("2026-11-23T12:00:01.123456Z") == "2026-11-23 12:00:01"
    assert moment(None) == ""


@pytest.mark.parametrize(
    ("exact", "text"),
    [
        ("12.4", "12.40 EUR"),
        ("0", "0.00 EUR"),
        ("0.00312", "0.0031 EUR"),
        ("0.0000001", "<0.0001 EUR"),
        (None, ""),
    ],
)
def test_little_money_is_not_shown_as_none(exact: str | None, text: str) -> None:
    assert amount({"exact": exact, "currency": "EUR"}) == text
    assert amount(None) == ""


def test_names_in_backticks_become_code_and_everything_is_escaped() -> None:
    assert coded("does `train` <b>") == "does <code>train</code> &lt;b&gt;"
    assert coded("`<script>`") == "<code>&lt;script&gt;</code>"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.25, "0.25"), (Decimal("0.000020594"), "<0.0001"), (1234567.8, "1,234,568")],
)
def test_how_much_it_is_has_no_exponent(value: float | Decimal, text: str) -> None:
    assert number(value) == text


def test_what_mlflow_keeps_of_infinity_is_called_so() -> None:
    assert measured(sys.float_info.max) == "infinite"
    assert measured(-sys.float_info.max) == "-infinite"
    assert measured(0.1234567) == "0.123457"


def test_what_is_no_number_is_called_so() -> None:
    assert measured(float("nan")) == "no number"


@pytest.mark.parametrize(
    ("quantity", "text"),
    [(1, "1 request"), (0, "0 requests"), (1234, "1,234 requests"), ("0.5", "0.5 requests")],
)
def test_one_is_one_and_all_else_is_many(quantity: int | str, text: str) -> None:
    assert counted(quantity, "request") == text


def test_a_reason_is_said_in_words() -> None:
    assert reason("DeploymentFailed") == "deployment failed"
