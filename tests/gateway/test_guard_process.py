"""The guard on real files; a restart sees nothing but what the one before had written."""

from __future__ import annotations

import json
import logging
import os
import random
from dataclasses import replace
from pathlib import Path

import pytest

from plinth.gateway.guard import journal as journal_module
from plinth.gateway.guard.core import LIFE_S
from plinth.gateway.guard.journal import restore
from plinth.gateway.guard.limit import GuardedLimit
from tests.gateway.guard_stand import LIMIT, OK, OVER, Clocks, Stand, question, reply


@pytest.fixture
def stand(tmp_path: Path) -> Stand:
    return Stand(tmp_path)


def test_a_request_is_reserved_then_settled_by_the_log(stand: Stand) -> None:
    given = stand.ask(len="400", max_tokens="800")
    assert (given.code, given.headers["x-ratelimit-remaining-tokens"]) == (OK, "9000")
    assert stand.counted() == (0, 1000)
    stand.log(given.reservation, {"total_tokens": 120})
    stand.guard.tick()
    assert stand.counted() == (120, 0)
    stand.clocks.advance(61)
    assert stand.counted() == (0, 0)


def test_a_request_of_no_limit_passes_without_a_trace(stand: Stand) -> None:
    given = stand.ask(team="ops")
    assert (given.code, given.reservation, given.headers) == (OK, None, {})


def test_what_cannot_be_read_is_refused(stand: Stand) -> None:
    assert reply(stand.guard.decide([b"\xff"])[0][0]).code == OVER


def test_requests_that_come_together_share_one_line_of_decisions(stand: Stand) -> None:
    asked = question(len="400", max_tokens="4000")
    codes = [reply(answer).code for answer, _ in stand.guard.decide([asked] * 5)]
    assert codes == [OK, OK, OVER, OVER, OVER]


def test_a_restart_knows_every_reservation_and_what_was_used(stand: Stand) -> None:
    names = [stand.ask(len="400", max_tokens="800").reservation for _ in range(5)]
    stand.log(names[0], {"total_tokens": 300})
    stand.guard.tick()
    stand.clocks.advance(5)
    for _ in range(3):
        stand.restart()
        assert stand.counted() == (300, 4000)
    stand.log(names[1], {"total_tokens": 100})
    stand.log(names[0], {"total_tokens": 300})
    stand.guard.tick()
    assert stand.counted() == (400, 3000)


def test_what_the_log_said_while_the_guard_was_away_settles_at_its_start(stand: Stand) -> None:
    given = stand.ask(len="400", max_tokens="800")
    stand.guard.close()
    stand.log(given.reservation, {"total_tokens": 70})
    stand.files.access_log.rename(stand.files.access_log.with_name("access.log.1"))
    stand.log(None)
    stand.start()
    assert stand.counted() == (0, 1000)
    stand.guard.tick()
    assert stand.counted() == (70, 0)


def test_what_passed_while_the_guard_was_away_is_charged_when_it_is_back(stand: Stand) -> None:
    stand.guard.close()
    stand.log(None, {"total_tokens": 5000})
    stand.clocks.advance(20)
    stand.log(None, {"total_tokens": 700})
    stand.log(None, {"total_tokens": 900}, team="ops")
    stand.clocks.advance(45)
    stand.start()
    stand.guard.tick()
    assert stand.counted() == (700, 0)
    stand.restart()
    stand.guard.tick()
    assert stand.counted() == (700, 0)


def test_names_of_reservations_never_come_again(stand: Stand) -> None:
    first = stand.ask().reservation
    stand.restart()
    assert stand.ask().reservation != first


def test_an_answer_that_nobody_waited_for_is_given_back_for_good(stand: Stand) -> None:
    given = stand.ask(len="400", max_tokens="800")
    assert given.reservation is not None
    stand.guard.give_back([given.reservation, "unknown"])
    assert stand.counted() == (0, 0)
    stand.restart()
    assert stand.counted() == (0, 0)


def test_what_nobody_settles_is_charged_when_its_life_ends_also_over_a_restart(
    stand: Stand,
) -> None:
    stand.ask(len="400", max_tokens="800")
    stand.clocks.advance(LIFE_S - 1)
    stand.restart()
    assert stand.counted() == (0, 1000)
    stand.clocks.advance(2)
    stand.guard.tick()
    assert stand.counted() == (1000, 0)
    stand.restart()
    assert stand.counted() == (1000, 0)
    stand.clocks.advance(61)
    assert stand.counted() == (0, 0)


@pytest.mark.parametrize("wall_s", [-86400.0, 86400.0])
def test_setting_the_clock_gives_nothing_away(stand: Stand, wall_s: float) -> None:
    given = stand.ask(len="400", max_tokens="800")
    stand.log(given.reservation, {"total_tokens": 500})
    stand.guard.tick()
    stand.clocks.wall_at += wall_s
    stand.clocks.advance(30)
    stand.restart()
    assert stand.counted() == (500, 0)
    stand.clocks.advance(32)
    assert stand.counted() == (0, 0)


@pytest.mark.parametrize(("off_s", "used"), [(20.0, 500), (80.0, 0), (-3600.0, 500)])
def test_after_a_restart_of_the_machine_the_wall_clock_says_how_long_ago_it_was(
    stand: Stand, off_s: float, used: int
) -> None:
    given = stand.ask(len="400", max_tokens="800")
    stand.ask(len="400", max_tokens="800")
    stand.log(given.reservation, {"total_tokens": 500})
    stand.guard.tick()
    stand.clocks.restart_machine(off_s)
    stand.restart()
    assert stand.counted() == (used, 1000)
    # No Envoy of before lives: what it was serving is charged in a minute.
    stand.clocks.advance(62)
    stand.guard.tick()
    assert stand.counted() == (1000, 0)
    stand.clocks.advance(61)
    assert stand.counted() == (0, 0)


