"""Plinth with its store on PostgreSQL: everything works, and the server may die and come back.

One home; the tests run in their order. test_postgres_pair.py has two control planes.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.journeys.plinth_node import Caller, Json, Plinth, infer, wait_for, y_of
from tests.journeys.postgres_server import PASSWORD
from tests.journeys.postgres_stand import Databases, plinth_on


@pytest.fixture(scope="module")
def plinth(
    databases: Databases, managed_environments: Path, free_port: Callable[[], int]
) -> Iterator[Plinth]:
    with plinth_on(databases, "one", managed_environments, free_port()) as started:
        yield started


def test_a_job_runs_a_model_serves_and_their_usage_arrives(plinth: Plinth) -> None:
    plinth.train("default", "1", "2")
    assert plinth.serve("scale", "models:/scale/1")["ready"]
    with plinth.http(plinth.key("default")) as caller:
        for _ in range(5):
            assert y_of(infer(caller, "scale", 10.0).json()) > 0
    wait_for(lambda: used(plinth, "endpoint/scale")["requests"] == 5, "the requests in the ledger")
    assert used(plinth, "job/train")["training_seconds"] > 0


def test_a_killed_server_loses_nothing_and_all_goes_on(
    plinth: Plinth, databases: Databases
) -> None:
    waits = plinth.submit("waits", "python", "waits.py")
    plinth.wait_for_line(waits, "waiting")
    before = {run["id"]: run["phase"] for run in plinth.client.runs()}
    with Caller(plinth.http(plinth.key("default")), "scale") as caller:
        caller.wait_for_answers(20)
        databases.server.kill()
        # Requests need no database; the API says that it is away, and what to do.
        caller.wait_for_answers(50)
        refused = plinth.http(plinth.home.admin_token.read_text()).get("/api/v1/runs")
        assert refused.status_code == 503
        error = refused.json()["error"]
        assert (error["code"], bool(error["hint"])) == ("unavailable", True)
        (plinth.home.runs / waits / "work" / "go").touch()
        log = plinth.home.units / f"{waits}.0.1" / "log"
        wait_for(lambda: "done" in log.read_text(), "the job's last line")
        databases.server.start()
        assert plinth.ended(waits)["phase"] == "succeeded"
        caller.wait_for_answers(20)
    assert caller.failed == []
    after = {run["id"]: run["phase"] for run in plinth.client.runs()}
    assert after == before | {waits: "succeeded"}
    assert [each["number"] for each in plinth.client.run(waits)["attempts"]] == [1]
    assert plinth.run("hello", "python", "hello.py")["phase"] == "succeeded"
    count = 5 + len(caller.ids)
    wait_for(lambda: used(plinth, "endpoint/scale")["requests"] == count, "each request, once")
    wait_for(plinth.is_up, "every part being ready")


def test_the_password_stands_in_the_settings_and_nowhere_else(plinth: Plinth) -> None:
    plinth.cli("status", "--json")
    shown = [plinth.cli("status").out, plinth.cli("logs", "control").out]
    shown += [path.read_text(errors="replace") for path in plinth.home.units.glob("*/*.json")]
    shown += [path.read_text(errors="replace") for path in plinth.home.units.glob("*/log")]
    shown.append((plinth.home.root / "agent.log").read_text())
    assert not [text for text in shown if PASSWORD in text]


def test_up_says_that_the_database_is_away(plinth: Plinth, free_port: Callable[[], int]) -> None:
    home = Path(tempfile.mkdtemp(prefix="pl-"))
    url = f"postgresql://ann:{PASSWORD}@127.0.0.1:{free_port()}/plinth"
    (home / "settings.toml").write_text(f'database = "{url}"\n')
    refused = plinth.cli("up", "--detach", "--home", str(home), check=False)
    assert refused.code == 1
    assert "ann:***@127.0.0.1" in refused.err
    assert "hint:" in refused.err
    assert PASSWORD not in refused.err
    (home / "settings.toml").write_text("control_planes = 2\n")
    refused = plinth.cli("up", "--detach", "--home", str(home), check=False)
    assert "with SQLite only 1 is possible" in refused.err
    assert not (home / "agent.log").exists()


def used(plinth: Plinth, workload: str) -> Json:
    """Return what a workload used by now; nothing of anything before its first record."""
    nothing = {"training_seconds": 0, "requests": 0}
    rows: list[Json] = [row for row in plinth.client.usage() if row["workload"] == workload]
    return rows[0] if rows else nothing
