"""The guard as a process: many askers at once, killed at any time, its log renamed meanwhile.

A journey because what is promised is about processes: what `kill -9` leaves on the disk, and
what another process makes of it. The test is Envoy: it asks over the socket and writes the log.
"""

from __future__ import annotations

import random
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest

from plinth.gateway.guard.limit import GuardedLimit
from plinth.gateway.guard.unit import command
from tests.conformance.stand import eventually
from tests.gateway.guard_stand import OK, OVER, Clocks, Reply, line, question, reply
from tests.journeys.guard_process import GuardProcess, running_guard

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, SETTINGS, GOAWAY, WINDOW = 0, 1, 4, 7, 8
LIMIT = GuardedLimit("support/research", 10_000, endpoint="support", team="research")
# 200 of input and 300 of output.
ASKED = question(len="400", max_tokens="300")
NEED = 500


def frame(kind: int, flags: int, stream: int, content: bytes = b"") -> bytes:
    head = len(content).to_bytes(3, "big") + bytes((kind, flags))
    return head + stream.to_bytes(4, "big") + content


class Asker:
    """A connection as Envoy has it: many questions at once, each on a stream of its own."""

    def __init__(self, guard: GuardProcess) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(10)
        self.socket.connect(str(guard.socket))
        room = frame(WINDOW, 0, 0, (2**30).to_bytes(4, "big"))
        self.socket.sendall(PREFACE + frame(SETTINGS, 0, 0) + room)
        self._stream = 1
        self._rest = b""
        self.said_goodbye = False

    def send(self, count: int = 1, message: bytes = ASKED) -> None:
        content = b"\0" + len(message).to_bytes(4, "big") + message
        out = b""
        for _ in range(count):
            out += frame(HEADERS, 4, self._stream, b"\x82")
            out += frame(DATA, 1, self._stream, content)
            self._stream += 2
        self.socket.sendall(out)

    def receive(self, count: int) -> list[Reply]:
        """Return so many answers, or fewer when the guard is gone."""
        found: list[Reply] = []
        while len(found) < count:
            try:
                received = self.socket.recv(65536)
            except ConnectionError:
                received = b""
            if not received:
                break
            self._rest += received
            found += self._replies()
        return found

    def _replies(self) -> Iterator[Reply]:
        while len(self._rest) >= 9:
            length = int.from_bytes(self._rest[:3], "big")
            if len(self._rest) < 9 + length:
                return
            kind, content = self._rest[3], self._rest[9 : 9 + length]
            self._rest = self._rest[9 + length :]
            self.said_goodbye |= kind == GOAWAY
            if kind == DATA:
                yield reply(content[5:])

    def ask(self, count: int = 1, message: bytes = ASKED) -> list[Reply]:
        self.send(count, message)
        return self.receive(count)

    def close(self) -> None:
        self.socket.close()


class WallClocks(Clocks):
    """Now, for lines that end now."""

    def __init__(self) -> None:
        super().__init__(wall_at=time.time())


def settle(guard: GuardProcess, names: list[str | None], tokens: int) -> None:
    lines = [line(WallClocks(), name, {"total_tokens": tokens}) for name in names]
    with guard.access_log.open("ab") as log:
        log.write(b"".join(lines))


@pytest.fixture
def guard() -> Iterator[GuardProcess]:
    with running_guard(LIMIT) as running:
        yield running


def left(guard: GuardProcess) -> int:
    """Return what the limit has left, by asking for next to nothing and settling it."""
    with closing(Asker(guard)) as asker:
        (found,) = asker.ask(message=question(len="0", max_tokens="0"))
    if found.code == OVER:
        return int(found.headers["x-ratelimit-remaining-tokens"])
    settle(guard, [found.reservation], 0)
    return int(found.headers["x-ratelimit-remaining-tokens"]) + 16


