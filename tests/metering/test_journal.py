"""Every line of the access log reaches the ledger once, whatever dies or moves in between."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plinth.domain.usage import Gap, Meter, UsageRecord
from plinth.kit.errors import Conflict
from plinth.metering.counters import Series
from plinth.metering.journal import GapDraft, Journal, Line, Reading, UsageDraft, state_of
from plinth.metering.ledger import Ledger
from plinth.metering.replay import replay
from plinth.metering.rotation import rotate, rotated

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

    def commit(self, source: str, records: Iterable[UsageRecord], **more: Any) -> None:
        if self.crash == "before":
            raise InterruptedError
        super().commit(source, records, **more)
        if self.crash == "after":
            raise InterruptedError


class Bench:
    """A log that is written and mistreated, its journal, and the ids that must be in the ledger."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "access.log"
        self.ledger = CrashingLedger(folder / "ledger.db")
        self.meanwhile: list[Callable[[], None]] = []
        self.journal = self.reader()
        self.written = 0
        self.expected: list[str] = []
        self.half: tuple[int, bytes] | None = None
        self.copies = 0

    def reader(self) -> Journal:
        return Journal(self.log, self.ledger, Reading(self.parse, chunk=200, longest=100))

    def parse(self, line: bytes) -> UsageDraft | None:
        """Read a line; what happens meanwhile happens while the file is being read."""
        if self.meanwhile:
            self.meanwhile.pop()()
        return parse(line)

    def replayed(self, chunk: int = 1000) -> bytes:
        """Return what one reading of all files into an empty ledger gives."""
        with tempfile.TemporaryDirectory() as fresh:
            once = Ledger(Path(fresh) / "ledger.db")
            replay(once, [(self.log, Reading(parse, chunk=chunk, longest=100))], [])
            dumped = once.dump()
            once.close()
        return dumped

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
            rotate(self.log, START)

    def copy_and_empty(self) -> None:
        self.kill_writer()
        if self.log.exists():
            self.copies += 1
            shutil.copy(self.log, self.log.with_name(f"access.log.copy{self.copies}"))
            os.truncate(self.log, 0)

    def copy(self) -> None:
        """Copy the log and leave it: the copy stays behind."""
        if self.log.exists():
            self.copies += 1
            shutil.copy(self.log, self.log.with_name(f"access.log.copy{self.copies}"))

    def tear(self) -> None:
        """Copy and empty the log in the middle of a line, whose rest begins the next log.

        Both halves are there and say nothing: the request is lost and the rest is unreadable.
        """
        if self.half is None:
            self.write_half()
        self.copy()
        os.truncate(self.log, 0)
        assert self.half is not None
        self.append(self.half[1])
        self.half = None

    def rename_and_write_on(self) -> None:
        """Rotate as Envoy does: it writes on into the renamed file until it was told."""
        self.finish()
        if self.log.exists():
            with self.log.open("ab") as file:
                rotate(self.log, START)
                file.write(line_of(self.written))
                self.expected.append(f"request-{self.written}")
                self.written += 1

    def damage(self) -> None:
        self.finish()
        self.append(b"\xff nonsense\n")

    def overlong(self) -> None:
        """Write a line longer than any, bit by bit, with a reader in between."""
        self.finish()
        self.append(b"x" * 150)
        self.collect()
        self.append(b"x" * 180 + b"\n")

    def pause(self) -> None:
        """Let the reader go on with its next line."""

    def restart_reader(self) -> None:
        self.journal = self.reader()

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
        # A log that was cut is believed to be so when it is seen twice.
        for _ in range(2):
            self.collect()
        assert self.ids() == sorted(self.expected)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.ledger.close()


HARMLESS = (
    "write", "write_half", "kill_writer", "rotate", "rename_and_write_on", "copy", "copy_and_empty",
    "damage", "overlong", "collect", "restart_reader", "crash_before", "crash_after",
)  # fmt: skip
# What can happen to a file between two looks of a reader that is just at it.
MEANWHILE = ("write", "write_half", "rotate", "rename_and_write_on", "copy", "copy_and_empty")
STEP = st.one_of(
    st.sampled_from((*HARMLESS, "tear")).map(lambda name: (name, [])),
    st.tuples(st.just("collect"), st.lists(st.sampled_from((*MEANWHILE, "pause")), max_size=6)),
)


