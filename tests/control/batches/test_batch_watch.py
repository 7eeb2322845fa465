"""A batch goes on behind its last mini-batch, until it is done or cannot succeed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from plinth.control.batches.preparation import order_folder, prepare_batch, work_folder
from plinth.control.runs.service import stop_run
from plinth.domain.run import Phase
from plinth.kit.errors import Conflict, Invalid, NotFound, Permanent
from plinth.store.runs import StoredRun
from tests.control.batches.batch_case import MLMODEL, add_files, batch_of, submit, write_output
from tests.control.plane import TEAM, Plane


@pytest.fixture
def ready(plane: Plane, monkeypatch: pytest.MonkeyPatch) -> Plane:
    plane.tracking.add_model(TEAM, "scale", ("champion",))
    add_files(plane, a="x\n1\n2\n", b="")
    download = plane.tracking.download_model

    def with_model(team: str, version: object, folder: Path) -> Path:
        download(team, version, folder)  # type: ignore[arg-type]
        (folder / "MLmodel").write_text(MLMODEL)
        return folder

    monkeypatch.setattr(plane.tracking, "download_model", with_model)
    return plane


def running(plane: Plane) -> StoredRun:
    run = submit(plane)
    plane.until(lambda: plane.run(run.id).phase is Phase.RUNNING)
    return plane.run(run.id)


def test_its_order_says_all_that_its_processes_need(ready: Plane) -> None:
    run = submit(ready, batch_of(keep=("x",), workers=3, form="pyfunc"))
    prepared = prepare_batch(ready.context, run, run.workload)  # type: ignore[arg-type]
    order = json.loads((order_folder(ready.context, run.id) / "order.json").read_text())
    assert [each["name"] for each in order["files"]] == ["a.csv", "b.csv"]
    assert Path(order["data"], "a.csv").read_text() == "x\n1\n2\n"
    assert (order["keep"], order["workers"], order["form"]) == (["x"], 3, "pyfunc")
    assert order["facts"]["model"]["version"] == 1
    assert [mount.path for mount in prepared.mounts if mount.writable] == [
        str(ready.home.runs / run.id)
    ]
    assert "PLINTH_KEY" not in prepared.variables


def test_a_model_that_mlflow_cannot_load_is_refused(plane: Plane) -> None:
    plane.tracking.add_model(TEAM, "scale", ("champion",))
    add_files(plane, a="x\n1\n")
    run = submit(plane)
    with pytest.raises(Permanent, match="cannot be read"):
        prepare_batch(plane.context, run, run.workload)  # type: ignore[arg-type]


def test_a_data_version_that_is_absent_is_named(ready: Plane) -> None:
    with pytest.raises(NotFound, match=r"no data version `other@2`; it has rows@1"):
        submit(ready, batch_of(data="other@2"))
    with pytest.raises(Invalid, match="`files` names files"):
        submit(ready, batch_of(data=None, files=("a.csv",)))


def test_only_an_ended_run_of_the_same_input_is_taken_over(ready: Plane) -> None:
    run = submit(ready)
    with pytest.raises(Conflict, match="it goes on by itself"):
        submit(ready, batch_of(resume=run.id))
    with pytest.raises(NotFound, match="there is no run"):
        submit(ready, batch_of(resume="r_absent"))


def test_what_an_ended_run_finished_is_handed_on_as_a_copy(ready: Plane) -> None:
    first = submit(ready)
    with ready.write() as connection:
        stop_run(connection, ready.context, first)
    ready.until(lambda: ready.run(first.id).phase.is_final)
    work = write_output(ready, first, 2)
    (work / "journal").mkdir()
    (work / "journal" / "a.jsonl").write_text("{}\n")
    (work / "identity.json").write_text("{}")
    second = submit(ready, batch_of(resume=first.id))
    prepare_batch(ready.context, second, second.workload)  # type: ignore[arg-type]
    taken = work_folder(ready.context, second.id)
    part = Path("output", "part-00000-000000.parquet")
    assert (taken / part).read_bytes() == (work / part).read_bytes()
    assert (taken / part).stat().st_ino != (work / part).stat().st_ino
    assert (taken / "journal" / "a.jsonl").exists()
    assert (taken / "identity.json").exists()
    assert not (taken / "manifest.json").exists()
    with pytest.raises(Conflict, match="it had another `mini_batch`"):
        submit(ready, batch_of(resume=first.id, mini_batch=3))


def test_its_end_publishes_the_output_in_the_transaction_that_ends_it(ready: Plane) -> None:
    run = running(ready)
    write_output(ready, run, 2)
    ready.world.end(f"{run.id}.0.1", 0)
    ready.until(lambda: ready.run(run.id).phase.is_final)
    ended = ready.run(run.id)
    assert (ended.phase, ended.message) == (
        Phase.SUCCEEDED,
        "2 rows are a version of `nightly`; 1 were set aside",
    )


def test_a_crash_is_tried_again_and_what_is_hopeless_is_not(ready: Plane) -> None:
    run = running(ready)
    ready.world.end(f"{run.id}.0.1", 1)
    ready.until(lambda: len(ready.attempts(run.id)) == 2)
    ready.until(lambda: ready.run(run.id).phase is Phase.RUNNING)
    ready.world.end(f"{run.id}.0.2", 3)
    ready.until(lambda: ready.run(run.id).phase.is_final)
    ended = ready.run(run.id)
    assert ended.phase is Phase.FAILED
    assert "0 rows are finished and can be taken over" in ended.message


def test_a_batch_that_ended_before_its_stop_is_published_all_the_same(ready: Plane) -> None:
    run = running(ready)
    write_output(ready, run, 2)
    ready.world.end(f"{run.id}.0.1", 0)
    with ready.write() as connection:
        stop_run(connection, ready.context, run)
    ready.until(lambda: ready.run(run.id).phase.is_final)
    assert ready.run(run.id).message.startswith("2 rows are a version of `nightly`")
