"""One row, one holder; a hint is never lost; who lost the lease changes nothing."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from sqlalchemy import (
    Column,
    Connection,
    MetaData,
    String,
    Table,
    create_engine,
    insert,
    select,
    update,
)

from plinth.store.leases import (
    Claim,
    Holder,
    any_due,
    apply_leased,
    claim_due,
    due_now,
    release_all,
    rouse_all,
)
from plinth.store.runs import want_stop
from plinth.store.session import Database
from plinth.store.tables import Utc, run
from tests.store.rows import NOW, later, plan_of, run_in

ONE, OTHER = Holder.begin("control@1"), Holder.begin("control-2@1")


def claim(connection: Connection, seconds: float = 0, limit: int = 10) -> list[Claim]:
    return claim_due(connection, run, holder=ONE, now=later(seconds), lease_s=60, limit=limit)


def test_a_new_row_is_due_and_claimed_by_one(database: Database) -> None:
    with database.write() as connection:
        run_in(connection, "r_a")
        assert any_due(connection, run, NOW)
        (mine,) = claim(connection)
        assert mine.key == "r_a"
        assert not any_due(connection, run, NOW)
        assert claim(connection) == []


def test_what_is_due_longest_comes_first_and_no_more_than_asked(database: Database) -> None:
    with database.write() as connection:
        for name, at in (("r_b", 2), ("r_a", 3), ("r_c", 1)):
            run_in(connection, name, created_at=later(at))
        assert [c.key for c in claim(connection, 10, limit=2)] == ["r_c", "r_b"]


def test_what_is_due_later_is_not_claimed_yet(database: Database) -> None:
    with database.write() as connection:
        run_in(connection, "r_a", created_at=later(5))
        assert claim(connection, 4.999) == []
        assert len(claim(connection, 5)) == 1


def test_applying_writes_and_gives_the_lease_back(database: Database) -> None:
    with database.write() as connection:
        run_in(connection, "r_a")
        (mine,) = claim(connection)
        assert apply_leased(connection, run, mine, {"reason": "Seen"}, later(30))
        row = connection.execute(select(run)).one()
        assert (row.reason, row.lease_token, row.lease_until) == ("Seen", None, None)
        assert row.due_at == later(30)
        assert not apply_leased(connection, run, mine, {"reason": "Again"}, None)


def test_a_row_without_a_next_time_waits_for_a_hint(database: Database) -> None:
    with database.write() as connection:
        run_in(connection, "r_a")
        (mine,) = claim(connection)
        apply_leased(connection, run, mine, {}, None)
        assert claim(connection, 10**6) == []
        want_stop(connection, "r_a", later(5))
        assert len(claim(connection, 5)) == 1


def test_a_hint_during_a_lease_is_seen_after_it(database: Database) -> None:
    with database.write() as connection:
        run_in(connection, "r_a")
        (mine,) = claim(connection)
        want_stop(connection, "r_a", later(1))
        assert claim(connection, 2) == []
        apply_leased(connection, run, mine, {}, later(1000))
        assert len(claim(connection, 2)) == 1


def test_an_expired_lease_is_taken_over_and_its_old_holder_changes_nothing(
    database: Database,
) -> None:
    with database.write() as connection:
        run_in(connection, "r_a")
        (old,) = claim(connection)
        assert claim(connection, 59.9) == []
        (new,) = claim(connection, 60.1)
        assert not apply_leased(connection, run, old, {"reason": "Stale"}, None)
        assert connection.execute(select(run.c.reason)).scalar() == "Accepted"
        assert apply_leased(connection, run, new, {"reason": "Fresh"}, None)


def test_a_hint_at_the_very_end_of_a_lease_is_seen(database: Database) -> None:
    with database.write() as connection:
        run_in(connection, "r_a")
        (mine,) = claim(connection)
        want_stop(connection, "r_a", later(60))
        apply_leased(connection, run, mine, {}, None)
        assert len(claim(connection, 60)) == 1


def test_rows_that_are_skipped_are_neither_due_nor_claimed(database: Database) -> None:
    with database.write() as connection:
        for name in ("r_a", "r_b"):
            run_in(connection, name)
        taken = claim_due(connection, run, holder=ONE, now=NOW, lease_s=60, limit=9, skip=["r_a"])
        assert [c.key for c in taken] == ["r_b"]
        assert not any_due(connection, run, NOW, ["r_a"])


def test_what_was_written_before_the_clock_was_set_back_is_due(database: Database) -> None:
    with database.write() as connection:
        for name in ("r_held", "r_waits"):
            run_in(connection, name, created_at=later(3600))
        (held, waits) = claim(connection, 3600)
        apply_leased(connection, run, waits, {}, later(3605))
        assert {c.key for c in claim(connection)} == {"r_held", "r_waits"}
        assert not apply_leased(connection, run, held, {}, None)


def test_after_the_clock_was_set_back_nothing_waits_and_leases_stay(database: Database) -> None:
    with database.write() as connection:
        for name in ("r_held", "r_waits", "r_rests"):
            run_in(connection, name)
        held, waits, rests = sorted(claim(connection), key=lambda each: each.key != "r_held")
        for each, due_at in ((waits, later(300)), (rests, None)):
            assert apply_leased(connection, run, each, {}, due_at)
        rouse_all(connection, run, later(-100))
        assert any_due(connection, run, later(-100))
        assert [c.key for c in claim(connection, -100)] == [waits.key]
        assert apply_leased(connection, run, held, {}, None)


def test_the_scan_reads_only_rows_that_somebody_waits_for(database: Database) -> None:
    plans = plan_of(database, lambda connection: any_due(connection, run, NOW, ["r_a"]))
    plans += plan_of(database, claim)
    assert len(plans) >= 2
    assert all("ix_run_due_at" in plan for plan in plans if "run" in plan), plans
    with database.write() as connection:
        run_in(connection, "r_a")
        (mine,) = claim(connection)
        apply_leased(connection, run, mine, {"phase": "failed"}, None)
        assert connection.execute(select(run.c.due_at)).scalar() is None


def test_a_new_life_frees_what_its_earlier_ones_held(database: Database) -> None:
    with database.write() as connection:
        run_in(connection, "r_a")
        run_in(connection, "r_b", created_at=later(500))
        (old,) = claim(connection)
        release_all(connection, run, later(1), Holder.begin(ONE.name))
        assert [c.key for c in claim(connection, 1)] == ["r_a"]
        assert not apply_leased(connection, run, old, {}, None)


def test_two_claimers_never_get_the_same_row(database: Database) -> None:
    with database.write() as connection:
        for number in range(6):
            run_in(connection, f"r_{number}")
    with database.write() as connection:
        first = claim(connection, limit=4)
    with database.write() as connection:
        second = claim(connection, limit=4)
    keys = [c.key for c in (*first, *second)]
    assert len(keys) == len(set(keys)) == 6


def test_a_new_life_frees_nothing_of_another_control_plane(database: Database) -> None:
    with database.write() as connection:
        run_in(connection, "r_a")
        (mine,) = claim(connection)
        for other in (OTHER, Holder.begin("control"), Holder.begin("control@")):
            release_all(connection, run, later(1), other)
        assert claim(connection, 1) == []
        assert mine.token.startswith(f"{ONE}.")
        assert len(mine.token) <= 40
        assert apply_leased(connection, run, mine, {}, None)


def test_a_hint_by_a_clock_that_is_ahead_counts_from_now(database: Database) -> None:
    with database.write() as connection:
        run_in(connection, "r_a")
        (mine,) = claim(connection)
        apply_leased(connection, run, mine, {}, None)
        ahead = datetime.now(UTC) + timedelta(hours=1)
        want_stop(connection, "r_a", ahead)
        due_at = connection.execute(select(run.c.due_at)).scalar_one()
        # One machine has one clock; several have the database's.
        is_shared = connection.dialect.name == "postgresql"
        assert due_at < datetime.now(UTC) + timedelta(seconds=60) if is_shared else due_at == ahead


# -- any order of claims, hints, expiries, new lives and writes ------------------------------------

_TABLE = Table(
    "thing",
    MetaData(),
    Column("id", String, primary_key=True),
    Column("value", String),
    Column("due_at", Utc),
    Column("lease_token", String),
    Column("lease_until", Utc),
)
_LEASE_S = 10.0
KEYS = ("a", "b")
HOLDERS = (ONE, OTHER)


@dataclass
class Held:
    """What one claimer believes: it has the row until it hears otherwise.

    `is_reckoned`: the clock by which the lease counts was not set since.
    """

    claim: Claim
    holder: Holder
    until: float
    is_reckoned: bool = True


class Leases(RuleBasedStateMachine):
    """Compares the columns with what two claimers believe.

    `now` is the clock of the leases, which may be set; `passed` the seconds that really passed,
    by which a claimer knows how long its orders are valid.
    """

    def __init__(self) -> None:
        super().__init__()
        self.engine = create_engine("sqlite://", creator=lambda: sqlite3.connect(":memory:"))
        self.connection = self.engine.connect()
        _TABLE.metadata.create_all(self.connection)
        self.now = self.passed = 0.0
        self.newest: dict[str, Held] = {}
        self.stale: list[Held] = []
        self.hinted: dict[str, float] = {}
        self.values: dict[str, str] = dict.fromkeys(KEYS, "0")
        self.writes = 0

    def teardown(self) -> None:
        with closing(self.connection):
            pass
        self.engine.dispose()

    @initialize()
    def add(self) -> None:
        for key in KEYS:
            self.connection.execute(insert(_TABLE).values(id=key, value="0", due_at=NOW))

    @rule(seconds=st.sampled_from([0.5, 3.0, 10.0, 11.0]))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.passed += seconds

    @rule(seconds=st.sampled_from([-3600.0, -5.0, 5.0, 3600.0]))
    def set_the_clock(self, seconds: float) -> None:
        self.now += seconds
        for held in (*self.newest.values(), *self.stale):
            held.is_reckoned = False

    @rule(key=st.sampled_from(KEYS))
    def give_hint(self, key: str) -> None:
        due_at = due_now(self.connection, _TABLE, later(self.now))
        self.connection.execute(update(_TABLE).where(_TABLE.c.id == key).values(due_at=due_at))
        self.hinted[key] = self.now

    @rule(holder=st.sampled_from(HOLDERS), limit=st.integers(1, 2))
    def take(self, holder: Holder, limit: int) -> None:
        claims = claim_due(
            self.connection,
            _TABLE,
            holder=holder,
            now=later(self.now),
            lease_s=_LEASE_S,
            limit=limit,
        )
        for claim in claims:
            before = self.newest.get(claim.key)
            if before is not None:
                assert not self.may_order(before), "claimed while another's orders are valid"
                self.stale.append(before)
            self.newest[claim.key] = Held(claim, holder, self.passed + _LEASE_S)
            self.hinted.pop(claim.key, None)

    def may_order(self, held: Held) -> bool:
        """Tell whether an engine would take an order that was given under the claim."""
        return held.is_reckoned and self.passed < held.until

    @rule(key=st.sampled_from(KEYS), again=st.sampled_from([None, 0.0, 5.0]))
    def write(self, key: str, again: float | None) -> None:
        if key not in self.newest:
            return
        held = self.newest.pop(key)
        self.writes += 1
        due_at = None if again is None else later(self.now + again)
        value = {"value": str(self.writes)}
        assert apply_leased(self.connection, _TABLE, held.claim, value, due_at)
        self.values[key] = str(self.writes)
        self.stale.append(held)

    @rule()
    def write_late(self) -> None:
        for old in self.stale:
            assert not apply_leased(self.connection, _TABLE, old.claim, {"value": "stale"}, None)

    @rule(holder=st.sampled_from(HOLDERS))
    def begin_a_new_life(self, holder: Holder) -> None:
        release_all(self.connection, _TABLE, later(self.now), Holder.begin(holder.name))
        for key, held in list(self.newest.items()):
            if held.holder == holder:
                # It was killed before: nothing of it gives orders.
                held.is_reckoned = False
                self.stale.append(self.newest.pop(key))
                self.hinted[key] = self.now

    @invariant()
    def only_the_newest_holder_writes(self) -> None:
        rows = {row.id: row for row in self.connection.execute(select(_TABLE))}
        assert {key: row.value for key, row in rows.items()} == {
            key: self.values[key] for key in rows
        }
        tokens = {key: row.lease_token for key, row in rows.items() if row.lease_token}
        assert tokens == {key: held.claim.token for key, held in self.newest.items()}

    @invariant()
    def no_hint_is_lost(self) -> None:
        rows = {row.id: row for row in self.connection.execute(select(_TABLE))}
        for key, at in self.hinted.items():
            due_at = rows[key].due_at
            assert due_at is not None, "a hint was lost"
            assert due_at <= later(at), "a hint was put off"


Leases.TestCase.settings = settings(max_examples=30, stateful_step_count=30)
TestLeases = Leases.TestCase
