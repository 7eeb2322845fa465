"""Usage is counted once, up to what was seen, from the gateway's log and from replicas."""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from plinth.control.duties import Duty
from plinth.control.metering import Metering, UsageRow, logs_of
from plinth.domain.run import Phase, WorkerTime
from plinth.gateway.admin import Admin
from plinth.gateway.names import ENDPOINT_ROUTE, deployment_cluster
from plinth.kit.errors import Temporary
from plinth.kit.settings import Settings
from plinth.metering.rotation import rotated
from plinth.store.leases import Holder
from plinth.units.ends import note_end
from tests.control.flows.stand import apply_flow, serves
from tests.control.plane import TEAM, Plane

UNREACHED = "upstream_reset_before_response_started{remote_connection_failure|refused}"


def line(**changed: Any) -> bytes:
    record = {
        "id": "q1",
        "start": "1767225600.5",
        "ms": 250,
        "principal": "p_a",
        "team": "ops",
        "key": "k_a",
        "route": f"{ENDPOINT_ROUTE}delay",
        "cluster": deployment_cluster("r_a"),
        "upstream": "/srv/run/r_a.1.sock",
        "method": "POST",
        "path": "/v2/models/delay/infer",
        "code": 200,
        "details": "via_upstream",
        "flags": "-",
        "rx": 10,
        "tx": 20,
        "attempts": 1,
    }
    return json.dumps({**record, **changed}).encode() + b"\n"


def started(plane: Plane) -> str:
    run = plane.submit()
    plane.until(lambda: plane.run(run).phase is Phase.RUNNING)
    return run


def seconds(plane: Plane) -> float:
    return sum(row.training_seconds for row in plane.parts.metering.totals())


def test_a_job_is_counted_while_it_runs_and_once_when_it_ended(plane: Plane) -> None:
    run = started(plane)
    begun = plane.world.replicas[f"{run}.0.1"].started_at
    plane.step(130)
    plane.parts.metering.collect()
    plane.parts.metering.collect()
    assert seconds(plane) == (plane.clock.now() - begun).total_seconds()
    assert len(plane.context.ledger.records()) == 2
    plane.step(10)
    plane.world.end(f"{run}.0.1")
    whole = (plane.clock.now() - begun).total_seconds()
    plane.until(lambda: plane.run(run).closed)
    for _ in range(3):
        plane.parts.metering.collect()
        assert seconds(plane) == whole
    assert [attempt.metered for attempt in plane.attempts(run)] == [True]
    assert plane.parts.metering.totals() == [UsageRow(TEAM, "job/train", whole)]


def test_nothing_is_counted_for_the_time_that_nobody_saw(plane: Plane) -> None:
    run = started(plane)
    plane.step(1)
    plane.world.end(f"{run}.0.1")
    whole = plane.clock.now() - plane.world.replicas[f"{run}.0.1"].started_at
    # The control plane is down for an hour, and metering is the first to run after it.
    plane.clock.advance(3600)
    plane.restart()
    plane.parts.metering.collect()
    plane.until(lambda: plane.run(run).closed)
    plane.parts.metering.collect()
    assert seconds(plane) == whole.total_seconds()


def test_a_crash_between_the_ledger_and_the_store_counts_nothing_twice(plane: Plane) -> None:
    run = started(plane)
    plane.step(70)
    plane.world.end(f"{run}.0.1")
    plane.until(lambda: plane.run(run).closed)
    plane.parts.metering.collect()
    before = plane.context.ledger.records()
    with plane.write() as connection:
        connection.exec_driver_sql("update attempt set metered = 0")
    plane.restart()
    plane.parts.metering.collect()
    assert plane.context.ledger.records() == before


def test_requests_in_the_log_are_counted_by_the_callers_team(plane: Plane) -> None:
    log = plane.home.gateway / "access.log"
    log.write_bytes(line() + line(id="q2") + line(id="q2") + line(id="q3", details=UNREACHED))
    plane.parts.metering.collect()
    (row,) = plane.parts.metering.totals()
    assert (row.team, row.workload, row.requests) == ("ops", "endpoint/delay", 2.0)


