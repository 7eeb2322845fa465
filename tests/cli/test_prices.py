"""Prices as a table, and setting one."""

from __future__ import annotations

import pytest

from tests.cli.terminal import Terminal


def test_prices_are_listed_with_where_they_come_from(terminal: Terminal) -> None:
    out = terminal("prices").out
    assert all(word in out for word in ("local.cpu_hour", "0.033", "CPU-hour", "in force"))
    assert "Azure list prices" in out
    assert {row["sku"] for row in terminal("prices", "list", "--json").json} == {
        "gateway.input_tokens",
        "gateway.output_tokens",
        "gateway.request",
        "local.cpu_hour",
        "local.memory_gb_hour",
    }


def test_an_operator_states_a_price_from_a_day_on(terminal: Terminal) -> None:
    said = terminal(
        "prices", "set", "local.cpu_hour", "0.03", "--currency", "EUR", "--from", "2026-11-01"
    )
    assert (said.code, said.out) == (0, "")
    assert "`local.cpu_hour` costs 0.03 EUR from 2026-11-01 00:00 UTC on" in said.err
    assert "`local.memory_gb_hour` costs USD then" in said.err
    said = terminal(
        "prices", "set", "local.cpu_hour", "0.04", "--currency", "EUR", "--from", "2026-10-01"
    )
    assert "from 2026-10-01 00:00 UTC until 2026-11-01 00:00 UTC, when the next" in said.err
    assert "stated by `admin` on 2026-01-01" in terminal("prices").out
    price = terminal(
        "prices", "set", "gateway.request", "0.001", "--currency", "EUR", "--json"
    ).json
    assert (price["amount"], price["unit"]) == ("0.001", "request")


@pytest.mark.parametrize(
    ("sku", "amount", "said"),
    [("cpu", "1", "is not a SKU"), ("local.cpu_hour", "1,2", "is not a price")],
)
def test_a_bad_price_is_refused_in_words(
    terminal: Terminal, sku: str, amount: str, said: str
) -> None:
    answer = terminal("prices", "set", sku, amount, "--currency", "EUR")
    assert answer.code == 1
    assert said in answer.err
