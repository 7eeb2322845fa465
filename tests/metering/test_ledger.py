"""The ledger keeps records and cursors together, once, and across crashes."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from plinth.domain.usage import Gap, Meter, UsageRecord
from plinth.kit.clock import FakeClock
from plinth.kit.errors import Conflict, Temporary
from plinth.metering import ledger as ledger_module
from plinth.metering.counters import Counter, Series
from plinth.metering.ledger import Ledger, UsageTotal

START = datetime(2026, 3, 1, tzinfo=UTC)


def record(position: str, **changes: object) -> UsageRecord:
    fields: dict[str, object] = {
        "source": "gateway:a",
        "position": position,
        "meter": Meter.REQUESTS,
        "quantity": 1,
        "team": "ops",
        "workload": "endpoint/echo",
        "started_at": START,
        "ended_at": START + timedelta(seconds=1),
    }
    return UsageRecord.model_validate(fields | changes)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with closing(Ledger(tmp_path / "ledger.db")) as ledger:
        yield ledger


def test_records_come_back_as_they_were(ledger: Ledger) -> None:
    full = record("2", principal="p_1", run="r_1", request_id="id-1", quantity=0.25)
    ledger.commit("gateway:a", [record("1"), full], expected=None, cursor="3")
    assert ledger.records() == [record("1"), full]
    assert ledger.cursor("gateway:a") == "3"
    assert ledger.cursor("gateway:b") is None


def test_a_place_read_twice_fails_and_keeps_nothing_of_the_batch(ledger: Ledger) -> None:
    ledger.commit("gateway:a", [record("1")], expected=None, cursor="1")
    with pytest.raises(sqlite3.IntegrityError):
        ledger.commit("gateway:a", [record("2"), record("1")], expected="1", cursor="2")
    assert [item.position for item in ledger.records()] == ["1"]
    assert ledger.cursor("gateway:a") == "1"


def test_a_cursor_that_moved_meanwhile_fences_the_slower_reader(ledger: Ledger) -> None:
    ledger.commit("gateway:a", [record("1")], expected=None, cursor="1")
    for expected in (None, "0"):
        with pytest.raises(Conflict, match="another reader"):
            ledger.commit("gateway:a", [record("9")], expected=expected, cursor="9")
    assert len(ledger.records()) == 1


def test_a_request_counts_once_for_each_meter_wherever_it_was_seen(ledger: Ledger) -> None:
    first = record("1", request_id="same")
    other_meter = record("2", request_id="same", meter=Meter.SERVING_SECONDS)
    ledger.commit("gateway:a", [first, other_meter], expected=None, cursor="1")
    again = record("1", source="gateway:b", request_id="same")
    ledger.commit("gateway:b", [again], expected=None, cursor="1")
    assert ledger.records() == [first, other_meter]


def test_totals_sum_by_team_workload_and_meter_between_two_times(ledger: Ledger) -> None:
    late = START + timedelta(hours=2)
    ledger.commit(
        "gateway:a",
        [
            record("1"),
            record("2"),
            record("3", team="research"),
            record("4", started_at=late, ended_at=late),
        ],
        expected=None,
        cursor="4",
    )
    until = START + timedelta(hours=1)
    assert ledger.totals(START, until) == [
        UsageTotal("ops", "endpoint/echo", Meter.REQUESTS, 2.0, 2),
        UsageTotal("research", "endpoint/echo", Meter.REQUESTS, 1.0, 1),
    ]
    assert len(ledger.totals(START, until, team="research")) == 1
    assert ledger.totals(until, late) == []


def test_a_ledger_opened_again_has_everything(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with closing(Ledger(path)) as ledger:
        ledger.commit("gateway:a", [record("1")], expected=None, cursor="1")
    with closing(Ledger(path)) as ledger:
        assert ledger.records() == [record("1")]


def test_a_ledger_of_a_newer_plinth_is_refused_with_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    connection = sqlite3.connect(path)
    connection.execute("pragma user_version = 99")
    connection.close()
    with pytest.raises(Conflict, match="version 99") as caught:
        Ledger(path)
    assert "newer Plinth" in (caught.value.hint or "")


def test_a_locked_ledger_is_a_temporary_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("plinth.metering.ledger._BUSY_TIMEOUT_S", 0.0)
    path = tmp_path / "ledger.db"
    with (
        closing(Ledger(path)) as ledger,
        closing(sqlite3.connect(path, isolation_level=None)) as other,
    ):
        other.execute("begin immediate")
        with pytest.raises(Temporary, match="locked"):
            ledger.commit("gateway:a", [record("1")], expected=None, cursor="1")
        other.execute("rollback")
        ledger.commit("gateway:a", [record("1")], expected=None, cursor="1")


def test_a_reader_killed_inside_its_commit_leaves_neither_records_nor_cursor(
    tmp_path: Path,
) -> None:
    path = tmp_path / "ledger.db"
    Ledger(path).close()
    script = f"""
