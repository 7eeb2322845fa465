"""What the guard has promised, on the disk before it is promised: `kill -9` loses nothing.

Each line is one JSON object, written by one `write`:

- `{"boot", "at", "wall"}`: whose clock the lines behind it have;
- `{"r", "at", "h"}`: a reservation and what it holds;
- `{"x", "at"}`: reservations that were given back, since their answer reached nobody;
- `{"a", "at"}`: what was reserved then is soon to be charged, since Envoy went away;
- `{"o", "at", "s", "c"}`: how far the access log was read, with what was settled and charged by
  it: all of it or, where the line is cut, nothing;
- `{"w"}`: what was used, when the journal was written anew.

Nothing is synced: what is written outlives the process, and with the machine's power the answers
that it counts are lost as well. A new journal replaces the old one when that is long.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from plinth.gateway.guard.core import Held, Reservation, Reservations

log = logging.getLogger(__name__)

LONGEST_BYTES = 4 * 2**20


class Clocks(Protocol):
    """What a journal's times are measured by."""

    @property
    def boot(self) -> str:
        """What changes when the machine starts anew."""
        ...

    def now(self) -> float:
        """Return seconds since the machine's start."""
        ...

    def wall(self) -> float:
        """Return seconds since 1970; anybody may set them."""
        ...


@dataclass(frozen=True, slots=True)
class Reading:
    """What one reading of the access log found.

    `cursors`: by file, the byte up to which it was read. `settled`: reservations and what they
    used, by unit. `charged`: what was used without one, and when.
    """

    cursors: Mapping[str, int]
    settled: tuple[tuple[str, Mapping[str, int] | None], ...] = ()
    charged: tuple[tuple[Held, float], ...] = ()


@dataclass(slots=True)
class Restored:
    """What a journal says. `cursors` None: no access log was ever read."""

    reservations: Reservations = field(default_factory=Reservations)
    cursors: dict[str, int] | None = None
    unreadable: int = 0


class Journal:
    """The file; one process at a time writes to it."""

    def __init__(self, path: Path, clocks: Clocks) -> None:
        self._path = path
        self._clocks = clocks
        self._descriptor = -1
        self._size = self._first_size = 0
        self._is_torn = False
        self._is_failing = False

    def open(self) -> Restored:
        """Return what was promised before, and begin to write on. Raises OSError."""
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            content = b""
        restored = restore(content, self._clocks)
        if restored.unreadable:
            log.warning("%d lines of `%s` cannot be read", restored.unreadable, self._path.name)
        self.rewrite(restored.reservations, restored.cursors)
        return restored

    def close(self) -> None:
        """Write no more."""
        os.close(self._descriptor)
        self._descriptor = -1

    @property
    def is_long(self) -> bool:
        """Say whether it is time to write it anew."""
        # Beside what it must hold: else it would be written again and again.
        return self._size - self._first_size > LONGEST_BYTES

    def reserve(self, made: Iterable[Reservation]) -> None:
        """Note reservations, before anybody is told of them."""
        self._append("".join(map(_reservation, made)))

    def give_back(self, names: Sequence[str]) -> None:
        """Note reservations whose answers nobody got."""
        self._append(_line({"x": names, "at": self._clocks.now()}))

    def abandon(self) -> None:
        """Note that Envoy went away."""
        self._append(_line({"a": 1, "at": self._clocks.now()}))

    def note(self, reading: Reading) -> None:
        """Note how far the access log was read, and what it said."""
        value = {
            "o": reading.cursors,
            "at": self._clocks.now(),
            "s": reading.settled,
            "c": reading.charged,
        }
        self._append(_line(value))

    def rewrite(self, reservations: Reservations, cursors: Mapping[str, int] | None) -> None:
        """Replace the file by one that says the same in few lines. Raises OSError."""
        clocks = self._clocks
        now = clocks.now()
        lines = [
            _line({"boot": clocks.boot, "at": now, "wall": clocks.wall()}),
            _line({"w": reservations.to_json()}),
            *map(_reservation, reservations.open()),
        ]
        if cursors is not None:
            lines.append(_line({"o": cursors, "at": now, "s": [], "c": []}))
        content = "".join(lines).encode()
        temporary = self._path.with_name(f".{self._path.name}.tmp")
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC
        descriptor = os.open(temporary, flags, 0o600)
        try:
            if os.write(descriptor, content) != len(content):
                raise OSError(f"`{temporary}` was not written as a whole")
            os.replace(temporary, self._path)
        except OSError:
            os.close(descriptor)
            raise
        if self._descriptor != -1:
            os.close(self._descriptor)
        self._descriptor = descriptor
        self._size = self._first_size = len(content)
        self._is_torn = False

    def _append(self, text: str) -> None:
        """Write whole lines. With a full disk it goes on without: refusing all would be worse."""
        content = text.encode()
        if self._is_torn:
            content = b"\n" + content
        try:
            written = os.write(self._descriptor, content)
        except OSError as err:
            written = 0
            self._complain(err.strerror or str(err))
        self._size += written
        if 0 < written < len(content):
            self._complain("the disk is full")
        if written:
            self._is_torn = written < len(content)
        if written == len(content) and self._is_failing:
            self._is_failing = False
            log.warning("`%s` can be written again", self._path.name)

    def _complain(self, why: str) -> None:
        if not self._is_failing:
            log.error("`%s`: %s; a restart will forget what is reserved now", self._path, why)
        self._is_failing = True


