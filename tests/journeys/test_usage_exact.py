"""Every answered request stands in the ledger once, whatever is killed meanwhile.

A journey because only a real Envoy decides what stands in its log when it is killed.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from benchmarks.metering_loss import TEAM, Load, Outcome, Scenario, serving
from plinth.control.replay import Compared, compare
from plinth.metering.gaps import gap_in
from plinth.metering.ledger import Ledger
from plinth.store.session import Database
from plinth.units.folder import UnitFolder
from tests.journeys.plinth_node import Plinth, wait_for

REQUESTS = 20_000
# What Envoy has not written when it is killed, by promise.
UNWRITTEN_S = 0.5


@pytest.fixture(scope="module")
def plinth(managed_environments: Path, free_port: Callable[[], int]) -> Iterator[Plinth]:
    with serving(managed_environments, free_port()) as plinth:
        yield plinth


@pytest.fixture(scope="module")
def outcome(plinth: Plinth) -> Outcome:
    """Send the requests, with every kill and a rotation in between."""
    return Scenario(plinth, Load(requests=REQUESTS)).run()


@pytest.mark.journey(timeout_s=300)
def test_every_answer_is_in_the_ledger_once_but_for_what_the_gap_tells(outcome: Outcome) -> None:
    assert len(outcome.answered) + len(outcome.broken) == REQUESTS
    assert outcome.lost == []
    assert outcome.doubled == []
    # The gap is there, and is not used for more than it is.
    assert len(outcome.gaps) == 1
    assert len(outcome.in_gap) < REQUESTS / 10


def test_nothing_but_what_was_in_flight_at_envoys_kill_failed(outcome: Outcome) -> None:
    assert {each.status for each in outcome.answered} == {200}
    # A caller has one request under way; while nobody listens it waits, and has sent nothing.
    had = [each for each in outcome.broken if each.connected_at < outcome.killed_at]
    assert len(had) <= Load.connections
    for each in outcome.broken:
        # What connected later did so while the kernel was closing what Envoy had open.
        assert each.connected_at <= outcome.ended_at
        assert each.sent_at <= outcome.killed_at + UNWRITTEN_S
        assert each.ended_at >= outcome.killed_at
    # What was logged although its answer never arrived was in flight, too.
    assert len(outcome.unanswered) <= len(outcome.broken)


def test_the_gap_is_half_a_second_before_envoys_end_and_status_reports_it(
    plinth: Plinth, outcome: Outcome
) -> None:
    (gap,) = outcome.gaps
    assert "SIGKILL" in gap.reason
    assert (gap.ended_at - gap.started_at).total_seconds() < 2 * UNWRITTEN_S
    assert gap.started_at.timestamp() <= outcome.killed_at <= gap.ended_at.timestamp()
    usage = plinth.cli("status", "--json").json["usage"]
    assert (usage["gaps"], usage["unreadable_lines"]) == (1, 0)
    assert usage["latest_gaps"] == plinth.client.usage_gaps()
    assert "1 gap, the latest" in plinth.cli("status").out


def test_every_record_names_the_replica_that_served(plinth: Plinth, outcome: Outcome) -> None:
    with closing(Ledger(plinth.home.ledger)) as ledger:
        records = [ledger.find_request(each) for each in list(outcome.records)[::100]]
    assert {record.replica for record in records if record} == {0}
    rows = plinth.cli("usage", "--json").json
    assert [row["requests"] for row in rows if row["requests"]] == [len(outcome.records)]


def test_the_ledger_is_found_again_in_its_sources(plinth: Plinth, outcome: Outcome) -> None:
    assert outcome.records

    def found() -> Compared | None:
        compared = compare(plinth.home, Database(plinth.home.database))
        return compared if compared.only_sources == 0 else None

    compared: Compared = wait_for(found, "the ledger having everything")
    assert (compared.only_ledger, compared.not_kept) == (0, 0)
    assert compared.same > len(outcome.records)


def test_a_stop_that_was_asked_for_loses_nothing(plinth: Plinth, outcome: Outcome) -> None:
    """Envoy writes its log out on SIGTERM: `plinth down` directly after an answer is no gap."""
    assert outcome.records
    caller = plinth.http(plinth.key(TEAM))
    ids = [caller.get("/v2/models/scale").headers["x-plinth-id"] for _ in range(20)]
    plinth.cli("down")
    log = (plinth.home.gateway / "access.log").read_text()
    assert all(each in log for each in ids)
    envoy = UnitFolder(plinth.home.units / "envoy")
    # As the next `plinth up` does it.
    envoy.note_end()
    killed, stopped = (envoy.path / "ends").read_bytes().splitlines()
    assert gap_in(killed) is not None
    assert gap_in(stopped) is None
    command = [sys.executable, "-m", "plinth.control.replay", "--home", str(plinth.home.root)]
    assert subprocess.run(command, check=False).returncode == 0