def test_lines_and_logs_that_cannot_be_counted_are_said(
    plane: Plane, caplog: pytest.LogCaptureFixture
) -> None:
    log = plane.home.gateway / "access.log"
    log.write_bytes(line() + b"nonsense\n")
    plane.parts.metering.collect()
    assert "1 lines of `access.log` cannot be read" in caplog.text
    log.write_bytes(line() + line(id="q3"))
    # Seen once, it may be a file that is just being renamed.
    for _ in range(2):
        plane.parts.metering.collect()
    assert "`access.log` was cut or rewritten by others" in caplog.text
    caplog.clear()
    plane.parts.metering.collect()
    assert caplog.text == ""


def test_a_server_is_counted_in_serving_seconds_for_each_replica(plane: Plane) -> None:
    run = plane.apply(replicas=2).deployment
    plane.until(lambda: plane.run(run).phase is Phase.RUNNING)
    plane.step(30)
    (row,) = plane.parts.metering.totals()
    assert (row.workload, row.training_seconds) == ("endpoint/delay", 0.0)
    assert 60 <= row.serving_seconds <= 70


def test_the_seconds_of_a_replica_say_where_it_ran_and_what_it_was_given(plane: Plane) -> None:
    run = plane.apply(replicas=2, resources={"cpu": 0.5, "memory": "200MB"}).deployment
    plane.until(lambda: plane.run(run).phase is Phase.RUNNING)
    plane.step(70)
    plane.step()
    plane.parts.metering.collect()
    records = plane.context.ledger.records()
    assert {record.replica for record in records} == {0, 1}
    assert {(each.platform, each.cpu, each.memory_bytes) for each in records} == {
        ("local", 0.5, 200_000_000)
    }


def test_the_end_of_a_killed_gateway_is_a_gap_and_the_end_of_a_stopped_one_is_none(
    plane: Plane,
) -> None:
    *_, (ends, _) = logs_of(plane.home)
    ends.parent.mkdir()
    at = plane.clock.now()
    end = {"phase": "exited", "started_at": "x", "ended_at": "2026-01-01T00:00:00.000000Z"}
    note_end(ends, "envoy", {**end, "signal": None, "reason": "stopped"}, at)
    note_end(ends, "envoy", {**end, "signal": 9, "reason": "ended by SIGKILL"}, at)
    for _ in range(2):
        plane.parts.metering.collect()
        plane.restart()
    (gap,) = plane.context.ledger.gaps()
    assert (gap.reason, gap.started_at, gap.ended_at) == (
        "envoy: ended by SIGKILL",
        at - timedelta(seconds=0.5),
        at,
    )


@pytest.fixture
def small(plane: Plane, monkeypatch: pytest.MonkeyPatch) -> Plane:
    """Return a plane whose logs are begun anew at 4 KiB and kept up to 6 KiB, with its Envoy."""
    settings = Settings(access_log_bytes=4096, access_logs_bytes=6000, trace_days=10)
    plane.context = replace(plane.context, settings=settings)
    plane.parts = replace(plane.parts, metering=type(plane.parts.metering)(plane.context))
    monkeypatch.setattr(Admin, "reopen_logs", lambda _: access_log(plane).touch())
    return plane


def access_log(plane: Plane) -> Path:
    return plane.home.gateway / "access.log"


def fill(plane: Plane, name: str) -> None:
    """Write a little more than one log holds, and have it read."""
    with access_log(plane).open("ab") as log:
        for number in range(13):
            log.write(line(id=f"{name}-{number}"))
    plane.parts.metering.collect()
    newest = rotated(access_log(plane))[-1]
    os.utime(newest, (plane.clock.now().timestamp(),) * 2)


def test_a_log_that_is_large_is_begun_anew_and_the_oldest_go_when_room_is_short(
    small: Plane,
) -> None:
    newest = []
    for name in "abc":
        fill(small, name)
        small.clock.advance(60)
        assert access_log(small).stat().st_size == 0
        newest.append(rotated(access_log(small))[-1])
    assert rotated(access_log(small)) == newest[1:]
    small.parts.metering.collect()
    assert rotated(access_log(small)) == newest[2:]
    (row,) = small.parts.metering.totals()
    assert row.requests == 39


