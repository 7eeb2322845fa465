"""Usage is counted once, up to what was seen, from the gateway's log and from replicas."""

from __future__ import annotations

import json
from typing import Any

import pytest

from plinth.control.metering import UsageRow, usage_in
from plinth.domain.run import Phase
from plinth.domain.usage import Meter
from plinth.gateway.clusters import deployment_cluster
from plinth.gateway.routes import ENDPOINT_ROUTE
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


def test_a_request_that_reached_a_model_is_one_request_of_the_callers_team() -> None:
    draft = usage_in(line())
    assert draft is not None
    assert (draft.meter, draft.quantity, draft.team) == (Meter.REQUESTS, 1.0, "ops")
    assert (draft.workload, draft.run, draft.principal) == ("endpoint/delay", "r_a", "p_a")
    assert draft.request_id == "q1"
    assert (draft.ended_at - draft.started_at).total_seconds() == 0.25


@pytest.mark.parametrize(
    "changed",
    [
        {"attempts": 0, "code": 403, "details": "rbac_access_denied"},
        {"attempts": 11, "code": 503, "flags": "URX,UF", "details": UNREACHED},
        {"team": None},
        {"route": "api"},
        {"route": None},
    ],
    ids=str,
)
def test_what_reached_no_model_is_no_usage(changed: dict[str, Any]) -> None:
    assert usage_in(line(**changed)) is None


@pytest.mark.parametrize("content", [b"", b"{}", b"garbage", b'{"id": 1'])
def test_what_is_no_record_is_said(content: bytes) -> None:
    with pytest.raises(ValueError, match="not a record"):
        usage_in(content)


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
    assert plane.parts.metering.totals() == [UsageRow(TEAM, "job/train", whole, 0.0, 0.0)]


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
    assert "1 lines of the access log cannot be read" in caplog.text
    log.write_bytes(line() + line(id="q3"))
    plane.parts.metering.collect()
    assert "1 access logs were cut or rewritten" in caplog.text
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
