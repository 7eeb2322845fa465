"""What was asked is told in words, and what nobody said is told as assumed."""

from __future__ import annotations

import pytest

from plinth.cli.plan_report_asked import (
    asked_section,
    demand_words,
    requirement_rows,
    time_words,
    unsaid,
    value_words,
)
from plinth.domain.application import BatchDemand, ExploreDemand, OnlineDemand, TrainDemand
from plinth.domain.load import load_workload
from plinth.domain.need import Demand
from plinth.domain.requirements import Requirements
from tests.cli.plan_report_case import make_application


def test_requirements_are_those_that_are_stated_with_what_they_mean() -> None:
    rows = requirement_rows(make_application())
    assert [row[:3] for row in rows] == [
        ["all parts", "residency", "eu"],
        ["all parts", "criticality", "production"],
        ["all parts", "rto", "4 h"],
        ["all parts", "budget", "30,000 EUR a month"],
        ["train", "interruptible", "yes"],
        ["train", "checkpoint", "verified"],
        ["online", "latency", "800 ms"],
    ]
    assert all(row[3] for row in rows)


def test_every_requirement_has_words() -> None:
    assert all(field.description for field in Requirements.model_fields.values())


@pytest.mark.parametrize(
    ("demand", "words"),
    [
        (None, "not stated"),
        (ExploreDemand(users=1, hours=40), "1 person, 40 h a month each"),
        (
            TrainDemand(runs=1, duration=5400, measured={"D8s_v5": 7200}),
            "1 run a month, 90 min each, measured on D8s_v5: 2 h",
        ),
        (TrainDemand(runs=2, tokens=5_000_000), "2 runs a month, 5,000,000 tokens each"),
        (
            BatchDemand(runs=30, rows=20_000_000, rows_per_second=900, input_tokens=10),
            "30 runs a month, 20,000,000 rows each, measured: 900 rows a second on one instance, "
            "10 tokens read and unknown written for each row",
        ),
        (
            OnlineDemand(
                requests_per_second=1, replica_requests_per_second=9, measured_latency=0.25
            ),
            "1 request a second on average, 3 at the peak, 730 h a month in which anybody asks, "
            "measured: 9 a second on one instance, measured: 99 of 100 within 250 ms",
        ),
    ],
)
def test_a_demand_is_told_in_words(demand: Demand | None, words: str) -> None:
    assert demand_words(demand) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.25, "250 ms"),
        (1, "1 s"),
        (90, "90 s"),
        (3600, "1 h"),
        (5400, "90 min"),
        (86_400, "1 day"),
        (604_800, "7 days"),
        (4000, "1.11 h"),
    ],
)
def test_a_time_is_told_in_its_largest_whole_unit(seconds: float, words: str) -> None:
    assert time_words(seconds) == words


def test_values_are_told_as_people_write_them() -> None:
    assert value_words("regions", ("eu", "us")) == "eu, us"
    assert value_words("memory", 16_000_000_000) == "16.0 GB"
    assert value_words("spark", False) == "no"
    assert value_words("hours", 2500.0) == "2,500"


def test_what_nobody_said_is_named_by_its_field() -> None:
    found = unsaid(make_application())
    assert "`online.demand.active_hours` is not in the file: 730 is assumed" in found
    assert any("three times the average, 36," in each for each in found)
    assert not any("online.resources" in each for each in found)
    assert not any("train.resources" in each for each in found)
    assert unsaid(load_workload("kind: job\nname: a\ncommand: [x]\n", "job.yaml")) == []


def test_data_and_the_model_stand_in_the_section() -> None:
    page = asked_section(make_application())
    for words in ("tickets", "40.0 GB", "databricks-jobs", "gpt-4o", "8 cores, 32.0 GB, 1 x T4"):
        assert words in page