def test_two_hundred_at_once_get_exactly_what_there_is(guard: GuardProcess) -> None:
    with ExitStack() as stack:
        # Until it accepts there is room for 128 to wait; this one is not limited.
        assert stack.enter_context(closing(Asker(guard))).ask(message=question(team="ops"))
        askers = [stack.enter_context(closing(Asker(guard))) for _ in range(200)]
        for asker in askers:
            asker.send()
        found = [reply for asker in askers for reply in asker.receive(1)]
    assert [each.code for each in found].count(OK) == 10_000 // NEED
    assert [each.code for each in found].count(OVER) == 200 - 10_000 // NEED
    names = [each.reservation for each in found if each.reservation]
    assert len(set(names)) == len(names)
    settle(guard, names, 100)
    assert eventually(lambda: left(guard) == 10_000 - 100 * len(names))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_no_unit_is_given_twice_or_lost_by_kills(guard: GuardProcess, seed: int) -> None:
    """In each life some are asked for while it is killed; nobody settles anything."""
    draw = random.Random(seed)
    sent = admitted = 0
    for _ in range(6):
        asker = Asker(guard)
        count = draw.randint(1, 5)
        asker.send(count)
        if draw.random() < 0.5:
            # Wait until it began to answer: some answers are on their way.
            select.select([asker.socket], [], [], 5)
        guard.kill()
        found = asker.receive(count)
        asker.close()
        sent += count
        admitted += sum(each.code == OK for each in found)
        guard.start()
    asker = Asker(guard)
    rest = sum(each.code == OK for each in asker.ask(60))
    asker.close()
    assert admitted + rest <= 10_000 // NEED
    # Whatever was asked for and not answered may have been reserved, and nothing else.
    assert admitted + rest >= 10_000 // NEED - (sent - admitted)


def test_kills_and_renamed_logs_lose_no_settlement_and_double_none(guard: GuardProcess) -> None:
    draw, used = random.Random(7), 0
    began = time.monotonic()
    for number in range(8):
        asker = Asker(guard)
        found = asker.ask(3)
        asker.close()
        names = [each.reservation for each in found]
        assert None not in names, found
        if draw.random() < 0.5:
            guard.kill()
        amounts = [draw.randint(0, 150) for _ in names]
        for name, amount in zip(names, amounts, strict=True):
            settle(guard, [name], amount)
            if draw.random() < 0.3:
                guard.access_log.rename(guard.access_log.with_name(f"access.log.{number}-{name}"))
        used += sum(amounts)
        if guard.process is not None and guard.process.poll() is not None:
            guard.start()
        expected = 10_000 - used
        assert eventually(lambda: left(guard) == expected)  # noqa: B023 - it is asked at once
    assert time.monotonic() - began < 55, "too slow a machine: the window has moved on"


def test_what_passed_while_it_was_away_is_counted_when_it_is_back(guard: GuardProcess) -> None:
    assert left(guard) == 10_000
    guard.kill()
    settle(guard, [None], 4000)
    guard.start()
    assert eventually(lambda: left(guard) == 6000)


def test_when_the_last_connection_goes_what_it_left_is_soon_charged(guard: GuardProcess) -> None:
    with closing(Asker(guard)) as stays, closing(Asker(guard)) as goes:
        assert goes.ask()[0].code == OK
        goes.close()
        assert stays.ask()[0].code == OK
        assert b'{"a"' not in guard.journal.read_bytes()
    assert eventually(lambda: b'{"a"' in guard.journal.read_bytes())


def test_a_change_of_the_limits_counts_at_once(guard: GuardProcess) -> None:
    asker = Asker(guard)
    assert asker.ask()[0].headers["x-ratelimit-limit-tokens"] == "10000"
    guard.limit(GuardedLimit(LIMIT.id, 700, endpoint="support", team="research"))
    assert eventually(lambda: asker.ask(message=question(len="0"))[0].code == OVER)
    guard.limit()
    assert eventually(lambda: asker.ask()[0].headers == {})
    asker.close()


def test_asked_to_end_it_says_goodbye_and_ends_well(guard: GuardProcess) -> None:
    asker = Asker(guard)
    asker.ask()
    assert guard.stop() == 0
    assert asker.receive(1) == []
    assert asker.said_goodbye
    asker.close()
    assert "Traceback" not in guard.log


def test_a_second_guard_does_not_touch_the_firsts_journal(guard: GuardProcess) -> None:
    assert left(guard) == 10_000
    with socket.socket(socket.AF_UNIX) as listening:
        second = subprocess.run(
            [sys.executable, *command(guard.home)[1:]],
            check=False,
            capture_output=True,
            text=True,
            timeout=30,
            pass_fds=(listening.fileno(),),
        )
    assert second.returncode == 1
    assert "another guard" in second.stderr
    assert left(guard) == 10_000


def test_garbage_ends_its_own_connection_only(guard: GuardProcess) -> None:
    asker = Asker(guard)
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.connect(str(guard.socket))
        stranger.sendall(b"GET / HTTP/1.1\r\nhost: guard\r\n\r\n")
        stranger.settimeout(5)
        assert stranger.recv(100)[3] == SETTINGS
        assert stranger.recv(100) == b""
    assert asker.ask()[0].code == OK
    asker.close()
    assert guard.process is not None
    assert guard.process.poll() is None
    guard.process.send_signal(signal.SIGINT)
    assert guard.process.wait(10) == 0
