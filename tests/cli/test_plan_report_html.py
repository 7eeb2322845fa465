"""Pieces of the report: escaped, exact to the cent, unknown where unknown."""

from __future__ import annotations

from decimal import Decimal

import pytest

from plinth.cli.plan_report_html import (
    amount,
    bullets,
    cost_cell,
    hours,
    known,
    least,
    mark,
    month,
    paragraph,
    size,
    spread,
    table,
    text,
    title_of,
    where,
)
from plinth.domain.plan import Outcome
from tests.cli.plan_report_case import ONLINE, ONLINE_COST, TRAIN, TRAIN_COST, machine


def test_text_is_escaped_and_names_are_code() -> None:
    assert text("`a<b>` is 5 % & more") == "<code>a&lt;b&gt;</code> is 5&nbsp;% &amp; more"
    assert paragraph("") == ""
    assert paragraph("x", "soft") == '<p class="soft">x</p>'
    assert bullets([]) == ""
    assert bullets(["<x>"]) == '<ul class="plain"><li>&lt;x&gt;</li></ul>'
    assert mark(Outcome.NOT_OK) == '<span class="mark no">not ok</span>'


def test_a_table_marks_answers_numbers_and_the_sum() -> None:
    page = table(("PART", "ANSWER", ">COST"), [["a", "unknown", "1"], ["all", "ok", "2\nmore"]],
                 last_is_sum=True)  # fmt: skip
    assert '<div><span class="mark open">unknown</span></div>' in page
    assert '<td class="right" data-label="COST"><div>1</div></td>' in page
    assert '<tr class="sum">' in page
    assert '2<br><span class="soft">more</span>' in page
    assert table(("A",), []) == ""


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (None, "unknown"),
        (Decimal(0), "0.00"),
        (Decimal("1234567.891"), "1,234,567.89"),
        (Decimal("0.0012"), "0.0012"),
        (Decimal("-25"), "-25.00"),
    ],
)
def test_amounts_are_exact_to_the_cent(value: Decimal | None, written: str) -> None:
    assert amount(value) == written


def test_ranges_and_months() -> None:
    assert amount(Decimal(1), "EUR") == "1.00 EUR"
    assert spread(Decimal(1), Decimal(2)) == "1.00 to 2.00"
    assert spread(Decimal(1), Decimal(1)) == spread(Decimal(1), None) == ""
    assert month(None) == "unknown"
    assert month(TRAIN_COST) == "~ 6.34 EUR"
    assert month(ONLINE_COST) == "unknown, 18,250.00 EUR at least"
    assert known(ONLINE_COST) == Decimal(18250)
    assert cost_cell(None) == "unknown"
    assert cost_cell(TRAIN_COST) == "~ 6.34 EUR\n5.07 to 18.05"
    assert cost_cell(ONLINE_COST) == "unknown\n18,250.00 EUR at least"
    assert cost_cell(ONLINE_COST, Decimal(2)) == "unknown\n2.00 EUR at least"
    assert least(Decimal(0), "EUR") == "unknown"
    assert (hours(2.0), hours(None)) == ("2", "unknown")


def test_offers_are_told_in_one_line() -> None:
    assert TRAIN.chosen is not None
    assert ONLINE.chosen is not None
    assert size(TRAIN.chosen.offer) == "NC8as_T4_v3: 8 cores, 56.0 GB, 1 x T4"
    assert size(ONLINE.chosen.offer) == "gpt-4o (gpt-4o 2024-11-20), processed in region"
    spark = machine("spark-pool", "x").model_copy(
        update={"cpu": 0.0, "memory": 0, "accelerator": None}
    )
    assert size(spark) == "spark-pool"
    assert where(ONLINE.chosen.offer) == "swedencentral, standby westeurope"
    assert title_of(TRAIN.chosen) == "`azureml-serverless-spot`, spot, westeurope"
    nowhere = TRAIN.chosen.model_copy(update={"offer": machine("x", "-")})
    assert title_of(nowhere) == "`azureml-serverless-spot`"