def test_logs_go_when_no_response_in_them_can_be_traced_any_more(small: Plane) -> None:
    fill(small, "a")
    small.clock.advance(9 * 86400)
    small.parts.metering.collect()
    assert len(rotated(access_log(small))) == 1
    small.clock.advance(2 * 86400)
    small.parts.metering.collect()
    assert rotated(access_log(small)) == []


def test_a_control_plane_whose_duty_is_over_renames_and_removes_no_log(small: Plane) -> None:
    duty = Duty("metering", small.database, small.clock, Holder.begin("control@x"), 10.0)
    metering = Metering(small.context, duty)
    assert duty.hold()
    fill(small, "a")
    small.clock.advance(20 * 86400)
    with pytest.raises(Temporary, match="longer than its lease"):
        metering.collect()
    (kept,) = rotated(access_log(small))
    access_log(small).write_bytes(kept.read_bytes())
    kept.unlink()
    with pytest.raises(Temporary, match="longer than its lease"):
        metering.collect()
    assert rotated(access_log(small)) == []
    assert duty.hold()
    metering.collect()
    assert len(rotated(access_log(small))) == 1


def test_a_replica_of_a_deleted_run_is_counted_and_one_of_no_run_stops_nothing(
    plane: Plane, caplog: pytest.LogCaptureFixture
) -> None:
    deleted, lost, other = (started(plane) for _ in range(3))
    plane.step(130)
    with plane.write() as connection:
        connection.exec_driver_sql(
            "update run set deleted_at = created_at where id = ?", (deleted,)
        )
    # A connection that heeds no foreign key.
    with closing(sqlite3.connect(plane.home.database)) as connection:
        connection.execute("delete from run where id = ?", (lost,))
        connection.commit()
    for _ in range(2):
        plane.parts.metering.collect()
    assert {record.run for record in plane.context.ledger.records()} == {deleted, other}
    assert caplog.text.count(f"run {lost}") == 1


def test_no_log_goes_while_envoy_may_still_write_to_it(
    small: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Admin, "reopen_logs", lambda _: None)
    fill(small, "a")
    small.clock.advance(20 * 86400)
    for _ in range(2):
        small.parts.metering.collect()
    assert len(rotated(access_log(small))) == 1


CHAT = {
    "route": f"{ENDPOINT_ROUTE}chat",
    "path": "/v1/chat/completions",
    "usage": '{"prompt_tokens": 90, "completion_tokens": 30}',
}


def test_tokens_are_counted_with_their_request_and_copies_apart(plane: Plane) -> None:
    lines = [line(**CHAT), line(id="q2", **{**CHAT, "usage": None})]
    access_log(plane).write_bytes(b"".join(lines))
    copies = [line(**CHAT, owner="models"), line(id="q3", **CHAT)]
    (plane.home.gateway / "shadow.log").write_bytes(b"".join(copies))
    for _ in range(2):
        plane.parts.metering.collect()
        plane.restart()
    copied, asked = plane.parts.metering.totals()
    assert copied == UsageRow(
        *("models", "endpoint/chat"), requests=1, input_tokens=90, output_tokens=30, shadow=True
    )
    assert asked == UsageRow(
        *("ops", "endpoint/chat"),
        requests=2,
        input_tokens=93,
        output_tokens=35,
        estimated_tokens=8,
    )
    # One request's id finds that request, and not its tokens or its copy.
    found = plane.context.ledger.find_request("q1")
    assert found is not None
    assert (found.meter, found.team) == ("requests", "ops")


