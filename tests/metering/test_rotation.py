"""Old logs go by age and by room, and never before they were read."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from plinth.kit.errors import Invalid, Temporary
from plinth.metering.journal import FileState, state_of
from plinth.metering.rotation import Retention, drop, rotate, rotated

DAY = 86400.0
ROOM = 10**9


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Return a log with three rotated files of 100 bytes, written on the days 1, 2 and 3."""
    log = tmp_path / "access.log"
    for day in (1, 2, 3):
        log.write_bytes(b"x" * 100)
        os.utime(rotate(log, at(day)), (day * DAY, day * DAY))
    log.write_bytes(b"x" * 100)
    return log


def at(day: float) -> datetime:
    return datetime.fromtimestamp(day * DAY, UTC)


def names(paths: list[Path]) -> list[str]:
    """Return the day in January 1970 that each file is called after, in two digits."""
    return [path.name.removeprefix("access.log.")[6:8] for path in paths]


def read(paths: list[Path]) -> dict[Path, FileState]:
    return {path: state_of(path.stat()) for path in paths}


def kept(day: float, room: int = ROOM) -> Retention:
    return Retention(at(day), room)


def test_rotated_logs_are_called_after_the_time_and_listed_by_their_age(log: Path) -> None:
    assert rotated(log)[0].name == "access.log.19700102000000000000"
    assert names(rotated(log)) == ["02", "03", "04"]
    os.utime(rotated(log)[0], (9 * DAY, 9 * DAY))
    assert names(rotated(log)) == ["03", "04", "02"]


def test_no_log_gets_the_name_of_one_that_is_or_was_there(log: Path) -> None:
    # The clock was set back.
    assert rotate(log, at(1)).name == "access.log.19700104000000000001"
    for each in rotated(log):
        each.unlink()
    log.write_bytes(b"new")
    assert rotate(log, at(5)).name == "access.log.19700106000000000000"


def test_rotating_no_log_says_so(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="no log"):
        rotate(tmp_path / "access.log", at(1))


def test_what_is_young_and_fits_stays(log: Path) -> None:
    assert drop(log, read(rotated(log)), kept(0.5)) == []
    assert drop(log, read(rotated(log)), kept(0.5, 300)) == []


def test_what_is_old_goes(log: Path) -> None:
    assert names(drop(log, read(rotated(log)), kept(2.5))) == ["02", "03"]
    assert names(rotated(log)) == ["04"]
    assert log.exists()


def test_the_oldest_go_until_the_rest_has_room(log: Path) -> None:
    assert names(drop(log, read(rotated(log)), kept(0.5, 150))) == ["02", "03"]
    assert names(drop(log, read(rotated(log)), kept(0.5, 0))) == ["04"]


def test_what_was_not_read_stays_however_old_and_large_it_is(log: Path) -> None:
    unread, *others = rotated(log)
    assert names(drop(log, read(others), kept(9, 0))) == ["03", "04"]
    assert rotated(log) == [unread]


def test_what_has_the_name_of_a_log_that_was_read_stays(log: Path) -> None:
    seen = read(rotated(log))
    first, second, third = seen
    # Shifted by others; the second is new, and the third was written on.
    first.replace(second)
    with third.open("ab") as file:
        file.write(b"x")
    assert drop(log, seen, kept(9, 0)) == []
    assert set(rotated(log)) == {second, third}


def test_nothing_is_dropped_or_renamed_by_whom_the_fence_stops(log: Path) -> None:
    def stop() -> None:
        raise Temporary("another may be at it")

    with pytest.raises(Temporary):
        drop(log, read(rotated(log)), kept(9, 0), stop)
    with pytest.raises(Temporary):
        rotate(log, at(9), stop)
    assert log.exists()
    assert names(rotated(log)) == ["02", "03", "04"]


def test_a_log_that_others_replace_while_it_is_checked_stays(log: Path) -> None:
    seen = read(rotated(log))

    def shift() -> None:
        for each in rotated(log):
            each.rename(each.with_name(f"moved-{each.name}"))
            each.write_bytes(b"unread")

    assert drop(log, seen, kept(9, 0), shift) == []
    assert [each.read_bytes() for each in rotated(log)] == [b"unread"] * 3
