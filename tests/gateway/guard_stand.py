"""What the guard's tests are made of: clocks told the time, questions, lines of the log."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from plinth.gateway.guard.limit import GuardedLimit
from plinth.gateway.guard.limit_file import write_limits
from plinth.gateway.guard.process import Files, Guard

OK, OVER = 1, 2
# The fields of the access log, as they stand in `listener.LOG_FIELDS`.
_FIELDS = (
    *("id", "start", "ms", "principal", "team", "key", "route", "cluster", "upstream", "method"),
    *("path", "code", "details", "flags", "rx", "tx", "attempts", "stream", "model", "answered"),
    *("usage", "usage_first", "events", "max", "rid", "first_ms", "served"),
)


@dataclass
class Clocks:
    """Both clocks, moved by hand."""

    at: float = 1000.0
    wall_at: float = 1_800_000_000.0
    boot: str = "boot-1"

    def now(self) -> float:
        return self.at

    def wall(self) -> float:
        return self.wall_at

    def advance(self, seconds: float) -> None:
        self.at += seconds
        self.wall_at += seconds

    def restart_machine(self, off_s: float = 30.0) -> None:
        self.boot += "'"
        self.at = 10.0
        self.wall_at += off_s


def _varint(number: int) -> bytes:
    out = b""
    while number > 0x7F:
        out += bytes((number & 0x7F | 0x80,))
        number >>= 7
    return out + bytes((number,))


def block(number: int, content: bytes) -> bytes:
    """Encode a field that has a length."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def question(**entries: str) -> bytes:
    """Encode what Envoy asks; `limited` and what is missing are added."""
    whole = {"limited": "1", "key": "k_1", "team": "research", "endpoint": "support"}
    whole |= {"model": "-", "max_tokens": "-", "n": "-", "len": "-", **entries}
    pairs = b"".join(
        block(1, block(1, key.encode()) + (block(2, value.encode()) if value else b""))
        for key, value in whole.items()
    )
    return block(1, b"plinth") + block(2, pairs)


@dataclass
class Reply:
    """An answer of the guard, decoded."""

    code: int
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = None
    reservation: str | None = None


def fields(message: bytes) -> list[tuple[int, Any]]:
    """Decode a message into its fields: numbers and bytes."""
    found, place = [], 0

    def number() -> int:
        nonlocal place
        value = shift = 0
        while True:
            byte = message[place]
            place += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while place < len(message):
        tag = number()
        if tag & 7 == 0:
            found.append((tag >> 3, number()))
        else:
            length = number()
            found.append((tag >> 3, message[place : place + length]))
            place += length
    return found


def reply(message: bytes) -> Reply:
    """Decode a RateLimitResponse."""
    answer = Reply(0)
    for number, content in fields(message):
        if number == 1:
            answer.code = content
        elif number == 3:
            pair = dict(fields(content))
            answer.headers[pair[1].decode()] = pair[2].decode()
        elif number == 5:
            answer.body = json.loads(content)
        elif number == 6:
            entry = dict(fields(dict(fields(content))[1]))
            assert entry[1] == b"rid"
            answer.reservation = dict(fields(entry[2]))[3].decode()
    return answer


def line(clocks: Clocks, rid: str | None, reported: Any = None, **more: Any) -> bytes:
    """Return a line of the access log, as Envoy writes it."""
    values: dict[str, Any] = dict.fromkeys(_FIELDS)
    values |= {
        "id": f"id-{clocks.wall_at:.6f}-{rid}",
        "start": f"{clocks.wall_at - 1:.6f}",
        "ms": 1000,
        "team": "research",
        "key": "k_1",
        "route": "endpoint:support",
        "code": 200,
        "details": "via_upstream",
        "flags": "-",
        "rx": 400,
        "tx": 900,
        "attempts": 1,
        "rid": rid,
        "usage": None if reported is None else json.dumps(reported),
    }
    return json.dumps(values | more, separators=(",", ":")).encode() + b"\n"


LIMIT = GuardedLimit("support/research", 10_000, endpoint="support", team="research")


@dataclass
class Stand:
    """A guard on files in `folder`; `kill` and `start` are its `kill -9` and its restart."""

    folder: Path
    clocks: Clocks = field(default_factory=Clocks)
    guard: Guard = field(init=False)

    def __post_init__(self) -> None:
        self.files = Files(
            self.folder / "guard.json", self.folder / "guard.journal", self.folder / "access.log"
        )
        self.limit(LIMIT)
        self.start()

    def limit(self, *limits: GuardedLimit) -> None:
        write_limits(self.files.limits, limits, "1")

    def start(self) -> None:
        self.guard = Guard(self.files, self.clocks)

    def restart(self) -> None:
        """What a new process finds is what the old one had written, and nothing else."""
        self.guard.close()
        self.start()

    def ask(self, **entries: str) -> Reply:
        return reply(self.guard.decide([question(**entries)])[0][0])

    def log(self, rid: str | None, reported: Any = None, **more: Any) -> None:
        with self.files.access_log.open("ab") as log:
            log.write(line(self.clocks, rid, reported, **more))

    def counted(self, account: str = LIMIT.id) -> tuple[int, int]:
        return self.guard.reservations.counted(account, self.clocks.now())