def test_numbers_of_tokens_that_cannot_be_true_are_said(
    plane: Plane, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = line(**{**CHAT, "usage": '{"prompt_tokens": -1, "completion_tokens": 3}'})
    access_log(plane).write_bytes(wrong)
    plane.parts.metering.collect()
    assert (
        "`r_a` of endpoint `chat` reported 1 numbers of tokens that cannot be true" in caplog.text
    )


def test_what_is_counted_of_a_request_outlives_the_control_plane(plane: Plane) -> None:
    access_log(plane).write_bytes(line(**CHAT))
    plane.parts.metering.collect()
    before = plane.context.ledger.counters()
    plane.restart()
    plane.parts.metering.collect()
    assert plane.context.ledger.counters() == before != []


def test_counters_of_what_is_gone_are_forgotten_after_a_fortnight(plane: Plane) -> None:
    access_log(plane).write_bytes(line(**CHAT))
    plane.parts.metering.collect()
    plane.clock.advance(13 * 86400)
    plane.parts.metering.collect()
    assert plane.context.ledger.counters() != []
    plane.clock.advance(2 * 86400)
    plane.parts.metering.collect()
    assert plane.context.ledger.counters() == []


def test_a_large_log_of_copies_is_begun_anew_too(small: Plane) -> None:
    log = small.home.gateway / "shadow.log"
    log.write_bytes(b"".join(line(id=f"s{each}", owner="models") for each in range(20)))
    small.parts.metering.collect()
    assert not log.exists()
    assert len(rotated(log)) == 1
    (row,) = small.parts.metering.totals()
    assert (row.requests, row.shadow) == (20, True)
    # Copies may have ended: that there is no new log is no reason to ask Envoy for one.
    small.parts.metering.collect()
    assert len(rotated(log)) == 1


# -- a flow whose workers come and go --------------------------------------------------------------


def sleeping(plane: Plane) -> str:
    """Return the run of a flow that serves, and of which no worker runs."""
    run = str(apply_flow(plane, workers="0..2").deployment)
    plane.until(lambda: serves(plane, run))
    return run


def lives(plane: Plane, run: str, *times: tuple[float, float | None]) -> None:
    """Have workers run between these seconds since the flow's host began."""
    replica = plane.world.replicas[f"{run}.0.1"]
    replica.workers = [
        WorkerTime(
            number=number,
            started_at=replica.started_at + timedelta(seconds=began),
            ended_at=None if ended is None else replica.started_at + timedelta(seconds=ended),
        )
        for number, (began, ended) in enumerate(times, 1)
    ]


def serving_seconds(plane: Plane) -> float:
    plane.parts.metering.collect()
    return sum(row.serving_seconds for row in plane.parts.metering.totals())


def test_a_flow_that_sleeps_is_not_counted_and_its_workers_are(plane: Plane) -> None:
    run = sleeping(plane)
    plane.step(3600)
    assert serving_seconds(plane) == 0
    lives(plane, run, (10, 30.5), (20, 100))
    assert serving_seconds(plane) == 100.5
    plane.step(3600)
    assert serving_seconds(plane) == 100.5
    # The bill sees the same, by the size that each worker was given.
    assert {each.cpu for each in plane.context.ledger.records()} == {1.0}


def test_a_worker_that_runs_is_counted_up_to_when_it_was_seen_and_then_to_its_end(
    plane: Plane,
) -> None:
    run = sleeping(plane)
    plane.step(100)
    lives(plane, run, (0, None))
    plane.until(lambda: plane.attempts(run)[0].workers == 1)
    (attempt,) = plane.attempts(run)
    assert attempt.seen_at is not None
    assert attempt.started_at is not None
    seen_s = (attempt.seen_at - attempt.started_at).total_seconds()
    assert seen_s > 60
    assert serving_seconds(plane) == pytest.approx(seen_s)
    lives(plane, run, (0, seen_s + 1.5))
    assert serving_seconds(plane) == pytest.approx(seen_s + 1.5)


def test_a_worker_without_an_end_ended_with_its_host(plane: Plane) -> None:
    run = sleeping(plane)
    lives(plane, run, (0, None))
    plane.step(90)
    plane.world.end(f"{run}.0.1", 1, "its supervisor was killed")
    plane.until(lambda: len(plane.attempts(run)) == 2)
    first = plane.attempts(run)[0]
    assert first.started_at is not None
    assert first.ended_at is not None
    whole = (first.ended_at - first.started_at).total_seconds()
    for _ in range(3):
        assert serving_seconds(plane) == pytest.approx(whole)
    assert [each.metered for each in plane.attempts(run)] == [True, False]
