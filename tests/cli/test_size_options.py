"""The numbers of `plinth size`: what is accepted, and what is refused in words."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from functools import partial

import pytest

from plinth.cli.size_options import (
    parse_price,
    parse_share,
    parse_time,
    parse_weight,
    parse_whole,
)
from plinth.kit.errors import Invalid

SHARE, PRICE, WHOLE, TIME = (
    partial(parse, "--x") for parse in (parse_share, parse_price, parse_whole, parse_time)
)


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (SHARE, "0.05", Fraction(1, 20)),
        (SHARE, "5%", Fraction(1, 20)),
        (SHARE, "0", 0),
        (SHARE, "100 %", 1),
        (PRICE, "2.50", Decimal("2.5")),
        (PRICE, "0", 0),
        (WHOLE, "15", 15),
        (TIME, "2s", 2.0),
        (TIME, "500ms", 0.5),
        (parse_weight, "2.5", Decimal("2.5")),
    ],
)
def test_a_number_is_read(parse: Callable[[str], object], text: str, value: object) -> None:
    assert parse(text) == value


@pytest.mark.parametrize("parse", [SHARE, PRICE, WHOLE, TIME, parse_weight])
def test_what_is_not_given_stays_so(parse: Callable[[str | None], object]) -> None:
    assert parse(None) is None


@pytest.mark.parametrize("text", ["nan", "inf", "-1", "1e3", "", "much", "9" * 30])
@pytest.mark.parametrize("parse", [SHARE, PRICE, WHOLE, TIME, parse_weight])
def test_what_is_no_number_is_refused(parse: Callable[[str], object], text: str) -> None:
    with pytest.raises(Invalid):
        parse(text)


@pytest.mark.parametrize(
    ("parse", "text", "said"),
    [
        (SHARE, "1.01", "`--x 1.01`: a share from 0 to 1, like `0.05` or `5%`, is needed"),
        (SHARE, "101%", "a share from 0 to 1"),
        (WHOLE, "0", "`--x 0`: a whole number from 1 to 1,000,000 is needed"),
        (WHOLE, "1.5", "a whole number from 1"),
        (WHOLE, "1000001", "a whole number from 1"),
        (TIME, "0s", "`--x 0s`: a time above 0, at most a day, is needed"),
        (TIME, "2d", "a time above 0, at most a day"),
        (TIME, "soon", "`--x`: `soon` is not a duration"),
        (parse_weight, "0", "`--output-weight 0`: a number above 0, at most 100, is needed"),
    ],
)
def test_what_is_out_of_range_is_refused_in_words(
    parse: Callable[[str], object], text: str, said: str
) -> None:
    with pytest.raises(Invalid) as refused:
        parse(text)
    assert said in refused.value.message
