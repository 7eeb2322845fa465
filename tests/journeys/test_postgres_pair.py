"""Two control planes on one PostgreSQL: one is paused, or killed, and the other goes on.

What was paused beyond its lease changes nothing when it is resumed, and nothing starts twice. One
home; the tests run in their order.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from psycopg import sql

from plinth.units.client import AgentClient
from tests.journeys.plinth_node import Plinth, is_alive, kill, wait_for
from tests.journeys.postgres_server import PostgresServer
from tests.journeys.postgres_stand import Databases, plinth_on

LEASE_S = 2
CONTROLS = ("control", "control-2")
ROUNDS = 6
JOBS = 3
ENDED = "select * from run where closed order by id"


@dataclass
class Pair:
    """A Plinth with two control planes, and the database that they share."""

    plinth: Plinth
    server: PostgresServer

    def rows(self, query: str) -> list[Any]:
        return self.server.execute(sql.SQL(query), "two")  # type: ignore[arg-type]

    def holder_of(self, duty: str) -> str:
        """Return which control plane has a duty now; empty: nobody."""
        query = f"select holder from duty where name like '{duty}@%' and until > clock_timestamp()"
        found = self.rows(query)
        return str(found[0][0]).partition("@")[0] if found else ""

    def phases(self, runs: Sequence[str]) -> dict[str, str]:
        return {run: phase for run, phase in self.rows("select id, phase from run") if run in runs}

    def have_ended(self, runs: Sequence[str]) -> bool:
        """Tell whether all of them succeeded, and nothing is left to be done for them."""
        rows = self.rows("select id, phase, closed from run")
        return {tuple(row[1:]) for row in rows if row[0] in runs} == {("succeeded", True)}

    def starts(self, run: str) -> str:
        path = self.plinth.home.runs / run / "work" / "starts"
        return path.read_text() if path.exists() else ""

    def api(self, unit: str) -> httpx.Client:
        """Return the administrator's client of one control plane, without the gateway."""
        key = self.plinth.home.admin_token.read_text()
        return httpx.Client(
            transport=httpx.HTTPTransport(uds=str(self.plinth.home.socket(unit))),
            base_url="http://control",
            headers={"authorization": f"Bearer {key}"},
            timeout=30.0,
        )

    @contextmanager
    def paused(self, *pids: int) -> Iterator[None]:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)


@pytest.fixture(scope="module")
def pair(
    databases: Databases, managed_environments: Path, free_port: Callable[[], int]
) -> Iterator[Pair]:
    settings = ("control_planes = 2", f"lease_s = {LEASE_S}")
    with plinth_on(databases, "two", managed_environments, free_port(), *settings) as plinth:
        yield Pair(plinth, databases.server)


def other(unit: str) -> str:
    return CONTROLS[1 - CONTROLS.index(unit)]


def test_one_of_two_has_each_duty_and_the_other_takes_over(pair: Pair) -> None:
    plinth = pair.plinth
    assert set(CONTROLS) <= set(plinth.units())
    first = pair.holder_of("gateway")
    assert first in CONTROLS
    key = plinth.client.create_key(team="default", name="caller", role="viewer", days=1.0)
    with plinth.http(key["token"]) as caller:
        assert caller.get("/v2").status_code == 200
        with pair.paused(plinth.pid_of(first)):
            duties = ("gateway", "metering", "tracking")
            wait_for(
                lambda: {pair.holder_of(duty) for duty in duties} == {other(first)},
                "the other one having every duty",
                within_s=5 * LEASE_S,
            )
            # And it does them: a key that is revoked there is refused by the gateway.
            with pair.api(other(first)) as api:
                assert api.delete(f"/api/v1/keys/{key['id']}").is_success
            wait_for(lambda: caller.get("/v2").status_code == 401, "the key being refused")
    wait_for(plinth.is_up, "every part being ready")
    assert pair.holder_of("gateway") == other(first)


def test_what_was_paused_beyond_its_lease_changes_nothing_and_starts_nothing_twice(
    pair: Pair,
) -> None:
    plinth, chance = pair.plinth, random.Random(7)
    waits = plinth.submit("waits", "python", "waits.py")
    plinth.wait_for_line(waits, "waiting")
    runs: list[str] = []
    for number in range(ROUNDS):
        victim = CONTROLS[number % 2]
        pid = plinth.pid_of(victim)
        new = [plinth.submit(f"job-{number}", "python", "hello.py") for _ in range(JOBS)]
        runs += new
        time.sleep(chance.choice([0.0, 0.05, 0.1, 0.2, 0.4]))
        with pair.paused(pid):
            wait_for(lambda jobs=new: pair.have_ended(jobs), "the other one ending the jobs")
            before = pair.rows(ENDED)
        time.sleep(0.5)
        after = [row for row in pair.rows(ENDED) if row[0] in {each[0] for each in before}]
        assert after == before, "what was resumed changed a run that had ended"
    (plinth.home.runs / waits / "work" / "go").touch()
    wait_for(lambda: pair.have_ended([waits]), "the end of the job that ran all the time")
    runs.append(waits)
    assert {run: pair.starts(run) for run in runs} == dict.fromkeys(runs, "attempt 1\n")
    ends = "select subject, count(*) from event where phase = 'succeeded' group by subject"
    assert dict(pair.rows(ends)) == {f"run/{run}": 1 for run in runs}
    assert set(pair.rows("select number, count(*) from attempt group by number")) == {
        (1, len(runs))
    }


