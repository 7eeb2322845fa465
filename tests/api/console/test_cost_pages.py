"""Costs are shown by team and workload, of the teams whose usage the person may see."""

from __future__ import annotations

import pytest

from plinth.api.console.cost_pages import _used
from plinth.domain.access import Role
from plinth.domain.money import Measure
from plinth.domain.usage import Meter, UsageRecord
from tests.api.console.person import Person
from tests.api.service import LONELY, TEAM, Service


def test_what_was_used_is_shown_with_its_price(service: Service, person: Person) -> None:
    service.plane.apply(name="delay")
    service.plane.respond("a")
    service.plane.clock.advance(1)
    page = person.page("/costs")
    assert "endpoint/delay" in page
    assert "1 request" in page


def test_costs_of_other_teams_are_not_shown(service: Service) -> None:
    service.plane.apply(name="delay")
    service.plane.respond("a")
    service.plane.clock.advance(1)
    stranger = Person(service, service.caller(Role.OPERATOR, LONELY))
    page = stranger.page("/costs")
    assert "endpoint/delay" not in page
    assert "Nothing was used in this time." in page


def test_an_impossible_time_is_refused_with_the_reason(person: Person) -> None:
    answer = person.ask("/costs?since=yesterday")
    assert answer.status_code == 400
    assert "is not a day or a time" in answer.text


def test_of_thousands_of_workloads_the_costliest_are_shown(
    service: Service, person: Person
) -> None:
    now = service.plane.clock.now()
    records = [
        UsageRecord(
            source=f"engine:r_{number}.0.1",
            position="0",
            meter=Meter.TRAINING_SECONDS,
            quantity=60 + number,
            team=TEAM,
            workload=f"job/seed-{number}",
            run=f"r_{number}",
            platform="local",
            cpu=1.0,
            memory_bytes=10**9,
            started_at=now,
            ended_at=now,
        )
        for number in range(40)
    ]
    service.plane.context.ledger.commit("test", records, expected=None, cursor="1")
    service.plane.clock.advance(1)
    page = person.page("/costs")
    assert "job/seed-39<" in page
    assert "job/seed-0<" not in page
    assert "15 other workloads" in page
    everything = person.page("/costs?show=all")
    assert "job/seed-0<" in everything
    assert "other workloads" not in everything


def part(measure: Measure, fine_quantity: str, **fields: object) -> dict[str, object]:
    given = {"why_unpriced": None, "estimated": False, **fields}
    units = {"unit": measure.unit, "fine_unit": measure.fine_unit, "fine_units": measure.fine_units}
    return {**units, "fine_quantity": fine_quantity, **given}


@pytest.mark.parametrize(
    ("measure", "used", "shown"),
    [
        (Measure.INPUT_TOKENS, "255", "255 input tokens"),
        (Measure.OUTPUT_TOKENS, "1", "1 output token"),
        (Measure.CACHED_INPUT_TOKENS, "12345678", "12,345,678 cached input tokens"),
        (Measure.REQUEST, "7", "7 requests"),
        (Measure.REQUEST, "1", "1 request"),
        (Measure.CPU_HOUR, "82.4", "82.4 CPU-seconds"),
        (Measure.CPU_HOUR, "3600", "1 CPU-hour"),
        (Measure.MEMORY_GB_HOUR, "9000", "2.5 GB-hours"),
    ],
)
def test_what_was_used_is_said_in_the_units_of_plinth_usage(
    measure: Measure, used: str, shown: str
) -> None:
    assert [each["shown"] for each in _used([part(measure, used)])] == [shown]


def test_what_is_rounded_stands_exactly_beside_it() -> None:
    (used,) = _used([part(Measure.CPU_HOUR, "4500.123456")])
    assert (used["shown"], used["exact"]) == ("1.25 CPU-hours", "4,500.123456 CPU-seconds")


def test_parts_of_one_unit_are_one_sum_and_an_estimate_says_so() -> None:
    parts = [part(Measure.INPUT_TOKENS, "30"), part(Measure.INPUT_TOKENS, "1", estimated=True)]
    assert _used(parts) == [
        {
            "shown": "31 input tokens",
            "exact": "31 input tokens",
            "estimated": True,
            "why": "",
        }
    ]