@given(st.lists(STEP, max_size=25), st.integers(101, 400))
@settings(max_examples=100)
def test_whatever_loses_no_byte_leaves_the_ledger_of_one_reading(
    steps: list[tuple[str, list[str]]], chunk: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        for step, meanwhile in steps:
            bench.meanwhile = [getattr(bench, each) for each in meanwhile]
            getattr(bench, step)()
            bench.meanwhile = []
        bench.check()
        assert bench.ledger.dump() == bench.replayed(chunk)
        assert all(record.position.startswith("0.") for record in bench.ledger.records())
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
        rotated = rotate(bench.log, START)
        bench.collect()
        file.write(line_of(77))
    bench.expected.append("request-77")
    assert rotated != bench.log
    bench.check()
    assert bench.ledger.dump() == bench.replayed()


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
    assert [bench.journal.collect().rewritten for _ in range(3)] == [0, 1, 0]
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
    # The first line alone is read to know the file.
    slow = Journal(bench.log, bench.ledger, Reading(lambda line: _and_then(bench, line)))
    with pytest.raises(Conflict, match="another reader"):
        slow.collect()
    bench.check()


def _and_then(bench: Bench, line: bytes) -> UsageDraft | None:
    if b"request-1" in line:
        bench.collect()
    return parse(line)


def test_logs_that_begin_with_the_same_rest_of_a_line_are_not_the_same(bench: Bench) -> None:
    for _ in range(2):
        bench.append(b'"ops"}\n')
        bench.write()
        bench.copy_and_empty()
    bench.check()
    assert bench.ledger.count_unreadable() == 2


def test_a_log_without_any_record_waits_for_its_first(bench: Bench) -> None:
    bench.append(b"nonsense\n" * 50)
    bench.collect()
    assert bench.ledger.count_unreadable() == 0
    bench.write()
    bench.check()
    assert bench.ledger.count_unreadable() == 50
    assert bench.ledger.dump() == bench.replayed()


def test_unreadable_lines_are_counted_once_whatever_restarts(bench: Bench) -> None:
    bench.write()
    bench.damage()
    bench.crash_before()
    bench.crash_after()
    bench.restart_reader()
    bench.check()
    assert bench.ledger.count_unreadable() == 1


def test_a_gap_that_a_log_tells_of_is_written_with_its_place(tmp_path: Path) -> None:
    log = tmp_path / "ends"
    log.write_bytes(b"{}\n" * 3)
    gap = GapDraft(reason="killed", started_at=START, ended_at=START)
    ledger = Ledger(tmp_path / "ledger.db")
    journal = Journal(log, ledger, Reading(lambda _: gap, origin="ends"))
    for _ in range(2):
        journal.collect()
    first, *_ = found = ledger.gaps()
    ledger.close()
    assert first == Gap(
        source=first.source,
        position="0.000000000000000",
        reason="killed",
        started_at=START,
        ended_at=START,
    )
    assert first.source.startswith("ends:")
    assert [each.position[-1] for each in found] == ["0", "3", "6"]


def finished(bench: Bench) -> set[Path]:
    return set(bench.journal.finished())


def test_a_rotated_log_is_finished_when_all_of_it_stands_in_the_ledger(bench: Bench) -> None:
    bench.write(3)
    bench.rotate()
    assert finished(bench) == set()
    bench.crash_before()
    assert finished(bench) == set()
    bench.collect()
    (first,) = finished(bench)
    assert bench.journal.finished() == {first: state_of(first.stat())}
    # The half line of a writer that was killed is nobody's.
    bench.write()
    bench.write_half()
    bench.rotate()
    bench.collect()
    assert finished(bench) == set(rotated(bench.log))
    assert len(finished(bench)) == 2
    # What is written on is not finished until that was read too.
    with first.open("ab") as file:
        file.write(line_of(77))
    assert bench.journal.finished()[first] != state_of(first.stat())


def test_a_log_and_its_copies_are_not_finished_while_it_is_written(bench: Bench) -> None:
    bench.write(3)
    bench.copy()
    bench.write()
    bench.collect()
    assert finished(bench) == set()
    bench.copy_and_empty()
    bench.collect()
    assert {path.name for path in finished(bench)} == {"access.log.copy1", "access.log.copy2"}


def test_a_log_that_did_not_change_is_not_read_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.write(3)
    bench.rotate()
    bench.write()
    bench.collect()
    monkeypatch.setattr(bench.ledger, "cursor", lambda _: pytest.fail("was read again"))
    bench.collect()
    monkeypatch.undo()
    bench.write()
    bench.check()


def test_records_carry_the_place_of_their_line(bench: Bench) -> None:
    bench.write(2)
    bench.collect()
    first, second = bench.ledger.records()
    assert first.source == second.source
    assert first.source.startswith("gateway:")
    assert first.position == "0.000000000000000"
    assert second.position == f"0.{len(line_of(0)):015d}"


SEEN = Series("lines")


def _both(line: bytes) -> Line:
    """Read a line as a request with its tokens, and count it."""
    draft = parse(line)
    assert draft is not None
    tokens = replace(draft, meter=Meter.OUTPUT_TOKENS, quantity=4.0, estimated=True)
    return Line((draft, tokens), {SEEN: 1.0})


def test_several_things_of_one_line_have_places_of_their_own_beside_the_old_one(
    bench: Bench,
) -> None:
    bench.write(2)
    bench.journal.collect()
    plain = [each.position for each in bench.ledger.records()]
    fresh = Ledger(bench.log.with_name("fresh.db"))
    collected = Journal(bench.log, fresh, Reading(_both)).collect()
    found = [each.position for each in fresh.records()]
    assert found == sorted([*plain, *(f"{each}:output_tokens" for each in plain)])
    assert (collected.records, collected.lines, collected.counts) == (4, 2, {SEEN: 2.0})
    assert [each.estimated for each in fresh.records()] == [False, True] * 2
    fresh.close()


def test_what_is_counted_is_counted_once_whoever_reads(bench: Bench) -> None:
    bench.write(3)
    for _ in range(3):
        Journal(bench.log, bench.ledger, Reading(_both)).collect()
    bench.write(1)
    Journal(bench.log, bench.ledger, Reading(_both, chunk=200, longest=100)).collect()
    assert [each.value for each in bench.ledger.counters()] == [4.0]


def test_a_log_that_was_cut_counts_nothing_again(bench: Bench) -> None:
    bench.write(3)
    journal = Journal(bench.log, bench.ledger, Reading(_both))
    journal.collect()
    whole = bench.log.read_bytes()
    bench.log.write_bytes(whole[: len(whole) * 2 // 3])
    for _ in range(3):
        journal.collect()
    assert [each.value for each in bench.ledger.counters()] == [3.0]
    assert len(bench.ledger.records()) == 6
