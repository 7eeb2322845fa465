"""The facts of provisioned units are whole, and a wrong row is told with its line."""

from __future__ import annotations

from decimal import Decimal

import pytest

from plinth.catalog.provisioned import (
    CAPACITY_SOURCES,
    COLUMNS,
    find_provisioned,
    load_provisioned,
    read_provisioned,
)
from plinth.kit.errors import Invalid

ROWS = load_provisioned()
HEADER = ",".join(COLUMNS)
GOOD = "m,1,Global,yes,2500,4,15,5,learn,1,2.5,10,in,out"


def test_gpt_4o_is_as_microsoft_and_the_price_list_say() -> None:
    row = find_provisioned(ROWS, "GPT-4o", "global")
    assert (row.model, row.version, row.input_tokens_per_minute) == ("gpt-4o", "2024-11-20", 2500)
    assert (row.output_weight, row.minimum, row.increment) == (4, 15, 5)
    assert (row.unit_price, row.input_price, row.output_price) == (1, Decimal("2.5"), 10)
    regional = find_provisioned(ROWS, "gpt-4o", "Regional")
    assert (regional.minimum, regional.increment, regional.unit_price) == (50, 50, 2)


def test_every_model_of_the_list_is_there_and_makes_sense() -> None:
    assert len({row.model for row in ROWS}) == 20
    for row in ROWS:
        assert row.capacity_source in CAPACITY_SOURCES.values()
        assert (row.unit_price is None) == (not row.is_offered)
        if row.output_weight is not None and row.input_price and row.model != "gpt-35-turbo":
            # Microsoft's rule: the weight is the ratio of the prices; one model is the exception.
            assert row.output_price is not None
            ratio = row.output_price / row.input_price
            assert ratio == row.output_weight or row.model == "Llama-3.3-70B-Instruct"


@pytest.mark.parametrize(
    ("model", "kind", "said"),
    [
        ("gpt4o", "Global", "did you mean `gpt-4o`? accepted: gpt-5.4, "),
        ("zebra", "Global", "`zebra` is not a model whose provisioned units are known; accepted"),
        ("gpt-4o", "zone", "`zone` is not a kind of deployment; did you mean `DataZone`?"),
        ("gpt-5.4", "Regional", "`gpt-5.4` has no provisioned deployment of the kind `Regional`"),
        ("DeepSeek-R1", "DataZone", "of the kind `DataZone`; accepted: Global"),
    ],
)
def test_what_is_not_offered_is_refused_with_what_is(model: str, kind: str, said: str) -> None:
    with pytest.raises(Invalid) as refused:
        find_provisioned(ROWS, model, kind)
    assert said in refused.value.message


def test_what_is_empty_is_unknown() -> None:
    (row,) = read_provisioned(f"{HEADER}\nm,1,Global,yes,2500,,15,5,package,,,,,\n")
    assert (row.output_weight, row.unit_price, row.input_price) == (None, None, None)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("", None),
        (GOOD.replace("2500", "-1"), "f.csv:2: input_tpm_per_unit: `-1` where a number from 1 up"),
        (GOOD.replace("2.5", "nan"), "f.csv:2: input_usd_million: `nan` where a number above 0"),
        (GOOD.replace("Global", "global"), "f.csv:2: deployment_type: `global` where Global or"),
        (GOOD.replace("learn", "rumour"), "f.csv:2: capacity_source: `rumour` where learn or"),
        (GOOD.replace("yes", "true"), "f.csv:2: offered: `true` where yes or no is needed"),
        (GOOD.replace("m,1", ",1"), "f.csv:2: model: `` where a text is needed"),
        (GOOD.replace(",10,", ",,"), "f.csv:2: output_usd_million: `` where a price beside"),
        (GOOD + ",x", "f.csv:2: more cells than the 14 columns"),
        (f"{GOOD}\n{GOOD}", "f.csv:3: m Global stands twice"),
    ],
)
def test_a_wrong_row_is_told_with_its_line_and_field(rows: str, said: str | None) -> None:
    if said is None:
        assert read_provisioned(f"{HEADER}\n{GOOD}\n", "f.csv")[0].model == "m"
        return
    with pytest.raises(Invalid) as refused:
        read_provisioned(f"{HEADER}\n{rows}\n", "f.csv")
    assert said in refused.value.message


def test_other_columns_are_refused() -> None:
    with pytest.raises(Invalid, match=r"f\.csv:1: the columns must be model, version"):
        read_provisioned("model,price\n", "f.csv")
