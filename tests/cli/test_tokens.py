"""What tokens cost, without a running Plinth: lines, rows, near names and refusals in words."""

from __future__ import annotations

import pytest

from tests.cli.terminal import Terminal

OWN = """token_prices:
  - provider: azure
    model: gpt-4o
    prices: {input_tokens: "2.20", output_tokens: "8.80"}
    currency: EUR
    source: contract 4711
"""


def test_a_cost_shows_every_multiplication_and_needs_no_server(terminal: Terminal) -> None:
    (terminal.home / "node.json").unlink()
    said = terminal(
        *("tokens", "gpt-4o", "--provider", "azure", "--at", "2026-11-20T12:00"),
        *("--input", "1000", "--output", "200", "--cached", "400", "--requests", "1000000"),
    )
    assert said.code == 0
    assert "gpt-4o of azure, standard price at 2026-11-20 12:00 UTC, 1,000,000 requests" in said.out
    rows = [line.split() for line in said.out.splitlines()]
    assert ["input_tokens", "600,000,000", "2.50", "1,000,000", "1,500.00", "USD"] in rows
    assert ["cached_input_tokens", "400,000,000", "1.25", "1,000,000", "500.00", "USD"] in rows
    assert ["TOTAL", "4,000.00", "USD"] in rows
    assert "price of `openai`: https://" in said.err
    assert "none of `azure`'s own is known" in said.err


def test_a_program_gets_amounts_as_text_with_all_of_their_digits(terminal: Terminal) -> None:
    answer = terminal(
        *("tokens", "claude-sonnet-4-5", "--at", "2026-11-20", "--json"),
        *("--input", "200001", "--output", "1", "--count", "cache_write_tokens=1"),
    ).json
    assert answer["amount"] == "1.2000300".rstrip("0")
    assert answer["lines"][0] == {
        "meter": "input_tokens",
        "quantity": 200000,
        "unit_price": "6",
        "per": 1000000,
        "amount": "1.2",
        "above_input_tokens": 200000,
        "includes": [],
    }
    assert answer["price"]["source"].startswith("https://")
    assert answer["why_unknown"] is None


def test_without_quantities_the_rows_of_the_model_are_listed(terminal: Terminal) -> None:
    said = terminal("tokens", "deepseek-chat")
    assert "deepseek-chat of deepseek" in said.out
    assert "00:30-16:30" in said.out
    assert "genai-prices" in said.err
    tiers = terminal("tokens", "gpt-4o", "--json").json
    assert [row["tier"] for row in tiers] == ["standard", "priority", "fast", "batch"]
    assert tiers[0]["rates"]["input_tokens"] == {"amount": "2.5", "per": 1000000, "steps": []}
    only = terminal("tokens", "gpt-4o", "--tier", "batch", "--json").json
    assert [row["valid_from"] for row in only] == ["2026-10-14"]


def test_a_price_that_changes_with_the_prompts_length_is_shown_with_its_step(
    terminal: Terminal,
) -> None:
    out = terminal("tokens", "claude-sonnet-4-5", "--provider", "anthropic").out
    assert "3; above 200,000 input tokens 6" in out
    said = terminal("tokens", "claude-sonnet-4-5", "--input", "200001", "--output", "0")
    assert "more than 200,000 input tokens" in said.out


def test_providers_and_their_models_are_listed(terminal: Terminal) -> None:
    assert "azure" in terminal("tokens").out
    names = {row["provider"] for row in terminal("tokens", "--json").json}
    assert {"anthropic", "azure", "google", "openai"} <= names
    models = terminal("tokens", "--provider", "openai", "--json").json
    row = next(each for each in models if each["model"] == "gpt-4o")
    assert (row["input_tokens"], row["cached_input_tokens"], row["output_tokens"]) == (
        *("2.5", "1.25"),
        "10",
    )
    assert "gpt-4o" in terminal("tokens", "--provider", "openai").out


def test_a_cost_that_is_not_known_says_why_and_what_is_known(terminal: Terminal) -> None:
    arguments = ("tokens", "text-embedding-3-small", "--provider", "openai", "--output", "5")
    said = terminal(*arguments, "--input", "1000000")
    assert said.code == 0
    assert "unknown" in said.out
    assert "has no price for `output_tokens`; what is known costs 0.02" in said.err
    assert terminal(*arguments, "--input", "1", "--json").json["amount"] is None


def test_your_own_prices_go_first(terminal: Terminal) -> None:
    file = terminal.write("ours.yaml", OWN)
    said = terminal(
        *("tokens", "gpt-4o-2024-08-06", "--provider", "azure", "--prices", file),
        *("--input", "1000000", "--output", "0"),
    )
    assert "2.20" in said.out
    assert "EUR" in said.out
    assert "contract 4711" in said.err
    terminal.write("ours.yaml", OWN.replace('"2.20"', '"-2"'))
    said = terminal("tokens", "gpt-4o", "--prices", file)
    assert said.code == 1
    assert "`-2` is not a price" in said.err
    assert "cannot be read" in terminal("tokens", "--prices", file.parent / "none.yaml").err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("gtp-4o",), "did you mean `gpt-4o`?"),
        (("gpt-4o", "--provider", "azur"), "did you mean `azure`?"),
        (("text-embedding-3-small",), "say which: `--provider azure`"),
        (("gpt-4o", "--input", "-1"), "`input_tokens` is -1; 0 to"),
        (("gpt-4o", "--input", "9" * 20), "are accepted"),
        (("gpt-4o", "--input", "1", "--requests", "0"), "a number from 1 up is accepted"),
        (("gpt-4o", "--input", "10", "--cached", "20"), "is more than `input_tokens` (10)"),
        (("gpt-4o", "--cached", "20"), "`cached_input_tokens` is a part of `input_tokens`"),
        (("gpt-4o", "--count", "reasoning_tokens=2"), "`--output N` counts all of them"),
        (("gpt-4o", "--count", "resoning_tokens=2"), "did you mean `reasoning_tokens`?"),
        (("gpt-4o", "--count", "web_searches"), "has no whole number behind `=`"),
        (("gpt-4o", "--count", "web_searches=nan"), "has no whole number behind `=`"),
        (("gpt-4o", "--input", "1", "--count", "input_tokens=2"), "was given twice"),
        (("gpt-4o", "--input", "1", "--tier", "bacth"), "did you mean `batch`?"),
        (("gpt-4o", "--tier", "bacth"), "known: batch, fast, priority, standard"),
        (("gpt-4o", "--at", "yesterday", "--input", "1"), "a day like `2026-11-01`"),
        (("--input", "1"), "say of which model these are"),
    ],
)
def test_a_mistake_is_said_with_what_would_do(
    terminal: Terminal, arguments: tuple[str, ...], said: str
) -> None:
    answer = terminal("tokens", *arguments)
    assert (answer.code, answer.out) == (1, "")
    assert said in answer.err


def test_what_is_no_number_is_bad_usage(terminal: Terminal) -> None:
    assert terminal("tokens", "gpt-4o", "--input", "nan").code == 2


def test_each_help_says_where_the_other_prices_are(terminal: Terminal) -> None:
    assert "`plinth prices`" in terminal("tokens", "--help").out
    assert "`plinth tokens`" in terminal("prices", "--help").out
