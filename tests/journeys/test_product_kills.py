"""`kill -9` of every part while requests flow and a job runs, and what is there afterwards.

One home, one endpoint, one job that runs through all of it; tests run in their order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.journeys.plinth_node import (
    SERVING_PACKAGES,
    Caller,
    Plinth,
    infer,
    is_alive,
    kill,
    running_plinth,
    wait_for,
)

TEAM = "research"
ENDPOINT = "scale"
SYSTEM = ("control", "envoy", "mlflow")


@dataclass
class Running:
    """A Plinth with an endpoint that serves and a job that waits for its file `go`."""

    plinth: Plinth
    job: str
    key: str

    @property
    def units(self) -> tuple[str, ...]:
        """Everything that runs, but for the agent."""
        return (*SYSTEM, f"{self.job}.0.1", self.server)

    @property
    def server(self) -> str:
        """The unit of the endpoint's first replica."""
        endpoint = self.plinth.client.endpoint(ENDPOINT)
        run = self.plinth.client.run(endpoint["serving"].get("main"))
        newest = max(a["number"] for a in run["attempts"] if a["replica"] == 0)
        return f"{run['id']}.0.{newest}"

    def processes(self) -> dict[str, int]:
        """Return the processes of all units, supervisors among them, by name."""
        return {
            f"{unit} {who}": self.plinth.pid_of(unit, who)
            for unit in self.units
            for who in ("child", "supervisor")
        }

    def starts(self) -> str:
        return (self.plinth.home.runs / self.job / "work" / "starts").read_text()

    def wait_until_up(self) -> None:
        wait_for(self.plinth.is_up, "everything being up again")

    def wait_until_loaded(self, unit: str) -> None:
        log = self.plinth.home.units / unit / "log"
        wait_for(lambda: log.exists() and "is ready" in log.read_text(), f"{unit} being ready")

    @contextmanager
    def calls(self) -> Iterator[Caller]:
        """Send requests over two connections during the block; the first is yielded."""
        one, two = (Caller(self.plinth.http(self.key), ENDPOINT) for _ in range(2))
        with one, two:
            one.wait_for_answers(20)
            yield one
            one.wait_for_answers(20)
            two.wait_for_answers(5)
        one.answers += two.answers


@pytest.fixture(scope="module")
def running(managed_environments: Path, free_port: Callable[[], int]) -> Iterator[Running]:
    with running_plinth(managed_environments, free_port(), teams=[TEAM]) as plinth:
        job = plinth.submit("waits", "python", "waits.py", team=TEAM)
        plinth.train(TEAM, "2")
        plinth.serve(ENDPOINT, "models:/scale@champion", team=TEAM, grace=5)
        plinth.wait_for_line(job, "waiting")
        yield Running(plinth, job, plinth.key(TEAM))


def test_the_control_plane_is_killed_and_nobody_notices(running: Running) -> None:
    plinth, before = running.plinth, running.processes()
    with running.calls() as calls:
        for _ in range(2):
            kill(plinth.pid_of("control"))
            calls.wait_for_answers(10)
            running.wait_until_up()
    assert calls.failed == []
    after = running.processes()
    survivors = {name for name in before if not name.startswith("control ")}
    assert {name: after[name] for name in survivors} == {name: before[name] for name in survivors}
    assert after["control child"] != before["control child"]
    assert plinth.unit("control")["restarts"] == 2
    shown = plinth.cli("status", "--json").json
    assert {u["id"]: u["restarts"] for u in shown["units"]}["control"] == 2
    assert running.starts() == "attempt 1\n"


def test_jobs_submitted_as_the_control_plane_is_killed_start_once(running: Running) -> None:
    plinth = running.plinth
    runs = []
    for _ in range(3):
        runs += [plinth.submit("hello", "python", "hello.py") for _ in range(2)]
        kill(plinth.pid_of("control"))
        running.wait_until_up()
    for run in map(plinth.ended, runs):
        assert run["phase"] == "succeeded"
        assert len(run["attempts"]) == 1
        starts = (plinth.home.runs / run["id"] / "work" / "starts").read_text()
        assert starts == "attempt 1\n"
        assert [event["phase"] for event in run["events"]].count("succeeded") == 1


