"""Each cell is a value of its column, or is refused with what is accepted."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plinth.catalog import import_values as values
from plinth.catalog.catalog import Catalog
from plinth.catalog.import_values import Check, WrongValue, words_of

KNOWN = Catalog().known()
PRICE = values.number("0.000000000001", "1000000")
COUNT = values.number("1", "100", whole=True, zero=True)


def wrong(check: Check, text: str) -> WrongValue:
    with pytest.raises(WrongValue) as raised:
        check(text, KNOWN)
    return raised.value


@pytest.mark.parametrize(
    "text",
    [
        "nan",
        ".nan",
        "NaN",
        "inf",
        "-inf",
        "-1",
        "+1",
        "1e3",
        "1,5",
        "0x1",
        "",
        "1.",
        ".5",
        "٣",
        "1_0",
    ],
)
def test_what_is_no_plain_number_is_refused(text: str) -> None:
    assert "is not a number like `0.03`" in wrong(PRICE, text).message


@pytest.mark.parametrize(
    ("check", "text", "said"),
    [
        (PRICE, "0", "it must be more than 0"),
        (PRICE, "0.00", "it must be more than 0"),
        (PRICE, "1000000.1", "it must be at most 1,000,000"),
        (PRICE, "9" * 40, "is not a number"),
        (values.number("0.1", "10"), "0.01", "it must be at least 0.1"),
        (COUNT, "1.5", "is not a whole number like `40`"),
        (COUNT, "101", "it must be at most 100"),
    ],
)
def test_numbers_out_of_range_are_refused(check: Check, text: str, said: str) -> None:
    assert said in wrong(check, text).message


def test_numbers_are_kept_as_they_are_written() -> None:
    assert PRICE("0.10", KNOWN) == "0.10"
    assert COUNT("0", KNOWN) == "0"


def test_a_word_is_kept_as_we_write_it() -> None:
    check = values.one_of(("standard", "low-priority"))
    assert check("Low Priority", KNOWN) == "low-priority"
    assert words_of(wrong(check, "standart"), "standart") == (
        ("standard", "low-priority"),
        "standard",
    )


def test_several_words_are_kept_in_one_order() -> None:
    check = values.several_of(("batch", "priority"))
    assert check("priority  batch batch", KNOWN) == "batch priority"
    assert "`bach`" in wrong(check, "bach").message


@pytest.mark.parametrize(
    ("check", "text", "kept"),
    [
        (values.region, "West Europe", "westeurope"),
        (values.known_sku, "Standard_D4s_v5", "D4s_v5"),
        (values.any_sku, "Standard_New1_v9", "New1_v9"),
        (values.any_sku, "d4s v5", "D4s_v5"),
        (values.service, "azure databricks", "Azure Databricks"),
        (values.platform, "Azure-OpenAI standard", "azure-openai-standard"),
        (values.currency, "EUR", "EUR"),
        (values.memory, "16GiB", str(16 * 2**30)),
        (values.memory, "1024", "1024"),
        (values.accelerator, "a100:2", "A100:2"),
        (values.accelerator, "none", "none"),
        (values.name, "our/model-1.5", "our/model-1.5"),
    ],
)
def test_names_are_kept_as_the_catalog_writes_them(check: Check, text: str, kept: str) -> None:
    assert check(text, KNOWN) == kept


@pytest.mark.parametrize(
    ("check", "text", "near"),
    [
        (values.region, "westeurop", "westeurope"),
        (values.known_sku, "D4s_v55", "D4s_v5"),
        (values.service, "Azure Databriks", "Azure Databricks"),
        (values.platform, "kubernets", "kubernetes"),
        (values.currency, "EURO", "EUR"),
        (values.accelerator, "A1000:2", "A100"),
    ],
)
def test_a_mistaken_name_gets_the_nearest_one(check: Check, text: str, near: str) -> None:
    assert words_of(wrong(check, text), text.partition(":")[0])[1] == near


@pytest.mark.parametrize("text", ["-1", "0", "0GB", "2PB", "9999TiB", "x", "16 apples", "9" * 30])
def test_what_is_no_memory_is_refused(text: str) -> None:
    assert wrong(values.memory, text).message


@pytest.mark.parametrize("text", ["A100", "A100:0", "A100:-1", "A100:9999", ":2", "A100:2:2"])
def test_an_accelerator_has_its_number(text: str) -> None:
    assert "write it like `A100:2`" in wrong(values.accelerator, text).message


def test_a_long_list_of_what_is_accepted_is_not_shown() -> None:
    assert words_of(WrongValue("x", [str(number) for number in range(99)]), "5")[0] is None


@given(st.text(max_size=60))
def test_no_text_makes_a_check_fail_otherwise(text: str) -> None:
    for check in (PRICE, COUNT, values.region, values.memory, values.accelerator, values.name):
        with suppress(WrongValue):
            assert isinstance(check(text, KNOWN), str)
