"""The converter keeps prices as they were written and refuses what it does not understand."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from plinth.catalog.token_prices import TokenPriceBook
from tools.token_prices import METERS, Unknown, convert, read_file, write

MODEL: dict[str, Any] = {
    "id": "m-1",
    "match": {"or": [{"equals": "M-1"}, {"starts_with": "m-1-"}]},
    "prices": [
        {"prices": {"input_mtok": Decimal("0.10"), "output_mtok": 2}},
        {
            "constraint": {"start_date": "2026-02-01"},
            "prices": {
                "input_mtok": {"base": 3, "tiers": [{"start": 200000, "price": 6}]},
                "audio_hours": 1,
            },
        },
        {
            "constraint": {"start_time": "22:00:00Z", "end_time": "06:00:00Z"},
            "prices": {"input_mtok": 1, "web_searches_kcount": 10},
        },
    ],
}


def provider(**changes: Any) -> list[dict[str, Any]]:
    return [{"id": "p", "name": "P", "models": [{**MODEL, **changes}]}]


def converted(**changes: Any) -> Any:
    document = convert(provider(**changes), {"package": "x", "version": "1", "taken": "today"})
    return json.loads(write(document))


def test_prices_keep_their_digits_dates_hours_and_steps() -> None:
    (model,) = converted()["providers"]["p"]["models"]
    assert model == {
        "id": "m-1",
        "match": ["m-1", {"starts_with": "m-1-"}],
        "prices": [
            {"rates": {"input_tokens": "0.1", "output_tokens": "2"}},
            {"rates": {"input_tokens": ["3", [200000, "6"]]}, "from": "2026-02-01"},
            {
                "rates": {"input_tokens": "1", "web_searches": "10"},
                "daily": ["22:00", "06:00"],
                "from": "2026-02-01",
            },
        ],
        "other": ["hours of audio"],
    }
    book = TokenPriceBook(converted())
    assert book.rows(book.find("m-1-large", "p"))[0].source == "x 1, taken today"


def test_contexts_become_tiers_and_the_standard_one_none() -> None:
    variants = [
        {"when": {"service_tier": "default"}, "prices": {}},
        {
            "when": {"processing": "batch"},
            "constraint": {"start_date": "2026-10-14"},
            "prices": {"input_mtok": "0.05"},
        },
        {"when": {"search_type": "fast"}, "prices": {"web_searches_kcount": 1}},
    ]
    (model,) = converted(price_variants=variants)["providers"]["p"]["models"]
    assert model["tiers"] == [
        {"tier": "batch", "rates": {"input_tokens": "0.05"}, "from": "2026-10-14"}
    ]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"prices": {"input_gtok": 1}}, "a price of `input_gtok`"),
        ({"prices": {"input_mtok": "NaN"}}, "a price of NaN"),
        ({"prices": {"input_mtok": -1}}, "a price of -1"),
        ({"match": {"sounds_like": "x"}}, "a rule of the kind `sounds_like`"),
        ({"price_variants": [{"when": {"moon": "full"}, "prices": {}}]}, "prices by `moon`"),
        (
            {
                "price_variants": [
                    {"when": {"service_tier": "default"}, "prices": {"input_mtok": 1}}
                ]
            },
            "`default` is the standard price, and has one of its own",
        ),
    ],
)
def test_what_is_not_understood_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(Unknown, match=said):
        converted(**changes)


def test_a_file_of_the_repository_is_read_without_rounding(tmp_path: Path) -> None:
    path = tmp_path / "data.json"
    path.write_text('[{"id": "p", "price": 0.1000000000000000055}]')
    found, source = read_file(path)
    assert found[0]["price"] == Decimal("0.1000000000000000055")
    assert source == {"package": "genai-prices", "version": "data.json"}


def test_every_unit_has_its_meter_or_is_left_out_by_name() -> None:
    taken = [meter for meter in METERS.values() if meter is not None]
    assert len(taken) == len(set(taken))
    assert METERS["cache_read_tokens"] == "cached_input_tokens"
    assert METERS["audio_seconds"] is None