def test_the_agent_is_killed_and_the_next_one_adopts_every_process(running: Running) -> None:
    plinth, before, agent = running.plinth, running.processes(), running.plinth.agent_pid()
    with running.calls() as calls:
        kill(agent)
        calls.wait_for_answers(20)
        seen = plinth.cli("status", check=False)
        assert seen.code == 1
        assert "the node agent" in seen.err
        plinth.up()
        running.wait_until_up()
    assert calls.failed == []
    assert running.processes() == before
    assert plinth.agent_pid() != agent
    assert running.starts() == "attempt 1\n"
    assert plinth.client.run(running.job)["phase"] == "running"


def test_agent_and_control_plane_are_killed_and_a_job_ends_meanwhile(running: Running) -> None:
    plinth, before = running.plinth, running.processes()
    short = plinth.submit("short", "python", "waits.py")
    plinth.wait_for_line(short, "waiting")
    with running.calls() as calls:
        kill(plinth.agent_pid(), plinth.pid_of("control"))
        calls.wait_for_answers(20)
        # Nobody watches, and it ends; its supervisor writes down how.
        (plinth.home.runs / short / "work" / "go").touch()
        exited = plinth.home.units / f"{short}.0.1" / "exit.json"
        wait_for(exited.exists, "the end of the job")
        assert plinth.cli("status", check=False).code == 1
        plinth.up()
        running.wait_until_up()
    assert calls.failed == []
    after = running.processes()
    survivors = {name for name in before if not name.startswith("control ")}
    assert {name: after[name] for name in survivors} == {name: before[name] for name in survivors}
    ended = plinth.ended(short)
    assert (ended["phase"], ended["exit_code"], len(ended["attempts"])) == ("succeeded", 0, 1)
    assert [event["phase"] for event in ended["events"]].count("succeeded") == 1
    assert (plinth.home.runs / short / "work" / "starts").read_text() == "attempt 1\n"


def test_mlflow_is_killed_and_jobs_go_on_tracking(running: Running) -> None:
    plinth = running.plinth
    before = plinth.unit("mlflow")
    with running.calls() as calls:
        kill(before["pid"])
        # Submitted while it is down: the run waits for it.
        run = plinth.run(
            "tracks",
            *("python", "tracks.py", "ends", "0"),
            environment={"packages": SERVING_PACKAGES},
        )
        running.wait_until_up()
    assert calls.failed == []
    assert run["phase"] == "succeeded", plinth.log(run["id"])
    after = plinth.unit("mlflow")
    assert after["restarts"] == before["restarts"] + 1
    assert after["pid"] != before["pid"]


def test_envoy_is_killed_and_answers_again_with_every_route(running: Running) -> None:
    plinth = running.plinth
    before = plinth.unit("envoy")
    kill(before["pid"])
    wait_for(lambda: not is_alive(before["pid"]), "its end")
    wait_for(lambda: _succeeds(running), "an answer")
    running.wait_until_up()
    assert plinth.unit("envoy")["restarts"] == before["restarts"] + 1


def test_the_only_server_is_killed_and_its_callers_are_told_until_it_is_back(
    running: Running,
) -> None:
    plinth = running.plinth
    run = plinth.client.endpoint(ENDPOINT)["serving"]["main"]
    with running.calls() as calls:
        kill(plinth.pid_of(f"{run}.0.1"))
        running.wait_until_loaded(f"{run}.0.2")
        wait_for(lambda: calls.answers[-1][0] == 200, "an answer")
    # The gateway asks again for some seconds, and then says what is wrong.
    # An answer whose head was on its way already ends where the server did.
    assert all(
        status == 503 or (status == 0 and "RemoteProtocolError" in said)
        for status, said in calls.failed
    ), calls.failed
    assert all('"error"' in said for status, said in calls.failed if status == 503)
    print(f"{len(calls.failed)} of {len(calls.answers)} requests failed")
    shown = plinth.client.run(run)
    assert [(a["phase"], a["number"]) for a in shown["attempts"]] == [("failed", 1), ("running", 2)]


