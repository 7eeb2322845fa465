"""Every line of the access log reaches the ledger once, whatever dies or moves in between."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plinth.domain.usage import Meter, UsageRecord
from plinth.kit.errors import Conflict, Invalid
from plinth.metering.journal import AccessJournal, UsageDraft, rotate
from plinth.metering.ledger import Ledger

START = datetime(2026, 3, 1, tzinfo=UTC)


def parse(line: bytes) -> UsageDraft | None:
    value = json.loads(line)
    if not isinstance(value, dict):
        raise ValueError("not an object")
    if value["team"] is None:
        return None
    return UsageDraft(
        meter=Meter.REQUESTS,
        quantity=1,
        team=value["team"],
        workload="endpoint/echo",
        request_id=value["id"],
        started_at=START,
        ended_at=START + timedelta(milliseconds=3),
    )


def line_of(number: int, team: str | None = "ops") -> bytes:
    return json.dumps({"id": f"request-{number}", "team": team}).encode() + b"\n"


class CrashingLedger(Ledger):
    """Dies before or after the commit that it is told to."""

    crash: str | None = None

    def commit(
        self, source: str, records: Iterable[UsageRecord], *, expected: str | None, cursor: str
    ) -> None:
        if self.crash == "before":
            raise InterruptedError
        super().commit(source, records, expected=expected, cursor=cursor)
        if self.crash == "after":
            raise InterruptedError


class Bench:
    """A log that is written and mistreated, its journal, and the ids that must be in the ledger."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "access.log"
        self.ledger = CrashingLedger(folder / "ledger.db")
        self.journal = AccessJournal(self.log, self.ledger, parse, chunk=200)
        self.written = 0
        self.expected: list[str] = []
        self.half: tuple[int, bytes] | None = None
        self.copies = 0

    def append(self, content: bytes) -> None:
        with self.log.open("ab") as file:
            file.write(content)

    def write(self, count: int = 1) -> None:
        self.finish()
        for _ in range(count):
            self.append(line_of(self.written))
            self.expected.append(f"request-{self.written}")
            self.written += 1

    def write_half(self) -> None:
        self.finish()
        line = line_of(self.written)
        self.append(line[:17])
        self.half = (self.written, line[17:])
        self.written += 1

    def finish(self) -> None:
        if self.half is not None:
            self.append(self.half[1])
            self.expected.append(f"request-{self.half[0]}")
            self.half = None

    def kill_writer(self) -> None:
        """The rest of a half line never comes; the next writer goes on behind it."""
        self.half = None

    def rotate(self) -> None:
        self.kill_writer()
        if self.log.exists():
            rotate(self.log)

    def copy_and_empty(self) -> None:
        self.kill_writer()
        if self.log.exists():
            self.copies += 1
            shutil.copy(self.log, self.log.with_name(f"access.log.copy{self.copies}"))
            os.truncate(self.log, 0)

    def empty(self) -> None:
        """Throw the log away; only what was read counts."""
        self.finish()
        self.collect()
        if self.log.exists():
            os.truncate(self.log, 0)

    def cut(self) -> None:
        """Cut the log somewhere inside a line, as a repaired disk might."""
        self.finish()
        self.collect()
        if self.log.exists():
            os.truncate(self.log, self.log.stat().st_size * 2 // 3)
            self.append(b"\n")

    def collect(self) -> None:
        self.journal.collect()

    def crash_before(self) -> None:
        self._crash("before")

    def crash_after(self) -> None:
        self._crash("after")

    def _crash(self, moment: str) -> None:
        self.ledger.crash = moment
        with contextlib.suppress(InterruptedError):
            self.collect()
        self.ledger.crash = None

    def ids(self) -> list[str | None]:
        return sorted(record.request_id or "" for record in self.ledger.records())

    def check(self) -> None:
        self.finish()
        self.collect()
        assert self.ids() == sorted(self.expected)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.ledger.close()


HARMLESS = (
    "write", "write_half", "kill_writer", "rotate", "copy_and_empty", "collect", "crash_before",
    "crash_after",
)  # fmt: skip


@given(st.lists(st.sampled_from(HARMLESS), max_size=25))
@settings(max_examples=60)
def test_any_crashes_rotations_and_half_lines_leave_the_ledger_of_one_reading(
    steps: list[str],
) -> None:
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as fresh:
        bench = Bench(Path(folder))
        for step in steps:
            getattr(bench, step)()
        bench.check()
        once = Ledger(Path(fresh) / "ledger.db")
        AccessJournal(bench.log, once, parse).collect()
        assert once.records() == bench.ledger.records()
        once.close()
        bench.ledger.close()


@given(st.lists(st.sampled_from((*HARMLESS, "empty", "cut")), max_size=25))
@settings(max_examples=60)
def test_a_log_that_is_emptied_or_cut_after_it_was_read_loses_and_doubles_nothing(
    steps: list[str],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        for step in steps:
            getattr(bench, step)()
        bench.check()
        bench.ledger.close()


def test_reading_again_adds_nothing(bench: Bench) -> None:
    bench.write(30)
    assert bench.journal.collect().records == 30
    assert bench.journal.collect().records == 0


def test_no_log_is_no_usage(bench: Bench) -> None:
    assert bench.journal.collect().lines == 0


def test_lines_without_usage_are_passed_over(bench: Bench) -> None:
    bench.append(line_of(1, team=None))
    found = bench.journal.collect()
    assert (found.lines, found.records, found.malformed) == (1, 0, 0)


def test_unreadable_lines_are_counted_and_do_not_stop_the_rest(bench: Bench) -> None:
    bench.append(b"\xff\x00 nonsense\n")
    bench.write()
    assert bench.journal.collect().malformed == 1
    bench.check()


def test_a_whole_line_behind_the_half_of_a_killed_writer_counts(bench: Bench) -> None:
    bench.write_half()
    bench.kill_writer()
    bench.write()
    assert bench.journal.collect().malformed == 0
    bench.check()


def test_a_piece_without_any_line_end_is_skipped(bench: Bench) -> None:
    bench.write()
    bench.append(b"x" * 1000 + b"\n")
    bench.write()
    bench.check()


def test_writing_into_the_renamed_log_goes_on_being_read(bench: Bench) -> None:
    bench.write()
    with bench.log.open("ab") as file:
        rotated = rotate(bench.log)
        bench.collect()
        file.write(line_of(77))
    bench.expected.append("request-77")
    assert rotated.name == "access.log.000001"
    bench.check()


def test_a_log_that_is_emptied_while_it_is_read_is_another_log(bench: Bench) -> None:
    bench.write(3)
    bench.collect()
    os.truncate(bench.log, 0)
    bench.write(5)
    bench.check()
    assert len({record.source for record in bench.ledger.records()}) == 2


def test_a_log_that_was_cut_short_is_read_again_and_counts_nothing_twice(bench: Bench) -> None:
    bench.write(5)
    bench.collect()
    os.truncate(bench.log, 2 * len(line_of(0)))
    bench.write(4)
    assert bench.journal.collect().rewritten == 1
    bench.check()


def test_of_a_log_and_its_longer_copy_the_copy_is_read(bench: Bench) -> None:
    bench.write(3)
    bench.collect()
    bench.write(2)
    shutil.copy(bench.log, bench.log.with_name("access.log.copy"))
    os.truncate(bench.log, 2 * len(line_of(0)))
    bench.check()


def test_a_copy_that_is_still_being_made_is_left_alone(bench: Bench) -> None:
    bench.write(5)
    bench.collect()
    part = bench.log.with_name("access.log.copy")
    part.write_bytes(bench.log.read_bytes()[: 2 * len(line_of(0))])
    bench.write()
    assert bench.journal.collect().rewritten == 0
    bench.check()


def test_a_slower_reader_changes_nothing(bench: Bench, tmp_path: Path) -> None:
    bench.write(3)
    slow = AccessJournal(bench.log, bench.ledger, lambda line: _and_then(bench, line))
    with pytest.raises(Conflict, match="another reader"):
        slow.collect()
    bench.check()


def _and_then(bench: Bench, line: bytes) -> UsageDraft | None:
    bench.collect()
    return parse(line)


def test_rotating_no_log_says_so(bench: Bench) -> None:
    with pytest.raises(Invalid, match="no log"):
        rotate(bench.log)


def test_records_carry_the_place_of_their_line(bench: Bench) -> None:
    bench.write(2)
    bench.collect()
    first, second = bench.ledger.records()
    assert first.source == second.source
    assert first.source.startswith("gateway:")
    assert first.position == "0.000000000000000"
    assert second.position == f"0.{len(line_of(0)):015d}"
