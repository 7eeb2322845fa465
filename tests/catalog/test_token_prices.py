"""Which price holds: by provider, name, day, hour and tier; and what is known is well formed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plinth.catalog.token_prices import (
    TokenPriceBook,
    load_token_prices,
    matches,
    with_own_prices,
)
from plinth.domain.token_cost import Rate, TokenPrice, check_rates, cost_of
from plinth.domain.tokens import TokenMeter, TokenUsage
from plinth.kit.errors import Invalid, NotFound

M = TokenMeter
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def usage(into: int = 0, out: int = 0, cached: int = 0) -> TokenUsage:
    return TokenUsage({M.INPUT: into, M.OUTPUT: out, M.CACHED_INPUT: cached})


def base(
    book: TokenPriceBook, model: str, provider: str, at: datetime, tier: str | None = None
) -> str:
    return str(book.price(book.find(model, provider), at, tier).rates[M.INPUT].base)


@pytest.fixture(name="book")
def load_book() -> TokenPriceBook:
    return load_token_prices()


# Worked examples. Each names a source that is not the one the prices were taken from.
@pytest.mark.parametrize(
    ("model", "provider", "tier", "used", "amount"),
    [
        # Azure Retail Prices API, 2026-08-11, meters gpt-4o-0806-Inp-glbl 0.0025,
        # `gpt 4o 0806 cached Inp glbl` 0.00125, gpt-4o-0806-Outp-glbl 0.01, all for 1K:
        # 0.6 x 0.0025 + 0.4 x 0.00125 + 0.2 x 0.01
        ("gpt-4o-2024-08-06", "azure", None, usage(1000, 200, 400), "0.004"),
        # The same source, batch: `gpt 4o 1120 Batch Inp glbl` 0.00125 and 0.005 for 1K, which
        # OpenAI asks too: 10 x 0.00125 + 2 x 0.005
        ("gpt-4o-2024-11-20", "openai", "batch", usage(10_000, 2000), "0.0225"),
        # litellm 1.109.1, claude-sonnet-4-20250514: 3e-06, 3e-07, 1.5e-05 a token:
        # 1,000 x 0.000003 + 9,000 x 0.0000003 + 500 x 0.000015
        ("claude-sonnet-4-20250514", "anthropic", None, usage(10_000, 500, 9000), "0.0132"),
        # litellm 1.109.1, text-embedding-3-small: 2e-08 a token
        ("text-embedding-3-small", "openai", None, usage(1_000_000), "0.02"),
    ],
)
def test_worked_examples(
    model: str, provider: str, tier: str | None, used: TokenUsage, amount: str
) -> None:
    cost = load_token_prices().cost(model, used, provider=provider, at=NOON, tier=tier)
    assert cost.amount == Decimal(amount)


def test_every_row_has_a_price_for_each_token_that_it_could_count(book: TokenPriceBook) -> None:
    seen = 0
    for provider in book.providers():
        for model in book.models(provider):
            for row in book.rows(model):
                seen += 1
                assert "genai-prices" in row.source
                if row.tier is None:
                    check_rates(row.rates)
    assert seen > 2000


def test_every_tier_fits_the_standard_price_that_it_changes(book: TokenPriceBook) -> None:
    tiers = set()
    for found in book.models("openai"):
        for tier in {row.tier for row in book.rows(found) if row.tier}:
            tiers.add(tier)
            check_rates(book.price(found, NOON, tier).rates)
    assert tiers == {"batch", "fast", "flex", "priority"}


def test_a_price_holds_from_its_utc_day_on(book: TokenPriceBook) -> None:
    before = datetime(2025, 6, 9, 23, 59, tzinfo=UTC)
    assert base(book, "o3", "openai", before) == "10"
    assert base(book, "o3", "openai", before + timedelta(minutes=1)) == "2"
    # The same moment, said in another time zone.
    tokyo = timezone(timedelta(hours=9))
    assert base(book, "o3", "openai", datetime(2025, 6, 10, 8, 59, tzinfo=tokyo)) == "10"


@pytest.mark.parametrize(
    ("clock", "expected"),
    [("00:29", "0.135"), ("00:30", "0.27"), ("16:29", "0.27"), ("16:30", "0.135")],
)
def test_an_off_peak_price_holds_in_its_hours(
    book: TokenPriceBook, clock: str, expected: str
) -> None:
    at = datetime.fromisoformat(f"2025-11-06T{clock}:00+00:00")
    assert base(book, "deepseek-chat", "deepseek", at) == expected


def test_hours_hold_only_since_the_price_before_them_began(book: TokenPriceBook) -> None:
    night = datetime(2026, 9, 9, 2, tzinfo=UTC)
    assert base(book, "deepseek-v4-flash", "deepseek", night) == "0.22"
    assert base(book, "deepseek-v4-flash", "deepseek", night + timedelta(days=1)) == "0.3"


def test_a_tier_changes_what_it_names_and_keeps_the_rest(book: TokenPriceBook) -> None:
    found = book.find("gpt-4o", "openai")
    batch = book.price(found, NOON, "batch")
    assert {str(meter): str(rate.base) for meter, rate in batch.rates.items()} == {
        "input_tokens": "1.25",
        "cached_input_tokens": "1.25",
        "output_tokens": "5",
        "web_searches": "10",
        "storage_searches": "2.5",
    }
    assert book.price(found, NOON, "standard") == book.price(found, NOON, "default")


def test_a_tier_that_is_not_sold_then_is_never_charged_at_the_standard_price(
    book: TokenPriceBook,
) -> None:
    found = book.find("gpt-4o", "openai")
    with pytest.raises(NotFound, match="known: standard, batch, fast, priority") as caught:
        book.price(found, NOON, "prioritiy")
    assert caught.value.hint == "did you mean `priority`?"
    with pytest.raises(NotFound, match="is known before 2026-10-14, asked for 2026-10-13"):
        book.price(found, datetime(2026, 10, 13, 23, tzinfo=UTC), "batch")
    cost = book.cost("gpt-4o", usage(1), provider="openai", at=NOON, tier="gold")
    assert cost.amount is None


def test_who_sells_anothers_model_without_a_price_of_its_own_has_that_of_its_maker(
    book: TokenPriceBook,
) -> None:
    found = book.find("gpt-4o", "azure")
    assert (found.provider, found.priced_by) == ("azure", "openai")
    (row,) = book.rows(found)
    assert (row.priced_by, row.tier) == ("openai", None)
    assert "openai" in row.source
    with pytest.raises(NotFound, match="known: standard"):
        book.price(found, NOON, "batch")


@pytest.mark.parametrize(
    ("written", "provider", "name"),
    [
        ("gpt-4o-2024-11-20", "openai", "gpt-4o"),
        (" GPT-4o ", "OpenAI", "gpt-4o"),
        ("gpt-5-20250807", "openai", "gpt-5"),
        ("claude-sonnet-4-5-20250929", None, "claude-sonnet-4-5"),
        ("o3", None, "o3"),
        ("gemini-2.5-pro", "vertex", "gemini-2.5-pro"),
    ],
)
def test_models_are_found_by_the_names_that_people_and_responses_use(
    book: TokenPriceBook, written: str, provider: str | None, name: str
) -> None:
    assert book.find(written, provider).name == name


def test_a_model_that_nobody_knows_names_the_nearest(book: TokenPriceBook) -> None:
    with pytest.raises(NotFound, match="no price of `gtp-4o` is known for `openai`") as caught:
        book.find("gtp-4o", "openai")
    assert caught.value.hint == "did you mean `gpt-4o`?"
    with pytest.raises(NotFound, match="is known for `azure`") as caught:
        book.find("gtp-4o", "azure")
    assert caught.value.hint == "did you mean `gpt-4o`?"
    with pytest.raises(NotFound, match="is known for any provider") as caught:
        book.find("zzzzzzzzzz")
    assert "--prices FILE" in str(caught.value.hint)
    with pytest.raises(NotFound, match=r"known for `anthropic`; known for .*groq"):
        book.find("llama-3.3-70b-versatile", "anthropic")


def test_a_provider_that_nobody_knows_names_the_nearest(book: TokenPriceBook) -> None:
    with pytest.raises(
        NotFound, match="no prices of the provider `azur`; known: anthropic"
    ) as caught:
        book.find("gpt-4o", "azur")
    assert caught.value.hint == "did you mean `azure`?"


def test_a_model_of_several_sellers_and_of_no_maker_asks_which(book: TokenPriceBook) -> None:
    with pytest.raises(Invalid, match="is sold by azure, openai, at prices of their own") as caught:
        book.find("text-embedding-3-small")
    assert caught.value.hint == "say which: `--provider azure`"


@pytest.mark.parametrize("name", ["", "  ", "x" * 201])
def test_a_name_that_is_none_is_refused(book: TokenPriceBook, name: str) -> None:
    with pytest.raises(Invalid, match="1 to 200 characters"):
        book.find(name, "openai")


def test_a_moment_without_a_time_zone_is_refused(book: TokenPriceBook) -> None:
    with pytest.raises(Invalid, match="has no time zone"):
        base(book, "o3", "openai", datetime(2026, 1, 1))


def test_a_meter_gets_an_unknown_cost_where_a_person_gets_an_error(book: TokenPriceBook) -> None:
    for model, provider in (("no-such-model", "openai"), ("gpt-4o", "nobody")):
        cost = book.cost(model, usage(1), provider=provider, at=NOON)
        assert (cost.amount, cost.price, cost.lines) == (None, None, ())
        assert "no price" in str(cost.why_unknown)


def test_a_model_that_is_known_without_a_price_is_unknown_and_not_free(
    book: TokenPriceBook,
) -> None:
    cost = book.cost("qwen-3-coder-480b", usage(10, 5), provider="cerebras", at=NOON)
    assert cost.amount is None
    assert cost.known == 0


def own(provider: str, model: str, amount: str, since: str | None = None) -> TokenPrice:
    return TokenPrice(
        provider,
        model,
        {M.INPUT: Rate(Decimal(amount)), M.OUTPUT: Rate(Decimal(amount))},
        source="contract 4711",
        priced_by=provider,
        currency="EUR",
        valid_from=None if since is None else datetime.fromisoformat(since).date(),
    )


def test_your_own_price_goes_before_the_one_that_plinth_brings_from_its_day_on() -> None:
    book = with_own_prices([own("azure", "gpt-4o", "2", "2026-07-01")])
    before = datetime(2026, 6, 30, 23, tzinfo=UTC)
    assert book.cost(
        "gpt-4o-2024-08-06", usage(10**6), provider="azure", at=before
    ).amount == Decimal("2.5")
    cost = book.cost("gpt-4o-2024-08-06", usage(10**6), provider="azure", at=NOON)
    assert cost.amount == 2
    assert cost.price is not None
    assert (cost.price.currency, cost.price.source) == ("EUR", "contract 4711")


def test_your_own_price_of_a_model_that_nobody_else_has() -> None:
    book = with_own_prices([own("us", "our-model", "1")])
    assert "us" in book.providers()
    assert [model.name for model in book.models("us")] == ["our-model"]
    assert book.find("our-model").provider == "us"
    assert book.cost("our-model", usage(10**6), provider="us", at=NOON).amount == 1
    # A name of your own is not taken for a model whose name begins alike.
    both = with_own_prices([own("deepseek", "deepseek-chat-ours", "7")])
    assert both.find("deepseek-chat-ours", "deepseek").name == "deepseek-chat-ours"
    assert both.find("deepseek-chat-else", "deepseek").name == "deepseek-chat"


def test_tiers_of_the_list_are_not_sold_beside_a_price_of_your_own() -> None:
    book = with_own_prices([own("openai", "gpt-4o", "2")])
    with pytest.raises(NotFound, match="known: standard"):
        book.price(book.find("gpt-4o", "openai"), NOON, "batch")


def test_hours_may_go_past_midnight() -> None:
    rows = [
        {"rates": {"input_tokens": "2"}},
        {"rates": {"input_tokens": "1"}, "daily": ["22:00", "06:00"]},
    ]
    provider = {"also": None, "sells": None, "fallback": [], "pages": [], "models": []}
    provider["models"] = [{"id": "m", "match": "m", "prices": rows}]
    document = {"package": "x", "version": "1", "taken": "today", "providers": {"p": provider}}
    book = TokenPriceBook(document)
    for clock, expected in {"21:59": "2", "22:00": "1", "05:59": "1", "06:00": "2"}.items():
        at = datetime.fromisoformat(f"2026-01-01T{clock}:00+00:00")
        assert base(book, "m", "p", at) == expected


@given(st.data(), st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6))
def test_whatever_the_model_cost_is_never_negative_and_linear_where_its_prices_are(
    data: st.DataObject, cached: int, fresh: int, out: int
) -> None:
    book = load_token_prices()
    model = data.draw(st.sampled_from(book.models(data.draw(st.sampled_from(book.providers())))))
    price = book.price(model, NOON + timedelta(hours=data.draw(st.integers(-20_000, 20_000))))
    one, other = usage(cached + fresh, out, cached), usage(fresh, out, 0)
    costs = [cost_of(each, price) for each in (one, other, one + other)]
    assert all(cost.known >= 0 for cost in costs)
    assert all((cost.amount is None) == bool(cost.why_unknown) for cost in costs)
    if TokenMeter.REQUESTS not in price.rates and not any(r.steps for r in price.rates.values()):
        assert costs[2].known == costs[0].known + costs[1].known


def test_your_own_price_of_a_tier_is_whole_and_nothing_of_the_list_is_added() -> None:
    batch = replace(own("openai", "gpt-4o", "1"), tier="batch")
    book = with_own_prices([batch])
    found = book.find("gpt-4o", "openai")
    assert book.price(found, NOON, "batch") == batch
    assert book.price(found, NOON).currency == "USD"


def test_your_own_price_counts_however_the_list_writes_the_models_name() -> None:
    book = with_own_prices([own("minimax", "minimax-m2", "1")])
    names = [model.name for model in load_token_prices().models("minimax")]
    assert "MiniMax-M2" in names
    cost = book.cost("MiniMax-M2", usage(10**6), provider="minimax", at=NOON)
    assert cost.amount == 1
    assert [model.name.lower() for model in book.models("minimax")].count("minimax-m2") == 1


def test_a_name_of_any_length_costs_a_meter_nothing_but_an_answer() -> None:
    book = load_token_prices()
    assert book.cost("gpt-4o" * 10**5, usage(1), provider="openai", at=NOON).amount is None
    assert book.cost("gpt-4o", usage(1), provider="openai" * 10**5, at=NOON).amount is not None


def test_rules_on_names() -> None:
    assert matches(["a", {"starts_with": "b"}], "bc")
    assert matches({"all": [{"contains": "x"}, {"ends_with": "y"}]}, "axy")
    assert matches({"regex": "^o[13]"}, "o3-mini")
    assert not matches({"all": ["a", "b"]}, "a")
