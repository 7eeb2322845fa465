"""A duty is one holder's at a time, by the database's clock."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection

from plinth.store.duties import StoredDuty, list_duties, release_duties, take_duty
from plinth.store.leases import FARTHEST, Holder
from plinth.store.session import Database
from tests.store.rows import later

ONE, OTHER = Holder.begin("control@1"), Holder.begin("control-2@1")
LEASE_S = 10.0


def take(connection: Connection, holder: Holder, seconds: float) -> bool:
    return take_duty(connection, "meter", holder, now=later(seconds), lease_s=LEASE_S)


def test_one_has_it_until_its_lease_ends(database: Database) -> None:
    with database.write() as connection:
        assert take(connection, ONE, 0)
        assert not take(connection, OTHER, 9.9)
        assert take(connection, OTHER, 10.1)
        assert not take(connection, ONE, 10.2)
        (found,) = list_duties(connection)
    assert found == StoredDuty(name="meter", holder=str(OTHER), until=later(20.1))


def test_who_has_it_prolongs_it(database: Database) -> None:
    with database.write() as connection:
        assert take(connection, ONE, 0)
        assert take(connection, ONE, 9)
        assert not take(connection, OTHER, 18)


def test_duties_are_taken_apart_from_each_other(database: Database) -> None:
    with database.write() as connection:
        assert take(connection, ONE, 0)
        assert take_duty(connection, "publish", OTHER, now=later(0), lease_s=LEASE_S)
        assert [duty.name for duty in list_duties(connection)] == ["meter", "publish"]


@pytest.mark.parametrize("ahead_s", [FARTHEST.total_seconds() + 1, 3600])
def test_a_duty_taken_before_the_clock_was_set_back_is_free(
    database: Database, ahead_s: float
) -> None:
    with database.write() as connection:
        assert take(connection, ONE, ahead_s)
        assert take(connection, OTHER, 0)


def test_a_new_life_frees_the_duties_of_its_earlier_ones_only(database: Database) -> None:
    with database.write() as connection:
        assert take(connection, ONE, 0)
        release_duties(connection, Holder.begin(OTHER.name))
        assert not take(connection, OTHER, 1)
        reborn = Holder.begin(ONE.name)
        assert not take(connection, reborn, 1)
        release_duties(connection, reborn)
        assert take(connection, reborn, 1)


def test_a_duty_fits_its_column() -> None:
    assert len(str(Holder.begin("control-99@1a2b3c4d"))) <= 40
