"""One's own prices are read whole or not at all, and every mistake is said with its line."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from plinth.catalog.token_price_file import read_own_prices
from plinth.domain.load import LoadError
from plinth.domain.tokens import TokenMeter

FILE = """token_prices:
  - provider: Azure
    model: gpt-4o
    prices:
      input_tokens: "2.20"
      output_tokens: "8.80"
    currency: EUR
    valid_from: 2026-07-01
    source: contract 4711
  - provider: azure
    model: gpt-4o
    prices: {input_tokens: "2.40", output_tokens: "9"}
    currency: EUR
    source: contract 0815
"""


def test_rows_are_read_oldest_first_and_name_their_source() -> None:
    first, second = read_own_prices(FILE.encode(), "ours.yaml")
    assert (first.valid_from, second.valid_from) == (None, date(2026, 7, 1))
    assert (second.provider, second.model, second.currency) == ("azure", "gpt-4o", "EUR")
    assert second.rates[TokenMeter.INPUT].base == Decimal("2.20")
    assert second.source == "contract 4711 (ours.yaml)"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"2.20"', '"-2"', "ours.yaml:4:.*`-2` is not a price"),
        ('"2.20"', '"NaN"', "`NaN` is not a price"),
        ('"2.20"', "2.20", "input_tokens"),
        ("      output_tokens:", "      output_token:", "did you mean `output_tokens`"),
        ('input_tokens: "2.20"', 'cached_input_tokens: "1"', "which holds it, has none"),
        ("source: contract 4711", "sauce: x", "sauce"),
        ("    valid_from: 2026-07-01\n", "", "`gpt-4o` of `azure` stands twice"),
        ("currency: EUR\n    valid_from", "currency: USD\n    valid_from", "one is accepted"),
    ],
)
def test_a_mistake_is_said_with_its_line(old: str, new: str, said: str) -> None:
    with pytest.raises(LoadError, match=f"(?s){said}"):
        read_own_prices(FILE.replace(old, new, 1).encode(), "ours.yaml")