def test_when_envoy_goes_what_it_served_is_charged_in_a_minute_also_over_a_restart(
    stand: Stand,
) -> None:
    stand.ask(len="400", max_tokens="800")
    stand.guard.abandon()
    stand.clocks.advance(30)
    stand.restart()
    assert stand.counted() == (0, 1000)
    stand.clocks.advance(31)
    stand.guard.tick()
    assert stand.counted() == (1000, 0)


def test_limits_are_read_again_and_a_broken_file_changes_nothing(
    stand: Stand, caplog: pytest.LogCaptureFixture
) -> None:
    stand.ask(len="400", max_tokens="800")
    stand.limit(replace(LIMIT, per_minute=1500))
    stand.guard.tick()
    assert stand.ask(len="400", max_tokens="800").code == OVER
    stand.files.limits.write_text("{")
    with caplog.at_level(logging.ERROR):
        stand.guard.tick()
        stand.guard.tick()
    assert len(caplog.records) == 1
    assert stand.ask(len="400", max_tokens="800").code == OVER
    stand.limit()
    stand.guard.tick()
    assert stand.ask(len="400", max_tokens="800").reservation is None


def test_the_journal_is_written_anew_when_it_is_long(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "LONGEST_BYTES", 20_000)
    stand.limit(replace(LIMIT, per_minute=10**9))
    stand.guard.tick()
    for number in range(600):
        given = stand.ask(len="400", max_tokens="800")
        if number % 3:
            stand.log(given.reservation, {"total_tokens": 10})
        if number % 50 == 0:
            stand.guard.tick()
    stand.guard.tick()
    assert stand.files.journal.stat().st_size < 60_000
    assert stand.counted() == (4000, 200_000)
    stand.restart()
    assert stand.counted() == (4000, 200_000)


def test_half_a_line_at_the_end_is_as_if_it_was_never_written(stand: Stand) -> None:
    names = [stand.ask(len="400", max_tokens="800").reservation for _ in range(2)]
    stand.log(names[0], {"total_tokens": 300})
    stand.guard.tick()
    whole = stand.files.journal.read_bytes()
    seen = set()
    for end in range(len(whole) + 1):
        found = restore(whole[:end], stand.clocks)
        seen.add(found.reservations.counted(LIMIT.id, stand.clocks.now()))
    assert seen == {(0, 0), (0, 1000), (0, 2000), (300, 1000)}


def test_a_full_disk_stops_nothing_and_is_said_once(
    stand: Stand, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write = os.write
    left = [30]

    def full(descriptor: int, content: bytes) -> int:
        if left[0] == 0:
            raise OSError(28, "No space left on device")
        left[0], some = 0, left[0]
        return write(descriptor, content[:some])

    monkeypatch.setattr(os, "write", full)
    with caplog.at_level(logging.WARNING):
        assert [stand.ask(max_tokens="9").code for _ in range(2)] == [OK, OK]
        monkeypatch.undo()
        given = stand.ask(len="400", max_tokens="800")
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]
    assert given.code == OK
    stand.restart()
    assert stand.counted() == (0, 1000)


def test_unreadable_lines_of_the_journal_are_passed_over(stand: Stand) -> None:
    stand.ask(len="400", max_tokens="800")
    with stand.files.journal.open("a") as journal:
        journal.write('{"r": 7}\nnonsense\n[]\n{"o": 3, "at": 1}\n')
    stand.restart()
    assert stand.counted() == (0, 1000)


@pytest.mark.parametrize("seed", range(6))
def test_kills_at_any_time_change_no_account(tmp_path: Path, seed: int) -> None:
    """Against a model of what was truly reserved and used, killed again and again."""
    draw, clocks = random.Random(seed), Clocks()
    stand = Stand(tmp_path, clocks)
    open_ones: dict[str, int] = {}
    used: list[tuple[float, int]] = []
    for _ in range(300):
        clocks.advance(draw.random())
        action = draw.random()
        if action < 0.5:
            want = draw.randint(1, 1500)
            given = stand.ask(len="32", max_tokens=str(want))
            if given.reservation:
                open_ones[given.reservation] = want + 16
        elif action < 0.8 and open_ones:
            name = draw.choice(list(open_ones))
            amount = draw.randint(0, open_ones.pop(name))
            stand.log(name, {"total_tokens": amount})
            stand.guard.tick()
            used.append((clocks.at, amount))
        elif action < 0.85:
            stand.log(None, {"total_tokens": 11})
            used.append((clocks.at, 11))
            stand.guard.tick()
        else:
            stand.restart()
        window, reserved = stand.counted()
        assert reserved == sum(open_ones.values())
        assert window >= sum(amount for at, amount in used if clocks.at - at < 60)
        assert window <= sum(amount for at, amount in used if clocks.at - at <= 61.01)
        assert reserved == 0 or window + reserved <= 10_000 + 11 * 60


def test_a_reservation_stands_in_the_journal_before_it_is_answered(stand: Stand) -> None:
    stand.limit(GuardedLimit('a "quoted" name', 10_000, each="key"))
    stand.guard.tick()
    given = stand.ask(len="400", max_tokens="800")
    last = json.loads(stand.files.journal.read_bytes().splitlines()[-1])
    assert (last["r"], last["h"]) == (given.reservation, [['a "quoted" name:k_1', "tokens", 1000]])
