"""The guard's decisions, against a simulation that knows what every request truly uses."""

from __future__ import annotations

import heapq
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plinth.gateway.guard.core import ABANDONED_S, LIFE_S, Admitted, Refused, Reservations
from plinth.gateway.guard.limit import Asked, GuardedLimit, LimitTable

TEAM = GuardedLimit("team", 1000, team="research")
KEY = GuardedLimit("key", 300, each="key")
LIMITS = LimitTable([TEAM])


def ask(output: int, key: str = "k_1", body_bytes: int = 32) -> Asked:
    """A request of 16 input tokens and `output` of output."""
    return Asked(team="research", key=key, body_bytes=body_bytes, max_tokens=output)


def admitted(found: Admitted | Refused | None) -> Admitted:
    assert isinstance(found, Admitted), found
    return found


def refused(found: Admitted | Refused | None) -> Refused:
    assert isinstance(found, Refused), found
    return found


def test_what_no_limit_is_about_passes_unnoted() -> None:
    reservations = Reservations()
    assert reservations.decide(Asked(team="ops", max_tokens=10**9), LIMITS, "a", 0.0) is None
    assert len(reservations) == 0


def test_a_request_reserves_its_upper_bound_until_it_is_settled() -> None:
    reservations = Reservations()
    first = admitted(reservations.decide(ask(484), LIMITS, "a", 0.0))
    assert first.remaining == 500
    assert reservations.counted("team", 0.0) == (0, 500)
    assert reservations.settle("a", {"tokens": 40}, 2.0)
    assert reservations.counted("team", 2.0) == (40, 0)
    assert not reservations.settle("a", {"tokens": 40}, 3.0)
    assert reservations.counted("team", 3.0) == (40, 0)
    assert reservations.counted("team", 63.0) == (0, 0)


def test_what_was_never_settled_is_charged_in_full_when_its_life_ends() -> None:
    reservations = Reservations()
    admitted(reservations.decide(ask(484), LIMITS, "a", 0.0))
    admitted(reservations.decide(ask(84), LIMITS, "b", 1.0))
    assert reservations.expire(LIFE_S - 0.1) == 0
    assert reservations.expire(LIFE_S) == 1
    assert reservations.counted("team", LIFE_S) == (500, 100)
    assert not reservations.settle("a", {"tokens": 1}, LIFE_S)


def test_what_its_envoy_left_behind_is_charged_after_a_minute_and_not_an_hour() -> None:
    reservations = Reservations()
    admitted(reservations.decide(ask(84), LIMITS, "a", 0.0))
    admitted(reservations.decide(ask(184), LIMITS, "b", LIFE_S - 30))
    reservations.abandon(LIFE_S - 20)
    admitted(reservations.decide(ask(284), LIMITS, "c", LIFE_S - 10))
    assert reservations.settle("b", {"tokens": 7}, LIFE_S - 5)
    assert reservations.expire(LIFE_S) == 1
    assert reservations.counted("team", LIFE_S) == (107, 300)
    admitted(reservations.decide(ask(84), LIMITS, "d", LIFE_S))
    reservations.abandon(LIFE_S)
    assert reservations.expire(LIFE_S + ABANDONED_S) == 2
    assert reservations.counted("team", LIFE_S + ABANDONED_S + 2) == (400, 0)


def test_more_than_was_reserved_is_charged_as_it_was() -> None:
    reservations = Reservations()
    admitted(reservations.decide(ask(84), LIMITS, "a", 0.0))
    reservations.settle("a", {"tokens": 1500}, 0.0)
    assert reservations.counted("team", 0.0) == (1500, 0)
    assert refused(reservations.decide(ask(1), LIMITS, "b", 1.0)).remaining == 0


def test_all_limits_have_room_or_none_is_touched() -> None:
    both, reservations = LimitTable([TEAM, KEY]), Reservations()
    assert admitted(reservations.decide(ask(184), both, "a", 0.0)).limit is KEY
    found = refused(reservations.decide(ask(184), both, "b", 0.0))
    assert (found.limit, found.reserved, found.is_never) == (KEY, 200, False)
    assert reservations.counted("team", 0.0) == (0, 200)
    # Another key has an account of its own under the same limit.
    admitted(reservations.decide(ask(184, key="k_2"), both, "c", 0.0))
    assert reservations.counted("key:k_2", 0.0) == (0, 200)
    assert reservations.counted("team", 0.0) == (0, 400)


def test_a_request_larger_than_the_limit_is_told_so() -> None:
    found = refused(Reservations().decide(ask(985), LIMITS, "a", 0.0))
    assert found.is_never
    assert (found.need.input, found.need.output) == (16, 985)
    assert not refused(_full().decide(ask(984), LIMITS, "b", 0.0)).is_never


def _full() -> Reservations:
    reservations = Reservations()
    admitted(reservations.decide(ask(984), LIMITS, "full", 0.0))
    return reservations


