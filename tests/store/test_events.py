"""Events of a subject come back in their order."""

from __future__ import annotations

from plinth.store.events import (
    MESSAGE_LENGTH,
    Event,
    add_event,
    clipped,
    delete_events,
    list_events,
)
from plinth.store.session import Database
from tests.store.rows import NOW


def test_events_come_in_the_order_of_writing_and_belong_to_one_subject(database: Database) -> None:
    with database.write() as connection:
        for subject, reason in (("run/a", "One"), ("run/b", "Other"), ("run/a", "Two")):
            event = Event(at=NOW, phase="pending", reason=reason, message="x" * 5000)
            add_event(connection, subject, event)
        assert [event.reason for event in list_events(connection, "run/a")] == ["One", "Two"]
        assert len(list_events(connection, "run/a")[0].message) == MESSAGE_LENGTH
        delete_events(connection, "run/a")
        assert list_events(connection, "run/a") == []
        assert len(list_events(connection, "run/b")) == 1


def test_a_message_holds_nothing_that_a_database_refuses() -> None:
    assert clipped("a\0b") == "a?b"
    assert len(clipped("x" * 5000)) == MESSAGE_LENGTH
