from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from plinth.gateway.guard.tail import Tail


class Log:
    """A log and who follows it; the time is what `read` is told."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "access.log"
        self.now = 0.0
        self.tail: Tail

    def write(self, *lines: str, path: Path | None = None, end: str = "\n") -> None:
        with (path or self.path).open("a") as log:
            log.write("".join(line + end for line in lines))

    def start(self, cursors: Mapping[str, int] | None) -> None:
        self.tail = Tail(self.path, cursors)
        self.tail.start(self.now)

    def read(self) -> list[str]:
        self.now += 1
        return [line.decode() for lines, _ in self.tail.read(self.now) for line in lines]

    def restart(self) -> None:
        self.tail.close()
        self.start(dict(self.tail.cursors))

    def rotate(self, name: str = "1") -> Path:
        return self.path.rename(self.path.with_name(f"access.log.{name}"))


@pytest.fixture
def log(tmp_path: Path) -> Log:
    log = Log(tmp_path)
    log.start({})
    return log


def test_each_whole_line_is_read_once(log: Log) -> None:
    assert log.read() == []
    log.write("one", "two")
    assert log.read() == ["one", "two"]
    log.write("thr", end="")
    assert log.read() == []
    log.write("ee")
    assert log.read() == ["three"]
    log.restart()
    assert log.read() == []
    log.write("four")
    assert log.read() == ["four"]


def test_what_was_there_before_the_first_start_is_nobodys(tmp_path: Path) -> None:
    log = Log(tmp_path)
    log.write("old")
    log.start(None)
    log.write("new")
    assert log.read() == ["new"]


def test_a_renamed_log_is_read_on_and_the_new_one_too(log: Log) -> None:
    log.write("one")
    assert log.read() == ["one"]
    old = log.rotate()
    log.write("two", path=old)
    assert log.read() == ["two"]
    log.write("three")
    log.write("four", path=old)
    assert log.read() == ["four", "three"]


def test_logs_that_were_renamed_while_nobody_read_are_read_on(log: Log) -> None:
    log.write("one")
    assert log.read() == ["one"]
    log.tail.close()
    log.write("two")
    log.rotate("20260101")
    log.write("three")
    log.rotate("20260102")
    log.write("four")
    log.start(dict(log.tail.cursors))
    assert log.read() == ["two", "three", "four"]
    log.restart()
    assert log.read() == []


def test_a_renamed_log_that_is_quiet_for_long_is_closed(log: Log) -> None:
    log.write("one")
    log.read()
    old = log.rotate()
    log.write("two")
    log.read()
    log.now += 200
    assert log.read() == []
    log.write("late", path=old)
    assert log.read() == []
    # The one that is written to stays, however quiet.
    log.write("three")
    assert log.read() == ["three"]


def test_a_log_that_was_emptied_begins_anew(log: Log) -> None:
    log.write("one", "two")
    assert log.read() == ["one", "two"]
    log.path.write_text("")
    assert log.read() == []
    log.write("three")
    assert log.read() == ["three"]


@pytest.mark.parametrize("length", [70_000, 300_000])
def test_a_line_that_is_too_long_does_not_stop_the_reading(log: Log, length: int) -> None:
    for first in ((), ("first",)):
        log.write(*first)
        log.write("x" * length, end="")
        log.read()
        log.write("", "good")
        assert log.read()[-1] == "good"
        log.rotate(str(len(first)))


def test_only_the_end_of_a_long_log_is_read_where_no_more_is_of_interest(log: Log) -> None:
    log.write("one")
    log.read()
    log.write(*(f"line {number:03}" for number in range(500)))
    log.tail.close()
    log.tail = Tail(log.path, log.tail.cursors)
    log.tail.start(log.now, 30)
    assert log.read() == ["96", "line 497", "line 498", "line 499"]
    log.write("new")
    assert log.read() == ["new"]


def test_the_positions_of_logs_that_are_gone_are_forgotten(log: Log) -> None:
    log.write("one")
    log.read()
    log.rotate().unlink()
    log.write("two")
    log.read()
    assert len(log.tail.cursors) == 2
    log.restart()
    assert len(log.tail.cursors) == 1
