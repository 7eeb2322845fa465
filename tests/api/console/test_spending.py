"""What a row cost is found by its run, or by its workload where it is no run."""

from __future__ import annotations

import re

from tests.api.console.person import Person
from tests.api.service import Service


def test_a_workloads_cost_is_the_sum_of_its_lines(service: Service, person: Person) -> None:
    service.plane.apply(name="delay")
    service.plane.respond("a", quantity=3.0)
    service.plane.clock.advance(1)
    shown = re.search(r'data-label="cost so far" class="num">([^<]*)<', person.page("/"))
    assert shown is not None
    assert shown[1] == "0.00 USD"


def test_what_cost_nothing_yet_has_no_cost(service: Service, person: Person) -> None:
    service.plane.submit(name="train")
    assert 'data-label="cost so far" class="num"></td>' in person.page("/")