def test_the_wait_of_a_refusal_is_when_enough_will_have_left() -> None:
    reservations = Reservations()
    for second, amount in ((0, 600), (30, 300)):
        admitted(reservations.decide(ask(amount - 16), LIMITS, str(second), float(second)))
        reservations.settle(str(second), None, float(second))
    found = refused(reservations.decide(ask(284), LIMITS, "x", 40.0))
    assert (found.used, found.wait_s, found.reset_s) == (900, 21.0, 51.0)
    assert isinstance(reservations.decide(ask(284), LIMITS, "x", 60.9), Refused)
    assert isinstance(reservations.decide(ask(284), LIMITS, "x", 61.0), Admitted)


def test_a_refusal_by_what_is_reserved_alone_asks_for_no_long_wait() -> None:
    found = refused(_full().decide(ask(50), LIMITS, "b", 5.0))
    assert (found.reserved, found.wait_s, found.reset_s) == (1000, 0.0, 60.0)


def test_a_limit_that_was_raised_or_lowered_keeps_what_was_used() -> None:
    reservations = _full()
    raised = LimitTable([GuardedLimit("team", 1100, team="research")])
    admitted(reservations.decide(ask(84), raised, "b", 1.0))
    assert isinstance(reservations.decide(ask(1), raised, "c", 1.0), Refused)


def test_accounts_of_which_nothing_counts_are_forgotten() -> None:
    reservations = _full()
    reservations.settle("full", {"tokens": 5}, 1.0)
    reservations.forget(30.0)
    assert reservations.to_json() == {"team": [[1, 5]]}
    reservations.forget(70.0)
    assert reservations.to_json() == {}


def test_the_table_finds_every_limit_that_a_request_counts_for() -> None:
    limits = [
        GuardedLimit("all", 1),
        GuardedLimit("e", 1, endpoint="support"),
        GuardedLimit("et", 1, endpoint="support", team="research"),
        GuardedLimit("et2", 1, endpoint="support", team="ops"),
        GuardedLimit("k", 1, key="k_1"),
        GuardedLimit("k2", 1, key="k_2"),
        GuardedLimit("m", 1, model="gpt"),
    ]
    table = LimitTable(limits)
    found = table.matching(Asked(endpoint="support", team="research", key="k_1"))
    assert {each.id for each in found} == {"all", "e", "et", "k"}
    assert len(table) == 7


class Simulation:
    """Requests that come, run for a while and use what they use; every admission is checked."""

    def __init__(self, seed: int, limit: int) -> None:
        self.random = random.Random(seed)
        self.limits = LimitTable([GuardedLimit("team", limit, team="research")])
        self.limit = limit
        self.reservations = Reservations()
        self.running: dict[str, int] = {}
        self.used: list[tuple[float, int]] = []
        self.admitted = self.refused = 0

    def truly_used(self, now: float) -> int:
        return sum(amount for at, amount in self.used if now - at < 60)

    def arrive(self, name: str, now: float) -> int | None:
        want = self.random.randint(1, self.limit // 4)
        found = self.reservations.decide(ask(want), self.limits, name, now)
        held, used = sum(self.running.values()), self.truly_used(now)
        within_61 = sum(amount for at, amount in self.used if now - at <= 61)
        if isinstance(found, Admitted):
            self.admitted += 1
            self.running[name] = want + 16
            assert used + held + want + 16 <= self.limit
            return self.random.randint(0, want + 16)
        assert isinstance(found, Refused)
        self.refused += 1
        # Not one is refused while there is room besides what is reserved and was used.
        assert within_61 + held + want + 16 > self.limit
        return None

    def run(self, clients: int, seconds: float) -> None:
        """Let clients ask again and again; one that was refused waits a second."""
        events = [(self.random.random(), number, f"c{number}", -1) for number in range(clients)]
        heapq.heapify(events)
        count = clients
        while events and events[0][0] < seconds:
            now, _, name, used = heapq.heappop(events)
            count += 1
            if used >= 0:
                del self.running[name]
                assert self.reservations.settle(name, {"tokens": used}, now)
                self.used.append((now, used))
                event = (now + self.random.random(), count, f"n{count}", -1)
            elif (will_use := self.arrive(name, now)) is not None:
                event = (now + self.random.expovariate(1.0), count, name, will_use)
            else:
                event = (now + 1.0, count, f"n{count}", -1)
            heapq.heappush(events, event)
            assert self.truly_used(now) <= self.limit


@settings(max_examples=40)
@given(st.integers(0, 2**32), st.integers(100, 5000), st.integers(1, 20))
def test_no_schedule_uses_more_than_the_limit_or_refuses_what_has_room(
    seed: int, limit: int, clients: int
) -> None:
    Simulation(seed, limit).run(clients, 100.0)


@pytest.mark.parametrize("seed", [1, 2])
def test_two_hundred_clients_share_ten_thousand_tokens_exactly(seed: int) -> None:
    simulation = Simulation(seed, 10_000)
    simulation.run(200, 65.0)
    assert simulation.refused > 0
    assert simulation.admitted > 10
