"""Reserve before a request is served, settle afterwards. Pure: no file, no socket, no clock.

For each account: what was used in the last minute, what is reserved and what is asked for are
together never above the limit, or the request is refused. All limits of a request have room, or
none is touched. Times are seconds of a clock that never goes back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from plinth.gateway.guard.cost import UNITS, Need
from plinth.gateway.guard.limit import Asked, GuardedLimit, LimitTable
from plinth.gateway.guard.window import WINDOW_S, Window

# Longer than nearly every answer takes; what was reserved by then is used.
LIFE_S = 900.0
# How long it is waited for the end of requests whose Envoy seems to be gone.
ABANDONED_S = 60.0

# What is reserved or charged: account, unit, how much.
Held = tuple[tuple[str, str, int], ...]


@dataclass(frozen=True, slots=True)
class Reservation:
    """What one request may use, held since `at` until it is settled or `LIFE_S` have passed."""

    id: str
    at: float
    held: Held


@dataclass(frozen=True, slots=True)
class Admitted:
    """A request that all its limits have room for. `remaining`: of `limit`, the tightest."""

    reservation: Reservation
    limit: GuardedLimit
    remaining: int


@dataclass(frozen=True, slots=True)
class Refused:
    """A request that `limit` has no room for.

    `used`, `reserved`: what counts for the limit now. `wait_s`: until enough of what is used has
    left the window; what is reserved may have been given back by then. `reset_s`: until all of it
    has left, were nothing more to come. `is_never`: the limit itself is too small for it.
    """

    limit: GuardedLimit
    asked: Asked
    need: Need
    used: int
    reserved: int
    wait_s: float
    reset_s: float
    is_never: bool

    @property
    def remaining(self) -> int:
        """How much the limit has left."""
        return max(0, self.limit.per_minute - self.used - self.reserved)


class _Account:
    """What counts for one limit, or for one team or key under it."""

    __slots__ = ("reserved", "window")

    def __init__(self) -> None:
        self.window = Window()
        self.reserved = 0


class Reservations:
    """Every account, and every reservation that is not settled."""

    def __init__(self) -> None:
        self._accounts: dict[str, _Account] = {}
        # The oldest first: all live equally long.
        self._open: dict[str, Reservation] = {}

    def __len__(self) -> int:
        return len(self._open)

    def decide(
        self, asked: Asked, limits: LimitTable, name: str, now: float
    ) -> Admitted | Refused | None:
        """Reserve under `name` what the request may use; None when no limit is about it."""
        found = limits.matching(asked)
        if not found:
            return None
        held: list[tuple[str, str, int]] = []
        tightest, least = found[0], -1
        for limit in found:
            need = UNITS[limit.unit].need(asked, limit)
            account = limit.account(asked)
            total = need.total
            left = self._left(account, limit, now) - total
            if left < 0:
                return self._refuse(asked, found, now)
            if least < 0 or left < least:
                tightest, least = limit, left
            held.append((account, limit.unit, total))
        reservation = Reservation(name, now, tuple(held))
        self.hold(reservation)
        return Admitted(reservation, tightest, least)

    def _left(self, name: str, limit: GuardedLimit, now: float) -> int:
        account = self._accounts.get(name)
        if account is None:
            return limit.per_minute
        account.window.forget(now)
        return limit.per_minute - account.window.used - account.reserved

    def _refuse(self, asked: Asked, found: Iterable[GuardedLimit], now: float) -> Refused:
        """Return the refusal by the limit that a caller has to wait for longest."""
        refusals = (self._judge(asked, limit, now) for limit in found)
        return max(
            (each for each in refusals if each is not None),
            key=lambda each: (each.is_never, each.wait_s),
        )

    def _judge(self, asked: Asked, limit: GuardedLimit, now: float) -> Refused | None:
        need = UNITS[limit.unit].need(asked, limit)
        account = self._accounts.get(limit.account(asked)) or _Account()
        account.window.forget(now)
        used, reserved = account.window.used, account.reserved
        if used + reserved + need.total <= limit.per_minute:
            return None
        return Refused(
            limit=limit,
            asked=asked,
            need=need,
            used=used,
            reserved=reserved,
            wait_s=account.window.wait_s(used + need.total - limit.per_minute, now),
            reset_s=float(WINDOW_S) if reserved else account.window.wait_s(used, now),
            is_never=need.total > limit.per_minute,
        )

    def hold(self, reservation: Reservation) -> None:
        """Count a reservation that was decided, now or before a restart."""
        self._open[reservation.id] = reservation
        for name, _, amount in reservation.held:
            self._account(name).reserved += amount

    def settle(self, name: str, used: Mapping[str, int] | None, now: float) -> bool:
        """Turn a reservation into what was used, by unit; None: all of it. Say whether it was open.

        A unit that is not named was not used. Settling again changes nothing.
        """
        reservation = self._open.pop(name, None)
        if reservation is None:
            return False
        for account_name, unit, amount in reservation.held:
            account = self._account(account_name)
            account.reserved -= amount
            spent = amount if used is None else used.get(unit, 0)
            if spent:
                account.window.add(spent, now)
        return True

    def charge(self, used: Held, at: float) -> None:
        """Count what was used without a reservation."""
        for name, _, amount in used:
            self._account(name).window.add(amount, at)

    def expire(self, now: float) -> int:
        """Charge in full what nobody has settled in `LIFE_S`; return how many there were."""
        late = []
        for reservation in self._open.values():
            if reservation.at + LIFE_S > now:
                break
            late.append(reservation)
        for each in late:
            self.settle(each.id, None, each.at + LIFE_S)
        return len(late)

    def abandon(self, now: float) -> None:
        """Let every reservation end in `ABANDONED_S`, if nobody settles it: its Envoy has gone."""
        latest = now + ABANDONED_S - LIFE_S
        self._open = {
            name: each if each.at <= latest else replace(each, at=latest)
            for name, each in self._open.items()
        }

    def forget(self, now: float) -> None:
        """Drop the accounts in which nothing counts any more."""
        for name, account in list(self._accounts.items()):
            account.window.forget(now)
            if not account.reserved and not account.window.used:
                del self._accounts[name]

    def counted(self, name: str, now: float) -> tuple[int, int]:
        """Return what is used and what is reserved in one account."""
        account = self._accounts.get(name) or _Account()
        account.window.forget(now)
        return account.window.used, account.reserved

    def open(self) -> list[Reservation]:
        """Return the reservations that are not settled, the oldest first."""
        return list(self._open.values())

    def to_json(self) -> dict[str, Any]:
        """Return what was used, by account; `open` has the rest."""
        found = {name: account.window.to_json() for name, account in self._accounts.items()}
        return {name: buckets for name, buckets in found.items() if buckets}

    def _account(self, name: str) -> _Account:
        found = self._accounts.get(name)
        if found is None:
            found = self._accounts[name] = _Account()
        return found
