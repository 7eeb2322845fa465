"""`plinth catalog skus` and `accelerators`."""

from __future__ import annotations

import pytest

from tests.cli.alone import Alone


def test_sizes_in_a_region_are_listed_the_smallest_first(alone: Alone) -> None:
    said = alone(
        "catalog", "skus", "--region", "West Europe", "--min-cpu", "4", "--min-memory", "16GiB"
    )
    lines = said.out.splitlines()[2:]
    assert [line.split()[0] for line in lines[:3]] == ["B4ms", "D4s_v5", "NC4as_T4_v3"]
    assert all("azure-regions 2026-08-21" in line for line in lines)
    assert "sizes left out, since what you ask for is unknown of them" in said.err


def test_east_us_is_unknown_and_it_is_said_how_to_fill_it(alone: Alone) -> None:
    said = alone("catalog", "skus", "--region", "eastus", "--accelerator", "A100")
    assert "unknown" in said.out
    assert " no " not in said.out
    assert "what is offered in `eastus` is unknown" in said.err
    assert "plinth catalog import" in said.err


def test_what_is_known_not_to_be_offered_is_not_listed(alone: Alone) -> None:
    found = alone("catalog", "skus", "--region", "koreasouth", "--accelerator", "H100", "--json")
    names = {each["sku"] for each in found.json}
    assert "NC40ads_H100_v5" in names
    assert "ND96isr_H100_v5" not in names


def test_a_number_of_accelerators_is_asked_for(alone: Alone) -> None:
    found = alone("catalog", "skus", "--accelerator", "a100:8", "--json").json
    assert [each["sku"] for each in found] == ["ND96asr_v4"]
    alone.state("s.csv", "skus", "sku,accelerator", "ND96amsr_A100_v4,A100:8")
    found = alone("catalog", "skus", "--accelerator", "A100:8", "--json").json
    assert {each["sku"] for each in found} == {"ND96asr_v4", "ND96amsr_A100_v4"}


def test_json_has_availability_and_exact_prices_by_tier(alone: Alone) -> None:
    found = alone("catalog", "skus", "--region", "eastus", "--min-memory", "1TB", "--json").json
    (size,) = found
    assert (size["sku"], size["cpu_is_derived"], size["memory_bytes"]) == (
        *("ND96isr_H100_v5", False),
        1900 * 2**30,
    )
    east = size["regions"]["eastus"]
    assert east["offered"] == {"standard": None, "spot": None, "low-priority": None}
    assert east["price"]["standard"]["amount"] == "98.32"
    assert east["price"]["low-priority"] is None


def test_over_several_regions_they_are_counted(alone: Alone) -> None:
    said = alone("catalog", "skus", "--region", "eu", "--accelerator", "T4")
    assert " of 13" in said.out
    assert "PRICE/H" not in said.out


def test_the_table_is_cut_and_says_so(alone: Alone) -> None:
    said = alone("catalog", "skus")
    assert len(said.out.splitlines()) == 42
    assert "more; narrow it down, or `--all`" in said.err
    assert len(alone("catalog", "skus", "--json").json) > 1800


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--min-cpu", "-1", "is not a number of processors"),
        ("--min-cpu", "nan", "is not a number of processors"),
        ("--min-cpu", "inf", "is not a number of processors"),
        ("--min-memory", "lots", "is not a size"),
        ("--accelerator", "A100:0", "is not an accelerator"),
        ("--accelerator", "B100", "did you mean `"),
        ("--region", "westeurop", "did you mean `westeurope`"),
    ],
)
def test_what_makes_no_sense_is_refused(alone: Alone, option: str, value: str, said: str) -> None:
    answer = alone("catalog", "skus", option, value)
    assert answer.code == 1
    assert said in answer.err


def test_accelerators_are_listed_with_memory(alone: Alone) -> None:
    assert "80 GiB" in alone("catalog", "accelerators").out
    kinds = alone("catalog", "accelerators", "--json").json
    assert {"vendor": "nvidia", "kind": "H100", "memory_bytes": 80 * 2**30} in [
        {name: each[name] for name in ("vendor", "kind", "memory_bytes")} for each in kinds
    ]
