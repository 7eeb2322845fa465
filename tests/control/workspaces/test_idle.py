"""When a workspace stops by itself: from several signals, and never while a cell runs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from plinth.control.workspaces.idle import Verdict, countdown_s, judge, next_stop
from plinth.control.workspaces.probe import Seen
from plinth.domain.workspace import Schedule, Workspace
from plinth.store.workspaces import Activity

BEGIN = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)


def at(minutes: float) -> datetime:
    return BEGIN + timedelta(minutes=minutes)


def workspace(**fields: Any) -> Workspace:
    known = {"kind": "workspace", "name": "lab", "idle_stop": "30m"}
    return Workspace.model_validate({**known, **fields})


def seen(active: float = 0, **fields: Any) -> Seen:
    return Seen.model_validate({"active_at": at(active), **fields})


def kernel(state: str = "idle", active: float = 0, name: str = "train.ipynb") -> dict[str, Any]:
    return {"name": name, "state": state, "active_at": at(active)}


def look(
    minutes: float,
    told: Seen | None,
    before: Activity | None = None,
    *,
    free: int = 10**12,
    **fields: Any,
) -> Verdict:
    return judge(
        workspace(**fields),
        before or Activity(),
        told,
        since=BEGIN,
        now=at(minutes),
        disk_free_bytes=free,
    )


def test_it_stops_after_the_time_without_work_and_says_so_before() -> None:
    assert look(10, seen()).state == "Open"
    assert look(10, seen()).activity.stops_at == at(30)
    told = look(26, seen())
    assert (told.state, told.reason) == ("Idle", None)
    assert told.message == "stops in 4m 00s: nobody works in it"
    ended = look(30, seen())
    assert ended.reason == "IdleStopped"
    assert ended.message == "nobody worked in it for 30m 00s"


def test_a_cell_that_runs_keeps_it_open_however_long() -> None:
    told = look(60 * 24, seen(kernels=[kernel("busy")]))
    assert (told.state, told.reason) == ("Busy", None)
    assert told.message == "a cell of `train.ipynb` runs"
    assert told.activity.active_at == at(60 * 24)


@pytest.mark.parametrize(
    "signal",
    [
        {"active": 25},
        {"kernels": [kernel(active=25)]},
        {"terminals": [{"active_at": at(25)}]},
    ],
)
def test_work_of_every_kind_puts_it_off(signal: dict[str, Any]) -> None:
    # The same kernels and terminals were there before: only what they did counts.
    counts = {
        "kernels": len(signal.get("kernels", ())),
        "terminals": len(signal.get("terminals", ())),
    }
    before = Activity(seen_at=at(29), active_at=at(0), **counts)
    told = look(40, seen(**signal), before)
    assert told.reason is None
    assert told.activity.stops_at == at(55)


def test_a_process_that_computes_is_work_and_an_idle_kernel_s_own_use_is_none() -> None:
    assert look(100, seen(cpu=0.5)).reason is None
    assert look(100, seen(cpu=0.05)).reason == "IdleStopped"


def test_who_has_it_open_gets_the_countdown_on_top() -> None:
    before = Activity(seen_at=at(29), connections=1)
    told = look(31, seen(connections=1), before)
    assert told.reason is None
    assert told.activity.stops_at == at(35)
    assert look(35, seen(connections=1), before).reason == "IdleStopped"


def test_opening_or_closing_something_is_work() -> None:
    for fields in (
        {"connections": 1},
        {"kernels": [kernel()]},
        {"terminals": [{"active_at": at(0)}]},
    ):
        told = look(50, seen(**fields), Activity(seen_at=at(49), active_at=at(0)))
        assert told.activity.active_at == at(50)


def test_one_that_does_not_say_is_not_stopped_for_being_idle() -> None:
    told = look(300, None, Activity(active_at=at(0)))
    assert (told.state, told.reason) == ("Open", None)
    assert "does not say" in told.message


def test_the_longest_time_ends_it_busy_or_not_or_silent() -> None:
    for said in (seen(kernels=[kernel("busy")]), None):
        told = look(240, said, max_time="4h")
        assert told.reason == "TimeIsUp"
        assert told.message == "its longest time of 4h 00m is over"
    assert not look(239, seen(active=238), max_time="4h").activity.can_stay
    gpu = {"profile": "gpu", "gpu": {"reason": "x", "max_time": "1h"}}
    assert look(60, seen(active=59), **gpu).reason == "TimeIsUp"


def test_the_schedule_stops_it_but_waits_for_a_cell() -> None:
    schedule = {"schedule": {"stop_at": "19:00", "timezone": "UTC"}}
    evening = 10 * 60
    assert look(evening - 3, seen(active=evening - 4), **schedule).state == "Idle"
    told = look(evening, seen(active=evening), **schedule)
    assert (told.reason, told.message) == ("ScheduleStopped", "it stops at 19:00 UTC every day")
    busy = look(evening + 5, seen(kernels=[kernel("busy")]), **schedule)
    assert busy.reason is None
    assert busy.message.endswith("runs; it stops when that is done")


def test_who_asks_to_stay_has_the_schedule_wait() -> None:
    schedule = {"schedule": {"stop_at": "19:00", "timezone": "UTC"}}
    before = Activity(seen_at=at(599), active_at=at(599), stay_until=at(660))
    told = look(600, seen(active=600), before, **schedule)
    assert told.reason is None
    assert told.activity.stay_until == at(660)
    assert look(660, seen(active=659), before, **schedule).reason == "ScheduleStopped"


@pytest.mark.parametrize(
    ("after", "stop_at", "zone", "stops"),
    [
        ("2026-11-23T09:00+00:00", "19:00", "UTC", "2026-11-23T19:00+00:00"),
        ("2026-11-23T19:00+00:00", "19:00", "UTC", "2026-11-24T19:00+00:00"),
        ("2026-11-23T20:00+00:00", "19:00", "UTC", "2026-11-24T19:00+00:00"),
        ("2026-11-23T09:00+00:00", "19:00", "Europe/Berlin", "2026-11-23T18:00+00:00"),
        ("2026-07-23T09:00+00:00", "19:00", "Europe/Berlin", "2026-07-23T17:00+00:00"),
        ("2026-11-23T23:30+00:00", "01:00", "Asia/Tokyo", "2026-11-24T16:00+00:00"),
        ("2026-10-24T20:00+00:00", "02:30", "Europe/Berlin", "2026-10-25T00:30+00:00"),
    ],
)
def test_the_schedule_is_read_in_its_own_time_zone(
    after: str, stop_at: str, zone: str, stops: str
) -> None:
    found = next_stop(Schedule(stop_at=stop_at, timezone=zone), datetime.fromisoformat(after))
    assert found == datetime.fromisoformat(stops)
    assert found.tzinfo is UTC


def test_without_a_time_zone_it_is_the_machine_s_own() -> None:
    found = next_stop(Schedule(stop_at="19:00"), BEGIN)
    assert BEGIN < found <= BEGIN + timedelta(days=1)
    assert found.astimezone().strftime("%H:%M") == "19:00"


def test_one_that_outgrows_its_memory_ends() -> None:
    assert look(1, seen(memory_bytes=2_400_000_000)).reason is None
    told = look(1, seen(memory_bytes=2_600_000_000, kernels=[kernel("busy")]))
    assert told.reason == "OutOfMemory"
    assert told.message == "it used 2.6 GB of memory and has 2.0 GB"


def test_where_the_disk_runs_full_who_writes_ends_and_nobody_else() -> None:
    before = Activity(written_bytes=10**9)
    writer, reader = seen(written_bytes=3 * 10**9), seen(written_bytes=10**9)
    assert look(1, writer, before, free=10**9).reason == "DiskFull"
    assert look(1, reader, before, free=10**9).reason is None
    assert look(1, writer, before).reason is None
    assert look(1, None, before, free=10**9).reason is None


def test_the_first_cell_is_counted_from_the_start_and_kept() -> None:
    told = look(2, seen(first_cell_at=at(1)), Activity(ready_s=3.0))
    assert (told.activity.first_cell_s, told.activity.ready_s) == (60.0, 3.0)
    # A tool that was opened again begins anew; the session did not.
    again = look(9, seen(first_cell_at=at(8)), told.activity)
    assert again.activity.first_cell_s == 60.0


def test_what_it_says_of_the_future_is_not_believed() -> None:
    assert look(5, seen(active=9000)).activity.active_at == at(5)


def test_a_short_time_has_a_short_countdown() -> None:
    assert countdown_s(workspace(idle_stop="10s")) == 5.0
    assert countdown_s(workspace(idle_stop="2h")) == 300.0
