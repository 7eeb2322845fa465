"""Every refusal is written, and a flood of them becomes a count."""

from __future__ import annotations

from typing import Any

import pytest

from plinth.control.refusals import MOST_IN_WINDOW, WINDOW_S, Refusals
from plinth.domain.access import Principal, PrincipalKind
from plinth.kit.errors import Temporary
from plinth.store.audit import Entry, Filter, StoredEntry, list_entries
from tests.control.plane import TEAM, Plane


def refused(plane: Plane, who: str = "p_a", subject: str = "endpoint/x") -> Entry:
    principal = Principal(id=who, kind=PrincipalKind.USER, name=who[2:], team=TEAM)
    return Entry(
        at=plane.clock.now(),
        principal=principal,
        action="read",
        subject=subject,
        outcome="denied",
        detail={"rule": "no-grant"},
    )


def written(plane: Plane) -> list[StoredEntry]:
    with plane.database.read() as connection:
        return list_entries(connection, Filter(outcome="denied"), limit=1000)


def flood(plane: Plane, refusals: Refusals, count: int, who: str = "p_a") -> None:
    for number in range(count):
        refusals.note(refused(plane, who, f"endpoint/x{number}"))


def test_each_of_a_few_refusals_is_written_at_once(plane: Plane) -> None:
    refusals = Refusals(plane.context)
    flood(plane, refusals, 3)
    assert [one.subject for one in written(plane)] == [f"endpoint/x{n}" for n in range(3)]


def test_a_flood_is_written_as_some_and_a_count(plane: Plane) -> None:
    refusals = Refusals(plane.context)
    flood(plane, refusals, 1000)
    refusals.flush()
    assert len(written(plane)) == MOST_IN_WINDOW
    plane.clock.advance(WINDOW_S)
    refusals.flush()
    refusals.flush()
    last = written(plane)[-1]
    assert len(written(plane)) == MOST_IN_WINDOW + 1
    assert (last.action, last.subject, last.team) == ("more", "principal/p_a", TEAM)
    assert last.detail == {
        "more": 1000 - MOST_IN_WINDOW,
        "within_s": WINDOW_S,
        "last": "read endpoint/x999",
    }


def test_one_principals_flood_hides_no_others_refusal(plane: Plane) -> None:
    refusals = Refusals(plane.context)
    flood(plane, refusals, 100)
    refusals.note(refused(plane, "p_b"))
    assert written(plane)[-1].principal == "p_b"


def test_the_next_minute_has_room_again_and_counts_the_one_before(plane: Plane) -> None:
    refusals = Refusals(plane.context)
    flood(plane, refusals, MOST_IN_WINDOW + 5)
    plane.clock.advance(WINDOW_S)
    refusals.note(refused(plane, subject="endpoint/again"))
    assert written(plane)[-1].subject == "endpoint/again"
    refusals.flush()
    assert written(plane)[-1].detail["more"] == 5


def test_what_is_being_counted_is_written_when_the_control_plane_stops(plane: Plane) -> None:
    refusals = Refusals(plane.context)
    flood(plane, refusals, MOST_IN_WINDOW + 7)
    refusals.close()
    assert written(plane)[-1].detail["more"] == 7


def test_a_database_that_is_busy_loses_no_count_and_raises_no_refusal(
    plane: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusals = Refusals(plane.context)
    flood(plane, refusals, MOST_IN_WINDOW + 7)
    plane.clock.advance(WINDOW_S)

    def busy(*_: Any) -> Any:
        raise Temporary("the database is busy")

    with monkeypatch.context() as patch:
        patch.setattr(type(plane.database), "write", busy)
        with pytest.raises(Temporary):
            refusals.flush()
        refusals.note(refused(plane, "p_b"))
        refusals.close()
    refusals.flush()
    assert written(plane)[-1].detail["more"] == 7
