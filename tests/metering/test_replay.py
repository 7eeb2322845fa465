"""One reading of everything that is kept gives the ledger that was filled bit by bit."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from plinth.domain.usage import Meter
from plinth.metering.engine_usage import ReplicaSpan, record_usage
from plinth.metering.gaps import gap_in
from plinth.metering.journal import Journal, Reading
from plinth.metering.ledger import Ledger
from plinth.metering.replay import replay
from plinth.units.ends import note_end

START = datetime(2026, 3, 1, 12, 0, 30, 250_000, tzinfo=UTC)
SPAN = ReplicaSpan(
    run="r_1",
    replica=0,
    attempt=1,
    meter=Meter.TRAINING_SECONDS,
    team="research",
    workload="job/train",
    started_at=START,
    seen_at=START,
    platform="local",
    cpu=0.5,
    memory_bytes=10**9,
)
END = {"phase": "lost", "signal": None, "started_at": "x", "reason": "its supervisor was killed"}


def test_ends_and_intervals_replay_to_the_same_bytes(tmp_path: Path) -> None:
    ends = tmp_path / "ends"
    logs = [(ends, Reading(gap_in, origin="ends"))]
    with closing(Ledger(tmp_path / "ledger.db")) as ledger:
        for minute in range(5):
            at = START + timedelta(minutes=minute)
            ended_at = at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            note_end(ends, "envoy", {**END, "ended_at": ended_at}, at)
            if minute == 2:
                ends.rename(tmp_path / "ends.000001")
            for path, reading in logs:
                Journal(path, ledger, reading).collect()
            record_usage(ledger, replace(SPAN, seen_at=at))
        ended = replace(SPAN, ended_at=START + timedelta(seconds=250.5))
        record_usage(ledger, ended)
        with closing(Ledger(tmp_path / "again.db")) as again:
            replay(again, logs, [ended])
            assert again.dump() == ledger.dump()
            assert len(again.gaps()) == 5
            assert [record.quantity for record in again.records()] == [60, 60, 60, 60, 10.5]
            assert {record.cpu for record in again.records()} == {0.5}
