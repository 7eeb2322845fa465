"""A control plane does a duty only while it certainly has it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from plinth.control.duties import Duty, let_go
from plinth.kit.clock import FakeClock
from plinth.kit.errors import Temporary
from plinth.store.duties import list_duties
from plinth.store.leases import Holder
from plinth.store.session import Database
from tests.control.plane import copy_template, open_database
from tests.store.rows import NOW

ONE, OTHER = Holder.begin("control@1"), Holder.begin("control-2@1")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    copy_template(tmp_path / "plinth.db")
    opened = open_database(tmp_path / "plinth.db")
    yield opened
    opened.close()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(NOW)


def duty(database: Database, clock: FakeClock, holder: Holder) -> Duty:
    return Duty("meter", database, clock, holder, 10.0)


def test_it_is_prolonged_when_half_of_it_is_over(database: Database, clock: FakeClock) -> None:
    mine = duty(database, clock, ONE)
    ends = []
    for _ in range(4):
        assert mine.hold()
        ends.append(mine.valid_until)
        clock.advance(3.0)
    assert ends == [10.0, 10.0, 16.0, 16.0]
    assert mine.term == 1


def test_another_takes_it_over_when_the_lease_ends(database: Database, clock: FakeClock) -> None:
    mine, others = duty(database, clock, ONE), duty(database, clock, OTHER)
    assert mine.hold()
    assert not others.hold()
    clock.advance(10.0)
    with pytest.raises(Temporary) as caught:
        mine.check()
    assert caught.value.code == "stale_order"
    clock.advance(0.1)
    assert others.hold()
    others.check()
    assert not mine.hold()
    assert (mine.term, others.term) == (0, 1)
    clock.advance(10.1)
    assert mine.hold()
    assert mine.term == 2


def test_a_lease_that_ended_begins_a_new_term_even_if_nobody_took_it(
    database: Database, clock: FakeClock
) -> None:
    mine = duty(database, clock, ONE)
    assert mine.hold()
    clock.advance(11.0)
    assert mine.hold()
    assert mine.term == 2


def test_whoever_ends_lets_its_duties_go_at_once(database: Database, clock: FakeClock) -> None:
    mine, others = duty(database, clock, ONE), duty(database, clock, OTHER)
    assert mine.hold()
    let_go(database, ONE)
    assert others.hold()
    let_go(database, ONE)
    with database.read() as connection:
        assert [each.holder for each in list_duties(connection)] == [str(OTHER)]
