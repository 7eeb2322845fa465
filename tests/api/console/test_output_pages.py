"""What a run printed is given in pieces, from its end too, and whole as a file."""

from __future__ import annotations

from typing import Any

import pytest

from plinth.domain.access import Role
from tests.api.console.person import Person
from tests.api.service import TEAM, Service

OUTPUT = b"".join(b"line %05d\n" % number for number in range(1000))


@pytest.fixture
def run(service: Service) -> str:
    made = service.plane.submit(name="train")
    service.plane.until(lambda: service.plane.run(made).phase == "running")
    service.plane.world.replicas[f"{made}.0.1"].output = OUTPUT
    return made


def place(answer: Any) -> tuple[int, int]:
    return int(answer.headers["x-plinth-offset"]), int(answer.headers["x-plinth-next-offset"])


def test_the_end_is_given_from_a_whole_line_on(person: Person, run: str) -> None:
    answer = person.ask(f"/runs/{run}/logs?offset=-100&limit=100")
    assert answer.content == OUTPUT[-99:]
    assert place(answer) == (len(OUTPUT) - 99, len(OUTPUT))
    assert answer.headers["x-plinth-attempt"] == answer.headers["x-plinth-attempts"] == "1"


def test_what_stands_before_is_given_by_its_place(person: Person, run: str) -> None:
    answer = person.ask(f"/runs/{run}/logs?offset=11&limit=22")
    assert answer.content == b"line 00001\nline 00002\n"
    assert place(answer) == (11, 33)


def test_nobody_keeps_it_or_takes_it_for_a_page(person: Person, run: str) -> None:
    for name in ("logs", "output"):
        headers = person.ask(f"/runs/{run}/{name}").headers
        assert headers["cache-control"] == "no-store"
        assert headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in headers["content-security-policy"]


def test_all_of_it_is_a_file(person: Person, run: str) -> None:
    answer = person.ask(f"/runs/{run}/output?attempt=1")
    assert answer.content == OUTPUT
    assert answer.headers["content-disposition"] == f'attachment; filename="{run}-1.txt"'
    assert person.ask(f"/runs/{run}/output?attempt=7").status_code == 404


def test_what_no_file_reaches_to_is_empty(person: Person, run: str) -> None:
    answer = person.ask(f"/runs/{run}/logs?offset={2**63 - 1}")
    assert (answer.status_code, answer.content) == (200, b"")


def test_before_it_starts_there_is_nothing(service: Service, person: Person) -> None:
    run = service.plane.submit(name="train")
    assert person.ask(f"/runs/{run}/logs?offset=-100").headers["x-plinth-attempt"] == "0"
    assert person.ask(f"/runs/{run}/output").content == b""


def test_another_teams_output_is_not_there(service: Service, run: str) -> None:
    stranger = Person(service, service.caller(Role.OPERATOR, "other"))
    for name in ("logs", "output"):
        assert stranger.ask(f"/runs/{run}/{name}").status_code == 404
    assert Person(service, service.caller(Role.VIEWER, TEAM)).ask(f"/runs/{run}/output").content