def _line(value: Any) -> str:
    return json.dumps(value, separators=(",", ":")) + "\n"


def _reservation(made: Reservation) -> str:
    # By hand: it stands on the path of every request. json.dumps takes three times as long.
    held = ",".join(f'[{_text(name)},"{unit}",{amount}]' for name, unit, amount in made.held)
    return f'{{"r":"{made.id}","at":{made.at:.3f},"h":[{held}]}}\n'


_texts: dict[str, str] = {}
_MOST_TEXTS = 10_000


def _text(name: str) -> str:
    found = _texts.get(name)
    if found is None:
        if len(_texts) >= _MOST_TEXTS:
            _texts.clear()
        found = _texts[name] = json.dumps(name)
    return found


def restore(content: bytes, clocks: Clocks) -> Restored:
    """Return what the lines of a journal come to, in the times of this boot's clock."""
    restored, now = Restored(), clocks.now()
    shift, is_another_boot = 0.0, False
    for line in content.split(b"\n"):
        if not line:
            continue
        try:
            value = json.loads(line)
            if "boot" in value:
                shift = _shift(value, clocks, now)
                is_another_boot |= value["boot"] != clocks.boot
            else:
                _apply(value, restored, shift, now)
        except (ValueError, KeyError, TypeError, AttributeError):
            restored.unreadable += 1
    if is_another_boot:
        restored.reservations.abandon(now)
    restored.reservations.expire(now)
    restored.reservations.forget(now)
    return restored


def _shift(header: Mapping[str, Any], clocks: Clocks, now: float) -> float:
    """Return what must be added to times behind this header.

    Another boot's clock began anew; only the wall's says how long ago that was. If that was set
    back, nothing is older than now.
    """
    if header["boot"] == clocks.boot:
        return 0.0
    age_s = max(0.0, clocks.wall() - float(header["wall"]))
    return now - age_s - float(header["at"])


def _apply(value: Mapping[str, Any], restored: Restored, shift: float, now: float) -> None:
    reservations = restored.reservations
    if "w" in value:
        for name, buckets in value["w"].items():
            for second, amount in buckets:
                reservations.charge(((name, "", int(amount)),), min(now, second + shift))
        return
    at = min(now, float(value["at"]) + shift)
    reservations.expire(at)
    if "r" in value:
        held = tuple((str(name), str(unit), int(amount)) for name, unit, amount in value["h"])
        reservations.hold(Reservation(str(value["r"]), at, held))
    elif "x" in value:
        for name in value["x"]:
            reservations.settle(name, {}, at)
    elif "a" in value:
        reservations.abandon(at)
    else:
        for name, used in value["s"]:
            reservations.settle(name, used, at)
        for charged, then in value["c"]:
            reservations.charge(
                tuple((n, u, int(a)) for n, u, a in charged), min(now, then + shift)
            )
        restored.cursors = {**(restored.cursors or {}), **value["o"]}