def test_an_order_that_arrives_after_its_lease_starts_nothing(pair: Pair) -> None:
    # Whether it was sent before its sender was paused is not seen from here: give it longer.
    for sent_after_s in (0.2, 0.5, 0.8, 1.1, 1.4):
        refused = has_refused_an_order(pair, sent_after_s)
        if refused:
            return
    raise AssertionError("no order was ever late")


def has_refused_an_order(pair: Pair, sent_after_s: float) -> bool:
    """Have an order to start lie in the agent's socket until its lease has ended."""
    plinth, before = pair.plinth, refusals(pair.plinth)
    agent = plinth.agent_pid()
    # One control plane alone, so that the order is its own.
    with pair.paused(plinth.pid_of("control-2")):
        run = plinth.submit("late", "python", "hello.py")
        with pair.paused(agent):
            wait_for(lambda: pair.phases([run])[run] == "starting", "the attempt's row")
            time.sleep(sent_after_s)
            with pair.paused(plinth.pid_of("control")):
                time.sleep(LEASE_S + 0.5)
                os.kill(agent, signal.SIGCONT)
                # A later request shows that the agent has read the earlier ones.
                AgentClient(plinth.home.socket("agent")).ping()
                assert not (plinth.home.units / f"{run}.0.1").exists()
                assert pair.starts(run) == ""
    wait_for(lambda: pair.have_ended([run]), "the job's end")
    assert pair.starts(run) == "attempt 1\n"
    return refusals(plinth) > before


def refusals(plinth: Plinth) -> int:
    return (plinth.home.root / "agent.log").read_text().count("an order to start came")


def test_a_killed_control_plane_begins_again_and_takes_nothing_from_the_other(pair: Pair) -> None:
    plinth = pair.plinth
    for victim in CONTROLS:
        new = [plinth.submit("again", "python", "hello.py") for _ in range(JOBS)]
        os.kill(plinth.pid_of(victim), signal.SIGKILL)
        wait_for(lambda jobs=new: pair.have_ended(jobs), "the jobs' end")
        assert {run: pair.starts(run) for run in new} == dict.fromkeys(new, "attempt 1\n")
        wait_for(plinth.is_up, "every part being ready")


def test_the_api_goes_on_while_the_first_control_plane_is_stopped(pair: Pair) -> None:
    plinth = pair.plinth
    agent = AgentClient(plinth.home.socket("agent"))
    agent.stop("control")
    wait_for(lambda: phase_of(agent, "control") == "exited", "the first one's end")
    make_keys(pair)
    plinth.up()
    wait_for(lambda: phase_of(agent, "control") == "running", "the first one's start")
    wait_for(plinth.is_up, "every part being ready")


def phase_of(agent: AgentClient, unit: str) -> str:
    return next(each.phase for each in agent.observe() if each.id == unit)


def make_keys(pair: Pair, count: int = 20) -> None:
    """Change something many times through the gateway: nothing fails, nothing is done twice."""
    noted = "select count(*) from audit where action = 'create' and subject like 'key/%'"
    ((before,),) = pair.rows(noted)
    for _ in range(count):
        pair.plinth.key("default")
    assert pair.rows(noted) == [(before + count,)]


def test_the_api_goes_on_when_the_first_control_plane_is_killed(pair: Pair) -> None:
    plinth = pair.plinth
    pid = plinth.pid_of("control")
    kill(pid)
    wait_for(lambda: not is_alive(pid), "its end")
    make_keys(pair)
    wait_for(plinth.is_up, "every part being ready")


def test_the_api_is_answered_by_the_other_while_the_first_one_stands_still(pair: Pair) -> None:
    plinth = pair.plinth
    key = plinth.home.admin_token.read_text()
    with pair.paused(plinth.pid_of("control")), plinth.http(key) as caller:
        # Until Envoy has seen it, a second or two, a request may be waiting for the one.
        wait_for(lambda: is_answered(caller), "the other one's answer", within_s=15.0)
        make_keys(pair)
    wait_for(plinth.is_up, "every part being ready")


def is_answered(caller: httpx.Client) -> bool:
    try:
        return caller.get("/api/v1/version", timeout=1.0).is_success
    except httpx.TimeoutException:
        return False
