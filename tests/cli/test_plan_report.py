"""The page is whole in itself and well-formed, and it says what the plan holds."""

from __future__ import annotations

import re
from decimal import Decimal
from html.parser import HTMLParser

import pytest

from plinth.cli.plan_report import decision, report_page
from plinth.domain.load import load_workload
from plinth.domain.plan import Advice, CostLine, MonthCost
from tests.cli.plan_report_case import (
    MADE_ON,
    NOT_OK,
    ONLINE,
    TRAIN,
    make_advice,
    make_application,
    verdict,
)

VOID = {"meta", "br"}
JOB = "kind: job\nname: train\ncommand: [python, x.py]\n"


class Reader(HTMLParser):
    """Fails where an element ends that is not open; collects what is read."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, _attributes: object) -> None:
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, _tag: str, _attributes: object) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.words.append(data)


def read(page: str) -> str:
    reader = Reader()
    reader.feed(page)
    assert reader.open == []
    return "".join(reader.words).replace("\xa0", " ")


def advice(**changes: object) -> Advice:
    return make_advice().model_copy(update=changes)


def test_the_page_loads_nothing_and_runs_nothing() -> None:
    page = report_page(make_advice(), make_application(), MADE_ON)
    read(page)
    assert not re.search(r"<script|<link|<img|<a |@import|url\(|\bsrc=|\bhref=|\bon\w+=", page)
    assert "@media print" in page
    assert "light dark" in page


def test_what_a_file_or_a_fact_says_is_text_and_no_html() -> None:
    page = report_page(make_advice(), make_application(), MADE_ON)
    assert "<b>R2" in page
    assert "is free &lt;b&gt;" in page
    evil = TRAIN.model_copy(update={"name": "<script>alert(1)</script>"})
    assert "<script" not in report_page(make_advice(evil), make_application(), MADE_ON)


@pytest.mark.parametrize(
    "words",
    [
        "One answer about the chosen places is unknown; it is listed at the end.",
        "Risks are named for train",
        "What was asked",
        "30,000 EUR a month",
        "What a month costs, in EUR",
        "1 of 2 parts is away from westeurope",
        "18,796.34",
        "An hour of a person's work on day 2.",
        "Part train",
        "Chosen: azureml-serverless-spot, spot, westeurope",
        "Possible too, and not chosen (1)",
        "Rejected (1): why, and what would change it",
        "would change it: requirements.residency: us",
        "Regions that are ruled out",
        "Sources and dates",
        "What is not known",
        "`online.demand.active_hours` is not in the file: 730 is assumed".replace("`", ""),
        "sha256:0a1b2c",
        "2026-11-22",
    ],
)
def test_the_page_says(words: str) -> None:
    assert words in read(report_page(make_advice(), make_application(), MADE_ON))


def test_the_decision_is_one_sentence() -> None:
    assert decision(make_advice()) == (
        "In westeurope, run `train` on `azureml-serverless-spot` and `online` on "
        "`azure-openai-provisioned` (in swedencentral, standby westeurope): what a month costs is "
        "unknown, 18,256.34 EUR at least; 6 hours of day-2 work a month."
    )


def test_parts_of_one_place_are_named_together_and_the_range_is_told() -> None:
    tune = TRAIN.model_copy(update={"name": "tune"})
    cost = MonthCost(
        currency="EUR",
        lines=(
            CostLine(
                what="train",
                amount=Decimal(10),
                low=Decimal(8),
                high=Decimal("12.50"),
                estimated=True,
                how="x",
            ),
        ),
    )
    found = make_advice(TRAIN, tune).model_copy(update={"cost": cost, "day2_hours": None})
    assert decision(found) == (
        "In westeurope, run `train` and `tune` on `azureml-serverless-spot`: about 10.00 EUR a "
        "month (8.00 to 12.50); the hours of day-2 work are unknown."
    )


def test_a_part_without_a_place_comes_first_in_the_decision() -> None:
    nowhere = ONLINE.model_copy(
        update={"chosen": None, "rejected": (TRAIN.rejected[1],), "regions": {}}
    )
    found = make_advice(TRAIN, nowhere)
    assert decision(found).startswith("No place was found for `online`; in westeurope, run")
    page = report_page(found, make_application(), MADE_ON)
    assert 'class="decision none"' in page
    assert "No place was found for it: 1 candidate, each" in read(page)
    assert "no place found" in read(page)
    alone = make_advice(nowhere)
    assert decision(alone) == "No place was found for `online`: a rule rejects every candidate."
    read(report_page(alone, make_application(), MADE_ON))


def test_a_joint_rule_that_is_broken_stands_at_the_top() -> None:
    joint = (verdict("T0c", NOT_OK, "train and tune are on two platforms"),)
    page = report_page(advice(joint=joint), make_application(), MADE_ON)
    assert page.index("T0c: train and tune") < page.index("<h2>The plan</h2>")


def test_a_single_job_has_a_page_too() -> None:
    job = load_workload(JOB, "job.yaml")
    found = make_advice(TRAIN).model_copy(update={"score": (), "joint": (), "home": None})
    said = read(report_page(found, job, MADE_ON))
    assert "asks for nothing beyond the function itself" in said
    assert "Why this one" not in said
    assert decision(found).startswith("Run `train` on")
    here = found.model_copy(update={"home": "local"})
    assert decision(here).startswith("Run `train` on")


def test_the_same_plan_gives_the_same_page() -> None:
    pages = {report_page(make_advice(), make_application(), MADE_ON) for _ in range(2)}
    assert len(pages) == 1
