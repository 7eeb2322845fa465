"""`plinth batch`: run many files, watch them, bring the result."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from plinth.cli import batch
from tests.api.service import TEAM
from tests.cli.terminal import Steps, Terminal
from tests.control.batches.batch_case import write_output


@pytest.fixture
def ready(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setattr(batch, "time", Steps(terminal.service))
    terminal.service.plane.tracking.add_model(TEAM, "scale", ("champion",))
    return terminal


def written(terminal: Terminal, tmp_path: Path, **fields: object) -> Path:
    for name in ("a", "b"):
        (tmp_path / f"{name}.csv").write_text(f"x\n{len(name)}\n")
    declared = {"kind": "batch", "name": "nightly", "team": TEAM, "files": ["*.csv"]}
    path = tmp_path / "batch.yaml"
    path.write_text(json.dumps({**declared, "model": "models:/scale@champion", **fields}))
    return path


def test_files_are_sent_as_a_version_and_the_batch_is_listed(
    ready: Terminal, tmp_path: Path
) -> None:
    assert "no batches yet" in ready("batch").err
    said = ready("batch", "run", written(ready, tmp_path), "--detach")
    assert "2 files are `nightly-input@1`" in said.err
    assert "accepted" in said.err
    again = ready("batch", "run", written(ready, tmp_path), "--detach", "--json")
    assert again.json["workload"]["data"] == "nightly-input@1"
    assert [row["name"] for row in ready("batch", "list", "--json").json] == ["nightly"] * 2
    assert "nightly" in ready("batch").out
    assert "batch nightly" in ready("get", "nightly").out


def test_the_result_is_brought_into_an_empty_folder_only(ready: Terminal, tmp_path: Path) -> None:
    made = ready("batch", "run", written(ready, tmp_path), "--detach", "--json").json
    target = tmp_path / "out"
    assert "has finished nothing yet" in ready("batch", "output", made["id"], target).err
    plane = ready.service.plane
    write_output(plane, plane.run(made["id"]), 2)
    assert "2 files are in" in ready("batch", "output", "nightly", target).err
    names = sorted(path.name for path in target.iterdir())
    assert names == ["manifest.json", "part-00000-000000.parquet"]
    assert "is not an empty folder" in ready("batch", "output", "nightly", target).err
    assert "there is no batch `other`" in ready("batch", "output", "other", tmp_path / "x").err


def test_another_kind_of_file_is_refused(ready: Terminal, tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(json.dumps({"kind": "job", "name": "j", "command": "x"}))
    said = ready("batch", "run", path)
    assert "is of kind `job`; accepted here: `batch`" in said.err


def test_a_run_that_fails_says_how_to_go_on(ready: Terminal, tmp_path: Path) -> None:
    said = ready("batch", "run", written(ready, tmp_path))
    assert said.code == 1
    assert "--resume r_" in said.err
