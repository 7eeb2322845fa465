"""Batches are submitted, shown with how far they are, and their files fetched."""

from __future__ import annotations

import json
from typing import Any

import pytest

from plinth.control.batches.preparation import work_folder
from tests.api.service import TEAM, Service, error_of
from tests.control.batches.batch_case import add_files, write_output

BATCH = {
    "kind": "batch",
    "name": "nightly",
    "team": TEAM,
    "model": "models:/scale@champion",
    "data": "rows",
}


@pytest.fixture
def ready(service: Service) -> Service:
    service.plane.tracking.add_model(TEAM, "scale", ("champion",))
    add_files(service.plane, a="x\n1\n")
    return service


def submit(service: Service, **fields: Any) -> Any:
    return service.call(service.admin, "POST", "/batches", json={**BATCH, **fields})


def test_a_submitted_batch_is_shown_with_its_model_and_its_data(ready: Service) -> None:
    made = submit(ready).json()
    shown = ready.as_admin("GET", f"/batches/{made['id']}")
    assert (shown["kind"], shown["phase"]) == ("batch", "pending")
    assert shown["model"]["version"] == 1
    assert shown["data"]["input"]["name"] == "rows"
    assert shown["plan"]["chosen"]["platform"] == "local"
    assert shown["batch"]["words"] == "waiting"
    assert shown["batch"]["output"] is None


def test_how_far_it_is_is_told_and_lies_are_left_out(ready: Service) -> None:
    run_id = submit(ready).json()["id"]
    work = work_folder(ready.plane.context, run_id)
    work.mkdir(parents=True)
    told = {"step": "answering rows", "rows": 10, "rows_done": 4, "rows_per_second": 2.0}
    told |= {"left_s": 3.0, "errors": "many", "workers": -1, "secret": "x"}
    (work / "progress.json").write_text(json.dumps(told))
    shown = ready.as_admin("GET", f"/batches/{run_id}")["batch"]
    assert shown["words"] == "4 of 10 rows, 2 a second, 3.0s left"
    assert (shown["progress"]["errors"], shown["progress"]["workers"]) == (0, 0)
    assert "secret" not in shown["progress"]


def test_a_model_or_data_version_that_is_absent_is_named(ready: Service) -> None:
    assert "no model `other`" in error_of(submit(ready, model="models:/other/1"))["message"]
    assert "it has rows@1" in error_of(submit(ready, data="rows@2"))["message"]


def test_its_files_are_fetched_by_name_and_nothing_else_is(ready: Service) -> None:
    made = submit(ready).json()
    run = ready.plane.run(made["id"])
    write_output(ready.plane, run, 2)
    at = f"/batches/{run.id}/files"
    listed = ready.as_admin("GET", at)["files"]
    assert listed == ["manifest.json", "output/part-00000-000000.parquet"]
    got = ready.call(ready.admin, "GET", f"{at}/{listed[1]}")
    assert (got.status_code, got.content) == (200, b"0 2")
    for name in ("progress.json", "output/x", "journal/a.jsonl"):
        assert ready.call(ready.admin, "GET", f"{at}/{name}").status_code == 404, name


def test_a_job_is_no_batch(ready: Service) -> None:
    run_id = ready.plane.submit(name="job")
    answer = ready.call(ready.admin, "GET", f"/batches/{run_id}")
    assert (answer.status_code, "is no batch" in answer.text) == (404, True)
