"""Batch inference as a person runs it, on a whole Plinth: many files, `kill -9` of every part."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from uv import find_uv_bin

from plinth.environments import Environments, EnvironmentSpec, this_python
from plinth.kit.errors import NotFound
from plinth.runtimes.batch import load_batch_packages
from tests.journeys.package_index import build_or_skip
from tests.journeys.plinth_node import (
    FINAL,
    MODEL_PACKAGES,
    Plinth,
    is_alive,
    kill,
    running_plinth,
    wait_for,
)

TEAM = "research"
Json = dict[str, Any]


@pytest.fixture(scope="module")
def plinth(managed_environments: Path, free_port: Callable[[], int]) -> Iterator[Plinth]:
    teams = [TEAM, "ops"]
    packages, environments = (
        load_batch_packages(),
        Environments(managed_environments, find_uv_bin()),
    )
    for each in (packages.answer, (*MODEL_PACKAGES, *packages.beside)):
        build_or_skip(environments, EnvironmentSpec(each, this_python()))
    with running_plinth(managed_environments, free_port(), teams=teams) as plinth:
        plinth.train(TEAM, "2")
        yield plinth


def files(folder: Path, *rows: int) -> Path:
    """Write CSV files for the model `scale`; x goes on from file to file."""
    folder.mkdir(parents=True)
    first = 0
    for number, count in enumerate(rows):
        lines = [f"{first + row},{row},id-{first + row}" for row in range(count)]
        (folder / f"{number:02d}.csv").write_text("\n".join(["x,n,id", *lines]) + "\n")
        first += count
    return folder


def declared(plinth: Plinth, name: str, folder: Path, **fields: Any) -> str:
    """Write a batch's file; return its path."""
    return plinth.write(
        kind="batch",
        name=name,
        team=TEAM,
        model="models:/scale@champion",
        files=[f"{folder}/*.csv"],
        form="pyfunc",
        **fields,
    )


def started(plinth: Plinth, file: str, *options: str) -> str:
    return str(plinth.cli("batch", "run", file, "--detach", "--json", *options).json["id"])


def ended_of(plinth: Plinth, run_id: str) -> Json:
    """Return a run once it has ended."""

    def seen() -> Json | None:
        run = plinth.client.run(run_id)
        return run if run["phase"] in FINAL else None

    found: Json = wait_for(seen, f"the end of {run_id}", within_s=240)
    return found


def rows_in(plinth: Plinth, folder: Path) -> list[Json]:
    """Return the rows of all parts, read by the batch's own environment."""
    query = f"select * from read_parquet('{folder}/part-*.parquet') order by input_file, input_row"
    found = duckdb.sql(query)
    names = found.columns
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def parts(plinth: Plinth, run_id: str) -> dict[str, int]:
    """Return the parts that are there, with the number of each file on the disk."""
    folder = plinth.home.runs / run_id / "work" / "output"
    return {path.name: path.stat().st_ino for path in folder.glob("part-*")}


