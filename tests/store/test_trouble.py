"""The troubles that pass say so, and what to do."""

from __future__ import annotations

from plinth.kit.errors import Temporary
from plinth.store.trouble import away, busy, disk_full


def test_each_trouble_is_temporary_with_its_code_and_a_hint() -> None:
    troubles = (busy("it is busy"), away("postgresql://h/x", "refused"), disk_full())
    assert [each.code for each in troubles] == ["database_busy", "unavailable", "disk_full"]
    assert all(isinstance(each, Temporary) and each.hint for each in troubles)
    assert troubles[1].message == "the database `postgresql://h/x` does not answer: refused"