def _succeeds(running: Running) -> bool:
    with Caller(running.plinth.http(running.key), ENDPOINT) as caller:
        wait_for(lambda: caller.answers, "an answer or a failure")
    return not caller.failed


def test_one_of_two_servers_is_killed_and_the_other_takes_its_requests(running: Running) -> None:
    plinth = running.plinth
    plinth.serve(ENDPOINT, "models:/scale@champion", team=TEAM, replicas=2, grace=5)
    run = plinth.client.endpoint(ENDPOINT)["serving"]["main"]
    victim = f"{run}.1.1"
    with running.calls() as calls:
        kill(plinth.pid_of(victim))
        running.wait_until_loaded(f"{run}.1.2")
    # Only what the killed server was answering at that moment may fail: one for each connection.
    assert len(calls.failed) <= 2, calls.failed
    # It is told so, or its answer ends where the server did: then the head was on its way already.
    assert all(
        status == 503 or (status == 0 and "RemoteProtocolError" in said)
        for status, said in calls.failed
    ), calls.failed
    shown = plinth.client.run(run)
    assert shown["phase"] == "running"
    assert [(a["replica"], a["number"]) for a in shown["attempts"]] == [(0, 1), (1, 1), (1, 2)]


def test_the_supervisor_of_a_server_is_killed_and_the_server_is_replaced(running: Running) -> None:
    plinth = running.plinth
    run = plinth.client.endpoint(ENDPOINT)["serving"]["main"]
    child = plinth.pid_of(f"{run}.0.1")
    with running.calls() as calls:
        kill(plinth.pid_of(f"{run}.0.1", "supervisor"))
        wait_for(lambda: not is_alive(child), "the end of the server, which nobody supervises")
        running.wait_until_loaded(f"{run}.0.2")
    assert len(calls.failed) <= 2, calls.failed


def test_the_supervisor_of_a_job_is_killed_and_the_job_has_failed_once(running: Running) -> None:
    plinth = running.plinth
    run = plinth.submit("orphan", "python", "waits.py")
    plinth.wait_for_line(run, "waiting")
    child = plinth.pid_of(f"{run}.0.1")
    kill(plinth.pid_of(f"{run}.0.1", "supervisor"))
    ended = plinth.ended(run)
    assert ended["phase"] == "failed"
    assert "supervisor" in ended["message"]
    assert not is_alive(child)
    assert (plinth.home.runs / run / "work" / "starts").read_text() == "attempt 1\n"


def test_a_supervisor_of_the_system_is_killed_and_its_unit_comes_back(running: Running) -> None:
    plinth = running.plinth
    child = plinth.pid_of("control")
    kill(plinth.pid_of("control", "supervisor"))
    wait_for(lambda: not is_alive(child), "the end of the old control plane")
    running.wait_until_up()
    assert plinth.pid_of("control") != child


def test_the_job_that_ran_through_all_of_it_started_once_and_ends_once(running: Running) -> None:
    plinth = running.plinth
    assert plinth.client.run(running.job)["phase"] == "running"
    (plinth.home.runs / running.job / "work" / "go").touch()
    ended = plinth.ended(running.job)
    assert (ended["phase"], ended["exit_code"], len(ended["attempts"])) == ("succeeded", 0, 1)
    assert [event["phase"] for event in ended["events"]].count("succeeded") == 1
    assert running.starts() == "attempt 1\n"
    assert plinth.log(running.job) == "waiting\ndone\n"


def test_after_down_and_up_the_endpoint_serves_and_ended_jobs_stay_ended(running: Running) -> None:
    plinth = running.plinth
    before = {run["id"]: run["phase"] for run in plinth.client.runs(kind="job")}
    plinth.cli("down")
    plinth.up()
    caller = plinth.http(running.key)
    wait_for(lambda: plinth.client.endpoint(ENDPOINT)["ready"], "the endpoint being ready")
    wait_for(lambda: infer(caller, ENDPOINT, 1.0).status_code == 200, "an answer")
    assert {run["id"]: run["phase"] for run in plinth.client.runs(kind="job")} == before
    assert set(before.values()) <= {"succeeded", "failed"}
    assert running.starts() == "attempt 1\n"