def workers(run_id: str) -> list[int]:
    """Return the worker processes of a run."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes()
        except OSError:
            continue
        if b"batchrunner.worker" in line and run_id.encode() in line:
            found.append(int(path.parent.name))
    return [pid for pid in found if is_alive(pid)]


def test_many_files_are_answered_and_the_result_is_brought(plinth: Plinth, tmp_path: Path) -> None:
    source = files(tmp_path / "in", 30, 0, 12)
    file = declared(plinth, "nightly", source, keep=["id"], mini_batch=20, workers=2)
    run_id = started(plinth, file)
    # What happens to the files afterwards does no harm.
    (source / "00.csv").write_text("x,n,id\nnothing,,\n")
    (source / "02.csv").unlink()
    ended = ended_of(plinth, run_id)
    assert ended["phase"] == "succeeded", plinth.log(run_id)
    target = tmp_path / "out"
    plinth.cli("batch", "output", "nightly", str(target))
    rows = rows_in(plinth, target)
    assert [(row["input_file"], row["input_row"]) for row in rows] == [
        *(("00.csv", row + 1) for row in range(30)),
        *(("02.csv", row + 1) for row in range(12)),
    ]
    assert [row["id"] for row in rows] == [f"id-{row}" for row in range(42)]
    assert [row["y"] for row in rows] == [2.0 * row for row in range(42)]
    manifest = json.loads((target / "manifest.json").read_text())
    assert (manifest["rows"], manifest["answered"], manifest["set_aside"]) == (42, 42, 0)
    assert manifest["model"]["version"] == 1
    refused = plinth.cli("batch", "output", "nightly", str(target), check=False)
    assert (refused.code, "is not an empty folder" in refused.err) == (1, True)
    shown = plinth.cli("get", "nightly").out
    assert "42 of 42 rows" in shown
    assert "pyfunc: the file asks for it" in shown
    version = plinth.client.data_version("nightly", version=None, team=TEAM)
    assert (version["rows"], len(version["files"])) == (42, 3)
    lineage = plinth.cli("lineage", "data", "nightly", "--team", TEAM).out
    assert f"made by run {run_id} of batch nightly" in lineage
    assert "model scale version 1" in lineage
    assert "data nightly-input@1" in lineage


def test_a_job_finds_all_files_of_a_data_version(plinth: Plinth, tmp_path: Path) -> None:
    source = files(tmp_path / "in", 3, 4)
    done = plinth.cli("data", "add", "many", f"{source}/*.csv", "--team", TEAM)
    assert "many@1: 7 rows" in done.err
    script = "import os; print(sorted(os.listdir(os.environ['PLINTH_DATA_MANY'])))"
    run = plinth.run("reads", "python", "-c", script, team=TEAM, data={"many": "many@1"})
    assert plinth.log(run["id"]) == "['00.csv', '01.csv']\n"
    again = plinth.cli("data", "add", "many", f"{source}/*.csv", "--team", TEAM)
    assert "(known before)" in again.err
    (source / "01.csv").write_text("other\n1\n")
    refused = plinth.cli("data", "add", "many", f"{source}/*.csv", "--team", TEAM, check=False)
    assert "file 2 of 2, `01.csv`: it has no column `id`, `n`, `x`" in refused.err


def test_kill_of_every_part_loses_and_doubles_nothing(plinth: Plinth, tmp_path: Path) -> None:
    source = files(tmp_path / "in", 500, 400, 300)
    file = declared(plinth, "storm", source, mini_batch=1, workers=2)
    run_id = started(plinth, file)
    victims: dict[str, Callable[[], int]] = {
        "worker": lambda: workers(run_id)[0],
        "control": lambda: plinth.pid_of("control"),
        "agent": plinth.agent_pid,
        "runner": lambda: plinth.pid_of(unit_of(plinth, run_id)),
        "supervisor": lambda: plinth.pid_of(unit_of(plinth, run_id), "supervisor"),
    }
    before: dict[str, int] = {}
    for name, victim in victims.items():
        wanted = len(before) + 40
        wait_for(lambda wanted=wanted: len(parts(plinth, run_id)) >= wanted, f"parts for {name}")
        before = parts(plinth, run_id)
        kill(victim())
        if name == "agent":
            # What it started goes on; the next one takes it over.
            plinth.up()
        wait_for(plinth.is_up, f"everything being up after the kill of the {name}")
    ended = ended_of(plinth, run_id)
    assert ended["phase"] == "succeeded", plinth.log(run_id)
    target = tmp_path / "out"
    plinth.cli("batch", "output", run_id, str(target))
    rows = rows_in(plinth, target)
    assert [row["y"] for row in rows] == [2.0 * row for row in range(1200)]
    after = parts(plinth, run_id)
    kept = [name for name, inode in before.items() if after[name] == inode]
    # A part without its line in the journal was not finished: at most one for each worker and kill.
    assert len(before) - len(kept) <= 2
    assert plinth.client.batch(run_id)["batch"]["progress"]["taken_over"] > 0
    assert len(ended["attempts"]) == 3


def unit_of(plinth: Plinth, run_id: str) -> str:
    def seen() -> list[str]:
        return [unit for unit in plinth.units() if unit.startswith(run_id)]

    return str(wait_for(seen, f"a unit of {run_id}")[0])


def test_nothing_runs_and_nothing_is_billed_but_the_run_itself(
    plinth: Plinth, tmp_path: Path
) -> None:
    file = declared(plinth, "billed", files(tmp_path / "in", 50), mini_batch=10)
    assert not [row for row in plinth.client.usage() if row["workload"] == "batch/billed"]
    run_id = started(plinth, file)
    ended = ended_of(plinth, run_id)
    assert not workers(run_id)
    assert not [unit for unit in plinth.units() if unit.startswith(run_id)]

    def billed() -> float:
        rows = [row for row in plinth.client.usage() if row["workload"] == "batch/billed"]
        return float(rows[0]["training_seconds"]) if rows else 0.0

    wait_for(billed, "the usage")
    (attempt,) = ended["attempts"]
    ran = datetime.fromisoformat(attempt["ended_at"]) - datetime.fromisoformat(
        attempt["started_at"]
    )
    assert billed() == pytest.approx(ran.total_seconds(), abs=0.01)


def test_too_many_errors_fail_the_run_and_another_goes_on(plinth: Plinth, tmp_path: Path) -> None:
    source = files(tmp_path / "in", 40, 10)
    (source / "01.csv").write_text("ex,n,id\n" + "1,2,3\n" * 10)
    file = declared(plinth, "strict", source, mini_batch=10)
    done = plinth.cli("batch", "run", file, check=False)
    assert done.code == 1
    assert "more than 0 of 50 rows failed (`error_threshold: 0`): `01.csv` row 1" in done.err
    assert "the file has no column `x`; it has `ex`, `n`, `id`" in done.err
    assert "40 rows are finished and can be taken over" in done.err
    run_id = plinth.client.runs(kind="batch")[0]["id"]
    target = tmp_path / "partial"
    plinth.cli("batch", "output", run_id, str(target))
    assert len(rows_in(plinth, target)) == 40
    assert not (target / "manifest.json").exists()
    lenient = declared(plinth, "strict", source, mini_batch=10, error_threshold="20%")
    again = plinth.cli("batch", "run", lenient, "--resume", run_id)
    assert "40 rows are a version of `strict`; 10 were set aside" in again.err
    resumed = plinth.client.batch(plinth.client.runs(kind="batch")[0]["id"])
    assert resumed["batch"]["progress"]["taken_over"] == 40
    other = declared(plinth, "strict", source, mini_batch=11)
    refused = plinth.cli("batch", "run", other, "--resume", run_id, check=False)
    assert "cannot be taken over: it had another `mini_batch`" in refused.err


def test_another_team_sees_nothing_of_it(plinth: Plinth) -> None:
    run_id = plinth.client.runs(kind="batch")[0]["id"]
    stranger = plinth.client_of(plinth.key("ops", role="operator"))
    for ask in (stranger.batch, stranger.batch_files):
        with pytest.raises(NotFound, match=f"no run `{run_id}`"):
            ask(run_id)
    assert not stranger.runs(kind="batch")


def test_a_link_that_the_model_leaves_is_not_followed(plinth: Plinth) -> None:
    run_id = plinth.client.runs(kind="batch")[0]["id"]
    output = plinth.home.runs / run_id / "work" / "output"
    os.symlink(plinth.home.admin_token, output / "part-09999-000000.parquet")
    listed = plinth.client.batch_files(run_id)["files"]
    assert "output/part-09999-000000.parquet" not in listed
    caller = plinth.http(plinth.home.admin_token.read_text())
    path = f"/api/v1/batches/{run_id}/files/output/part-09999-000000.parquet"
    assert caller.get(path).status_code == 404