import os, signal
from plinth.metering.ledger import Ledger
def records():
    os.kill(os.getpid(), signal.SIGKILL)
    yield
Ledger(__import__("pathlib").Path({str(path)!r})).commit(
    "gateway:a", records(), expected=None, cursor="1"
)
"""
    ended = subprocess.run([sys.executable, "-c", script], check=False)
    assert ended.returncode == -9
    with closing(Ledger(path)) as ledger:
        assert ledger.records() == []
        assert ledger.cursor("gateway:a") is None


FIRST_VERSION = """
create table usage (source text not null, position text not null, meter text not null,
    quantity real not null, team text not null, workload text not null, principal text, run text,
    request_id text, started_at text not null, ended_at text not null,
    primary key (source, position)) without rowid;
create unique index usage_request on usage (request_id, meter) where request_id is not null;
create index usage_started on usage (started_at, team);
create table cursors (source text primary key, position text not null) without rowid;
insert into usage values ('gateway:a', '1', 'requests', 1.0, 'ops', 'endpoint/a', null, 'r_a',
    'q-1', '2026-01-01T00:00:00.000000Z', '2026-01-01T00:00:01.000000Z');
insert into cursors values ('gateway:a', '1');
pragma user_version = 1;
"""


def test_a_ledger_of_the_first_version_keeps_all_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with closing(sqlite3.connect(path)) as old:
        old.executescript(FIRST_VERSION)
    Ledger(path).close()
    with closing(Ledger(path)) as ledger:
        (kept,) = ledger.records()
        assert (kept.request_id, kept.replica, kept.cpu) == ("q-1", None, None)
        assert ledger.cursor("gateway:a") == "1"
        assert ledger.gaps() == []


def test_a_ledger_without_tokens_keeps_all_it_holds_and_takes_them(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with closing(sqlite3.connect(path)) as old:
        for statement in (FIRST_VERSION, ledger_module._UPGRADES[1], "pragma user_version = 2"):
            old.executescript(statement)
    with closing(Ledger(path)) as ledger, closing(Ledger(tmp_path / "new.db")) as new:
        (kept,) = ledger.records()
        assert (kept.estimated, kept.shadow, kept.deployment, kept.model) == (
            *(False, False),
            None,
            None,
        )
        tokens = record("2", meter=Meter.INPUT_TOKENS, quantity=7, estimated=True, model="m")
        ledger.commit("gateway:a", [tokens], expected="1", cursor="2")
        assert ledger.records() == [kept, tokens]
        assert ledger.counters() == []
        # What was read before and what a new ledger reads is one shape.
        new.commit("gateway:a", [kept, tokens], expected=None, cursor="2")
        assert new.dump() == ledger.dump()


REQUESTS_OF_OPS = Series("requests", (("team", "ops"), ("code", '2"xx')))


def test_counters_grow_with_the_cursor_or_not_at_all(tmp_path: Path) -> None:
    clock = FakeClock()
    began = clock.now()
    with closing(Ledger(tmp_path / "ledger.db", clock)) as ledger:
        ledger.commit("a", [], expected=None, cursor="1", counts={REQUESTS_OF_OPS: 2.0})
        clock.advance(60)
        ledger.commit("a", [], expected="1", cursor="2", counts={REQUESTS_OF_OPS: 0.5})
        with pytest.raises(Conflict):
            ledger.commit("a", [], expected="1", cursor="3", counts={REQUESTS_OF_OPS: 9.0})
    with closing(Ledger(tmp_path / "ledger.db", clock)) as ledger:
        assert ledger.counters() == [Counter(REQUESTS_OF_OPS, 2.5, began)]
        ledger.drop_counters(began + timedelta(seconds=60))
        assert len(ledger.counters()) == 1
        ledger.drop_counters(began + timedelta(seconds=61))
        assert ledger.counters() == []


def test_totals_tell_copies_apart_and_how_much_is_estimated(ledger: Ledger) -> None:
    tokens = {"meter": Meter.INPUT_TOKENS, "quantity": 10}
    ledger.commit(
        "gateway:a",
        [
            record("1", **tokens),
            record("2", **tokens, estimated=True),
            record("3", **tokens, shadow=True),
        ],
        expected=None,
        cursor="3",
    )
    assert ledger.totals(START, START + timedelta(hours=1)) == [
        UsageTotal("ops", "endpoint/echo", Meter.INPUT_TOKENS, 20.0, 2, estimated=10.0),
        UsageTotal("ops", "endpoint/echo", Meter.INPUT_TOKENS, 10.0, 1, shadow=True),
    ]


def test_a_request_is_found_by_its_id(tmp_path: Path) -> None:
    with closing(Ledger(tmp_path / "ledger.db")) as ledger:
        wanted = record("1", request_id="q-1", replica=1)
        ledger.commit("gateway:a", [wanted], expected=None, cursor="1")
        assert ledger.find_request("q-1") == wanted
        assert ledger.find_request("q-2") is None


def test_gaps_are_kept_once_with_their_place(tmp_path: Path) -> None:
    gap = Gap(source="envoy", position="1", reason="killed", started_at=START, ended_at=START)
    with closing(Ledger(tmp_path / "ledger.db")) as ledger:
        ledger.commit("envoy", [], expected=None, cursor="1", gaps=[gap])
        assert ledger.gaps() == [gap]
        with pytest.raises(Conflict):
            ledger.commit("envoy", [], expected=None, cursor="1", gaps=[gap])
        assert ledger.gaps() == [gap]


def test_of_many_gaps_the_newest_are_shown_and_all_are_counted(ledger: Ledger) -> None:
    gaps = [
        Gap(
            source="ends:a",
            position=str(second),
            reason="killed",
            started_at=START + timedelta(seconds=second),
            ended_at=START + timedelta(seconds=second + 1),
        )
        for second in range(5)
    ]
    ledger.commit("ends:a", [], expected=None, cursor="1", gaps=reversed(gaps))
    assert ledger.gaps() == gaps
    assert ledger.gaps(newest=2) == gaps[3:]
    assert ledger.count_gaps() == 5


def test_unreadable_lines_are_counted_with_their_cursor_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with closing(Ledger(path)) as ledger:
        ledger.commit("gateway:a", [], expected=None, cursor="1", unreadable=2)
        ledger.commit("gateway:b", [], expected=None, cursor="1", unreadable=1)
        ledger.commit("gateway:a", [], expected="1", cursor="2", unreadable=1)
        with pytest.raises(Conflict):
            ledger.commit("gateway:a", [], expected="1", cursor="3", unreadable=9)
    with closing(Ledger(path)) as ledger:
        assert ledger.count_unreadable() == 4


def test_a_dump_follows_identity_and_not_the_order_of_reading(tmp_path: Path) -> None:
    dumps = []
    for name, order in (("a", ("1", "2")), ("b", ("2", "1"))):
        with closing(Ledger(tmp_path / name)) as ledger:
            cursor = None
            for position in order:
                ledger.commit("gateway:a", [record(position)], expected=cursor, cursor=position)
                cursor = position
            dumps.append(ledger.dump())
    assert dumps[0] == dumps[1]
    assert dumps[0].count(b"\n") == 2


def test_a_sum_that_takes_long_holds_up_no_commit(ledger: Ledger) -> None:
    ledger.commit("gateway:a", [record("1")], expected=None, cursor="1")
    with ledger._reading() as reader:
        rows = reader.execute("select 1 from usage, (select 1 union all select 2)")
        rows.fetchone()
        ledger.commit("gateway:a", [record("2")], expected="1", cursor="2")
        assert len(ledger.records()) == 2
        rows.close()


def test_who_reads_cannot_write(ledger: Ledger) -> None:
    with ledger._reading() as reader, pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader.execute("delete from cursors")


def test_totals_of_a_time_are_searched_by_the_time(ledger: Ledger) -> None:
    plans: list[str] = []
    with ledger._reading() as reader:
        reader.set_trace_callback(plans.append)
    ledger.totals(START, START + timedelta(hours=1), team="ops")
    with ledger._reading() as reader:
        reader.set_trace_callback(None)
        plan = reader.execute(f"explain query plan {plans[-1]}").fetchall()
    assert any("SEARCH usage USING INDEX usage_started (started_at>? AND" in row[3] for row in plan)
