"""A disk that is full: what runs goes on, ends and stops are written, the rest is told and waits.

One home on a small disk of its own, which a job fills with its output.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from plinth.kit.errors import PlinthError
from plinth.units.client import AgentClient
from tests.journeys.kill_matrix import is_at, paused, pid_of, touch, try_often, wait_until_tidy
from tests.journeys.kill_points import CONTROL
from tests.journeys.kill_stage import write
from tests.journeys.plinth_node import Plinth, is_alive, kill, running_plinth, wait_for

SIZE = "48m"

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")


@contextmanager
def small_disk() -> Iterator[Path]:
    """Mount a disk of `SIZE` for a block."""
    folder = Path(tempfile.mkdtemp(prefix="pl-"))
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "none", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.fixture(scope="module")
def plinth(managed_environments: Path, free_port: Callable[[], int]) -> Iterator[Plinth]:
    with (
        small_disk() as folder,
        running_plinth(managed_environments, free_port(), folder=folder) as running,
    ):
        yield running


class Filled:
    """A disk that a job fills with its output until it is told to give the room back."""

    def __init__(self, plinth: Plinth) -> None:
        self.plinth = plinth
        self.run = plinth.submit("fills", "python", "fills.py", "fill")
        unit = plinth.home.units / f"{self.run}.0.1"
        self._log = unit / "log"
        wait_for((unit / "identity.json").exists, "the job that fills it")

    def is_full(self) -> bool:
        return os.statvfs(self.plinth.home.root).f_bavail == 0

    def give_back(self) -> None:
        """Do what a person does who is told that the disk is full."""
        os.truncate(self._log, 0)

    def __enter__(self) -> Filled:
        touch(self.plinth, self.run, "fill")
        wait_for(self.is_full, "the disk being full")
        return self

    def __exit__(self, *_: object) -> None:
        self.give_back()


def test_ends_and_stops_are_written_on_a_full_disk_and_people_are_told(plinth: Plinth) -> None:
    ends = plinth.submit("ends", "python", "waits.py", attempts=3)
    stops = plinth.submit("stops", "python", "waits.py")
    for run in (ends, stops):
        plinth.wait_for_line(run, "waiting")
        wait_for(lambda r=run: is_at(plinth, r, "running"), "its row")
    (plinth.home.runs / ends / "work" / "go").touch()
    unit = f"{stops}.0.1"
    with Filled(plinth) as disk:
        # The engine can be told to stop, and writes that down; the run's row says so later.
        AgentClient(plinth.home.socket("agent")).stop(unit, 1.0)
        for run in (ends, stops):
            wait_for((plinth.home.units / f"{run}.0.1" / "exit.json").exists, "its end")
        with pytest.raises(PlinthError) as refused:
            _submit_until_refused(plinth)
        assert (refused.value.code, refused.value.status) == ("disk_full", 503)
        assert "free some space" in (refused.value.hint or "")
        assert plinth.client.run(ends)["phase"] in ("running", "succeeded")
        assert disk.is_full()
    ended = plinth.ended(ends)
    assert (ended["phase"], len(ended["attempts"])) == ("succeeded", 1)
    stopped = plinth.ended(stops)
    assert (stopped["phase"], len(stopped["attempts"])) == ("failed", 1)
    assert "stopped from outside" in stopped["message"]
    touch(plinth, disk.run)
    filled = plinth.ended(disk.run)
    assert (filled["phase"], filled["exit_code"], len(filled["attempts"])) == ("succeeded", 0, 1)
    wait_until_tidy(plinth)


def _submit_until_refused(plinth: Plinth) -> None:
    # The journal of the database may still have room for some.
    for _ in range(200):
        run = plinth.submit("small", "python", "hello.py")
        plinth.client.stop_run(run)


def test_a_snapshot_that_cannot_be_written_is_told_and_written_when_there_is_room(
    plinth: Plinth,
) -> None:
    key = plinth.client.create_key(team="default", name="leaves", role="viewer", days=1.0)
    with plinth.http(key["token"]) as caller:
        wait_for(lambda: caller.get("/v2").status_code == 200, "the key being known")
        disk = Filled(plinth)
        with ExitStack() as control:
            control.enter_context(paused(pid_of(plinth, CONTROL)))
            write(plinth, "update key set revoked_at = created_at where id = ?", key["id"])
            with disk:
                control.close()
                error = wait_for(lambda: plinth.client.status()["errors"].get("gateway"), "a word")
                assert "the disk is full" in error or "No space left" in error
                # What was published before goes on.
                assert caller.get("/v2").status_code == 200
                assert disk.is_full()
        wait_for(lambda: caller.get("/v2").status_code == 401, "the key being refused")
    wait_for(lambda: not plinth.client.status()["errors"], "all being well again")
    touch(plinth, disk.run)
    assert plinth.ended(disk.run)["phase"] == "succeeded"


def test_a_control_plane_that_is_killed_on_a_full_disk_is_back_when_there_is_room(
    plinth: Plinth,
) -> None:
    run = plinth.submit("meanwhile", "python", "waits.py")
    plinth.wait_for_line(run, "waiting")
    with Filled(plinth) as disk:
        old = pid_of(plinth, CONTROL)
        kill(old)
        wait_for(lambda: not is_alive(old), "its end")
        (plinth.home.runs / run / "work" / "go").touch()
        wait_for((plinth.home.units / f"{run}.0.1" / "exit.json").exists, "the end of a job")
        seen = plinth.cli("status", check=False)
        assert seen.code == 1
        assert "control" in seen.out + seen.err
    try_often(plinth.is_up, "all being up again")
    ended = plinth.ended(run)
    assert (ended["phase"], len(ended["attempts"])) == ("succeeded", 1)
    touch(plinth, disk.run)
    assert plinth.ended(disk.run)["phase"] == "succeeded"
    wait_until_tidy(plinth)


def test_plinth_can_be_stopped_on_a_full_disk(plinth: Plinth) -> None:
    run = plinth.submit("last", "python", "waits.py")
    plinth.wait_for_line(run, "waiting")
    with Filled(plinth):
        done = plinth.cli("down", "--force", check=False)
        assert done.code == 0, done.err
    plinth.up()
    assert plinth.ended(run)["phase"] == "failed"
