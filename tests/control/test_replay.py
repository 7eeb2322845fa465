"""What stands in the ledger is found again in its sources, or the difference is said."""

from __future__ import annotations

import json

import pytest

from plinth.control.replay import compare, main
from plinth.domain.run import Phase
from plinth.units.folder import UnitFolder
from plinth.units.worker_times import WorkerTime, note_end, note_start
from tests.control.plane import Plane
from tests.control.test_metering import line, lives, sleeping


def used(plane: Plane) -> Plane:
    """Return the plane after a job that ended, a server that runs, and some requests."""
    run = plane.submit()
    plane.until(lambda: plane.run(run).phase is Phase.RUNNING)
    serving = plane.apply().deployment
    plane.until(lambda: plane.run(serving).phase is Phase.RUNNING)
    plane.step(130)
    plane.world.end(f"{run}.0.1")
    plane.until(lambda: plane.run(run).closed)
    log = plane.home.gateway / "access.log"
    log.write_bytes(line() + b"nonsense\n" + line(id="q2"))
    plane.parts.metering.collect()
    return plane


def test_a_ledger_is_proven_by_its_sources(plane: Plane) -> None:
    compared = compare(used(plane).home, plane.database)
    assert compared.is_proven
    assert (compared.only_ledger, compared.only_sources, compared.not_kept) == (0, 0, 0)
    # Three intervals of the job, two of the server, two requests, one count of unreadable lines.
    assert compared.same == 8


def test_what_was_not_collected_yet_is_no_difference(plane: Plane) -> None:
    with (used(plane).home.gateway / "access.log").open("ab") as log:
        log.write(b"nonsense\n" + line(id="q3"))
    compared = compare(plane.home, plane.database)
    assert (compared.is_proven, compared.only_sources) == (True, 2)


def test_what_no_source_says_is_found(plane: Plane) -> None:
    log = used(plane).home.gateway / "access.log"
    log.write_bytes(line() + b"nonsense\n" + line(id="q9"))
    assert compare(plane.home, plane.database).only_ledger == 1


def test_a_source_that_is_not_kept_is_counted_apart(plane: Plane) -> None:
    (used(plane).home.gateway / "access.log").unlink()
    compared = compare(plane.home, plane.database)
    assert (compared.is_proven, compared.not_kept) == (True, 2)


def test_the_program_prints_json_and_ends_with_1_for_a_difference(
    plane: Plane, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--home", str(used(plane).home.root)]
    assert main(arguments) == 0
    assert json.loads(capsys.readouterr().out)["proven"] is True
    (plane.home.gateway / "access.log").write_bytes(line())
    assert main(arguments) == 1
    (plane.home.root / "settings.toml").write_text("database = 1")
    assert main(arguments) == 1
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["error"]["message"]


def test_the_workers_of_a_flow_are_found_again_in_the_file_of_its_unit(plane: Plane) -> None:
    run = sleeping(plane)
    lives(plane, run, (0, 75), (100, 101.5))
    plane.step(130)
    plane.parts.metering.collect()
    folder = UnitFolder(plane.home.units / f"{run}.0.1")
    folder.path.mkdir(parents=True)
    for each in plane.world.replicas[f"{run}.0.1"].workers:
        life = WorkerTime(each.number, each.started_at, each.ended_at)
        note_start(folder.workers, life, [])
        note_end(folder.workers, life, None, [])
    compared = compare(plane.home, plane.database)
    assert (compared.is_proven, compared.same, compared.not_kept) == (True, 3, 0)
    # With its run the file goes, and what it said stays in the ledger.
    folder.workers.unlink()
    compared = compare(plane.home, plane.database)
    assert (compared.is_proven, compared.not_kept) == (True, 3)
