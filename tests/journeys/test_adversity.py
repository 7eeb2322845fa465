"""A busy database, and a machine that loses its power: nothing accepted is lost, people are told.

One home; the tests run in their order. The full disk has a file of its own.
"""

from __future__ import annotations

import json
import secrets
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from plinth.environments import EnvironmentSpec, this_python
from plinth.kit.errors import PlinthError
from plinth.kit.files import locked, write_json
from plinth.units import processes
from plinth.units.client import AgentClient
from tests.journeys.kill_matrix import Matrix, end_of, is_at, touch, try_often, wait_until_tidy
from tests.journeys.kill_stage import Stage
from tests.journeys.plinth_node import (
    Plinth,
    infer,
    is_alive,
    kill,
    running_plinth,
    wait_for,
)

ENDPOINT = "scale"
UNBUILT = f"nothing=={secrets.randbelow(10**9)}; python_version < '3'"
# Longer than a writer waits for another one.
BUSY_S = 15.0


@pytest.fixture(scope="module")
def stage(managed_environments: Path, free_port: Callable[[], int]) -> Iterator[Stage]:
    with running_plinth(managed_environments, free_port()) as plinth:
        plinth.train("default", "2")
        plinth.serve(ENDPOINT, "models:/scale@champion", grace=1)
        yield Stage(plinth, Matrix(plinth))
    digest = EnvironmentSpec((UNBUILT,), this_python()).digest
    shutil.rmtree(managed_environments / digest, ignore_errors=True)
    (managed_environments / f".{digest}.lock").unlink(missing_ok=True)


@contextmanager
def write_lock_on(path: Path) -> Iterator[None]:
    """Hold the database's only write lock for a block, as a stranger's tool would."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("begin immediate")
        try:
            yield
        finally:
            connection.execute("rollback")


def test_a_database_that_is_busy_for_long_loses_nothing_and_says_so(stage: Stage) -> None:
    plinth = stage.plinth
    ends, goes_on = stage.running("ends"), stage.running("goes-on")
    key = plinth.key("default")
    with ExitStack() as stack:
        for path in (plinth.home.database, plinth.home.ledger):
            stack.enter_context(write_lock_on(path))
        began = time.monotonic()
        touch(plinth, ends)
        with pytest.raises(PlinthError) as refused:
            stage.witness("refused")
        assert (refused.value.code, refused.value.status) == ("database_busy", 503)
        assert refused.value.hint
        with plinth.http(key) as caller:
            assert infer(caller, ENDPOINT, 1.0).status_code == 200
        # Readers never wait.
        assert plinth.client.run(ends)["phase"] == "running"
        errors = wait_for(lambda: plinth.client.status()["errors"], "somebody being told")
        assert "metering" in errors, errors
        time.sleep(max(0.0, began + BUSY_S - time.monotonic()))
    accepted = stage.witness("accepted")
    what = "the end that nobody could write"
    # Not only when the leases end that were taken before: those last for a minute.
    wait_for(lambda: is_at(plinth, ends, "succeeded"), what, within_s=20.0)
    end_of(plinth, ends, "succeeded", 1)
    for run in (goes_on, accepted):
        plinth.wait_for_line(run, "running")
        touch(plinth, run)
        end_of(plinth, run, "succeeded", 1)
    wait_for(lambda: not plinth.client.status()["errors"], "all being well again")
    names = [run["name"] for run in plinth.client.runs(kind="job")]
    assert "refused" not in names


def test_after_a_loss_of_power_everything_accepted_goes_on_and_what_was_lost_is_said(
    stage: Stage, managed_environments: Path
) -> None:
    plinth = stage.plinth
    digest = EnvironmentSpec((UNBUILT,), this_python()).digest
    with locked(managed_environments / f".{digest}.lock"):
        building = stage.witness("building", environment={"packages": [UNBUILT]})
        once, twice = stage.running("once"), stage.running("twice", attempts=2)
        stopped = stage.ending("stopped")
        unseen = stage.running("unseen")
        wait_for(lambda: is_at(plinth, building, "pending", 0), "its row")
        before = {unit["id"] for unit in plinth.client.status()["units"]}
        _lose_power(plinth, ended=f"{unseen}.0.1")
        _boot(plinth)
        plinth.up()
    for run in (once, twice, stopped):
        touch(plinth, run, "go.2")
    reason = "the machine was started anew"
    assert end_of(plinth, once, "failed", 1, slack_s=60).run["message"] == reason
    first, second = end_of(plinth, twice, "succeeded", 2, slack_s=60).attempts()
    assert (first["reason"], second["reason"]) == (reason, None)
    end_of(plinth, stopped, "stopped", 1, slack_s=60)
    # Its end had been written before the power went.
    end_of(plinth, unseen, "succeeded", 1)
    plinth.wait_for_line(building, "running")
    touch(plinth, building)
    end_of(plinth, building, "succeeded", 1)
    with plinth.http(plinth.key("default")) as caller:
        try_often(lambda: infer(caller, ENDPOINT, 1.0).status_code == 200, "an answer")
    shown = plinth.client.run(str(plinth.client.endpoint(ENDPOINT)["serving"]["main"]))
    assert [a["reason"] for a in shown["attempts"]][:1] == [reason]
    assert before <= {unit["id"] for unit in plinth.client.status()["units"]}
    wait_until_tidy(plinth)


def _lose_power(plinth: Plinth, *, ended: str) -> None:
    """Kill every process of the home so that none sees another's end; `ended` ends before."""
    identities = [json.loads(p.read_text()) for p in plinth.home.units.glob("*/identity.json")]
    agent = AgentClient(plinth.home.socket("agent")).ping().pid
    kill(agent, plinth.pid_of("control"))
    touch(plinth, ended.partition(".")[0])
    wait_for((plinth.home.units / ended / "exit.json").exists, "the end of one of them")
    for who in ("guard", "supervisor", "child"):
        for identity in identities:
            processes.send(processes.Process(**identity[who]), 9)
    for folder in plinth.home.units.iterdir():
        for process in processes.left_behind(processes.Process(-1, 0), str(folder)):
            processes.send(process, 9)
    pids = [identity[who]["pid"] for identity in identities for who in ("supervisor", "child")]
    wait_for(lambda: not any(map(is_alive, pids)), "the dark")


def _boot(plinth: Plinth) -> None:
    """Make what is written on the disk another boot's: the same numbers name strangers now."""
    for path in plinth.home.units.glob("*/identity.json"):
        identity = json.loads(path.read_text())
        write_json(path, {**identity, "boot_id": "former", "child": identity["supervisor"]})
