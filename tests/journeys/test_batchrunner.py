"""The batch program in a real environment: models as ONNX and not, bad files, kills at any point.

Needs a package index the first time; the environment is kept between runs.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import uv

from plinth.environments import BuiltEnvironment, Environments, EnvironmentSpec, this_python
from plinth.kit.files import locked
from plinth.kit.ids import digest_of
from plinth.runtimes.batch import load_batch_packages
from tests.journeys.batch_stand import Stand, kill, wait_until
from tests.journeys.package_index import build_or_skip

_OURS = load_batch_packages()
_PACKAGES = (
    *(*_OURS.answer, *_OURS.convert, "pandas"),
    *("mlflow-skinny==3.17.2", "scikit-learn==1.9.1", "cloudpickle"),
)
_MODELS = Path(__file__).with_name("batch_models.py")
_ANSWERS = Path(__file__).with_name("form_answers.py")
HOPELESS = 3


@pytest.fixture(scope="session")
def batch_environment(managed_environments: Path) -> BuiltEnvironment:
    environments = Environments(managed_environments, uv.find_uv_bin())
    return build_or_skip(environments, EnvironmentSpec(_PACKAGES, this_python()))


@pytest.fixture(scope="session")
def batch_models(managed_environments: Path, batch_environment: BuiltEnvironment) -> Path:
    """Return the folder of the saved models; saved once for each script and environment."""
    digest = digest_of(_MODELS.read_bytes() + batch_environment.digest.encode())[:16]
    folder = managed_environments.parent / f"plinth-batch-models-{digest}"
    with locked(folder.with_suffix(".lock")):
        if not (folder / "complete").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            subprocess.run(
                [batch_environment.python, str(_MODELS), str(folder)],
                check=True,
                capture_output=True,
            )
    return folder


Make = Callable[..., Stand]


@pytest.fixture
def make(tmp_path: Path, batch_environment: BuiltEnvironment, batch_models: Path) -> Make:
    """Return what makes a run over `files` (name -> text), or over the models' own table."""

    def made(model: str, files: dict[str, str] | None = None, **options: Any) -> Stand:
        data = tmp_path / "in"
        data.mkdir()
        if files is None:
            shutil.copy(batch_models / "table.parquet", data)
        for name, text in (files or {}).items():
            (data / name).write_text(text)
        work = tmp_path / "work"
        return Stand(batch_environment.python, batch_models / model, data, work, options)

    return made


def csv_of(rows: int, said: dict[int, str] | None = None, first: int = 0) -> str:
    """Return a file for the model `careful`: x is the number of the row."""
    lines = [f"{first + row},{(said or {}).get(row, '')}" for row in range(rows)]
    return "\n".join(["x,said", *lines]) + "\n"


def places(rows: list[dict[str, Any]]) -> list[tuple[str, int]]:
    return sorted((row["input_file"], row["input_row"]) for row in rows)


@pytest.mark.parametrize("model", ["trees", "labels", "counts", "forest"])
def test_a_model_that_answers_the_same_as_onnx_runs_as_onnx(make: Make, model: str) -> None:
    stand = make(model, form="auto", keep=["id"], mini_batch=300, workers=2)
    if model == "forest":
        shutil.copy(stand.data / "table.parquet", stand.data / "all.parquet")
        _only_numbers(stand)
    code, said = stand.run()
    assert code == 0, said
    form = stand.manifest["form"]
    assert form["form"] == "onnx", form["why"]
    assert form["compared"]["rows"] >= 2000
    assert form["compared"]["largest_difference"] < 1e-2
    assert (stand.manifest["rows"], stand.manifest["answered"]) == (2000, 2000)
    rows = stand.rows()
    assert [row["id"] for row in rows] == list(range(2000))
    types = stand.types()
    shutil.rmtree(stand.work)
    (stand.work.parent / "order.json").unlink()
    stand.options["form"] = "pyfunc"
    assert stand.run()[0] == 0
    assert stand.types() == types
    for one, other in zip(rows, stand.rows(), strict=True):
        assert list(one) == list(other)
        for name in [each for each in one if each.startswith("prediction")]:
            assert one[name] == pytest.approx(other[name], abs=1e-5, rel=1e-4)


def test_numbers_that_onnx_has_not_are_set_aside_with_what_to_do(make: Make) -> None:
    text = "carrier,distance,temp\nA,100,1\nB,1e300,1\nC,200,inf\nD,300,\nE,-1e39,2\n"
    stand = make("counts", {"a.csv": text}, form="auto", error_threshold="80%")
    code, said = stand.run()
    assert code == 0, said
    assert stand.manifest["form"]["form"] == "onnx", stand.manifest["form"]
    assert [row["input_row"] for row in stand.rows()] == [1, 4]
    first, *_ = (row["error"] for row in stand.rows("quarantine"))
    assert first == (
        "`distance`: `1e+300` is no number that the model's ONNX form takes (32 bits, finite); "
        "with `form: pyfunc` the model itself is asked"
    )


def test_all_parts_have_the_types_of_the_signature(make: Make) -> None:
    text = csv_of(4, {1: "none", 3: "none"})
    stand = make("careful", {"a.csv": text}, mini_batch=1, keep=["x"])
    code, said = stand.run()
    assert code == 0, said
    assert [row["y"] for row in stand.rows()] == [0.0, None, 4.0, None]
    assert stand.types() == [["string", "int64", "double", "double"]]


def test_the_model_server_answers_alike_in_both_forms(
    tmp_path: Path, batch_environment: BuiltEnvironment
) -> None:
    done = subprocess.run(
        [batch_environment.python, str(_ANSWERS), str(tmp_path)],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(_OURS.folder), "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    reasons = {name: each["why"] for name, each in told.items() if each["form"] == "pyfunc"}
    assert list(reasons) == ["unknown", "own"]
    assert "`predict_log_proba`" in reasons["unknown"]
    assert "FunctionTransformer" in reasons["own"]
    for name, each in told.items():
        if name in reasons:
            continue
        compared = each["compared"]
        assert compared["rows"] >= 700, name
        assert compared["speed"]["onnx"]["one_row_ms"] < compared["speed"]["pyfunc"]["one_row_ms"]
        for before, after in zip(each["before"], each["after"], strict=True):
            assert [tensor[:3] for tensor in before] == [tensor[:3] for tensor in after], name
            for (*_, ours), (*_, theirs) in zip(before, after, strict=True):
                numbers = isinstance(ours[0], float)
                same = pytest.approx(ours, abs=1e-5, rel=1e-4) if numbers else ours
                assert theirs == same, name
    types = {name: each["before"][0][0][1] for name, each in told.items() if "before" in each}
    assert types["texts"] == types["refusing"] == "BYTES"
    assert (types["booleans"], types["whole"], types["single"]) == ("BOOL", "INT32", "FP32")


def _only_numbers(stand: Stand) -> None:
    script = (
        "import sys, pandas as pd\n"
        "t = pd.read_parquet(sys.argv[1])[['id', 'distance', 'temp']].fillna(0)\n"
        "t.to_parquet(sys.argv[1], index=False)"
    )
    target = stand.data / "table.parquet"
    subprocess.run([stand.python, "-c", script, str(target)], check=True)
    (stand.data / "all.parquet").unlink()


def test_a_model_that_is_not_of_scikit_learn_stays_as_it_is(make: Make) -> None:
    stand = make("careful", {"a.csv": csv_of(25)}, form="auto")
    assert stand.run()[0] == 0
    assert stand.manifest["form"]["form"] == "pyfunc"
    assert "only models of scikit-learn" in stand.manifest["form"]["why"]


def test_onnx_that_was_asked_for_and_cannot_be_ends_the_run_with_the_reason(make: Make) -> None:
    stand = make("careful", {"a.csv": csv_of(5)}, form="onnx")
    code, said = stand.run()
    assert code == HOPELESS
    assert "error: the model cannot be run as ONNX: only models of scikit-learn" in said


def test_each_row_is_answered_once_over_files_of_all_kinds(make: Make) -> None:
    files = {
        "a.csv": csv_of(33),
        "b.jsonl": "".join(f'{{"x": {row}, "said": "", "more": [1]}}\n' for row in range(12)),
        "c.csv": "x,said\n",
        "d.csv": "",
        "e.csv": 'said,x,other\n"a\nb",7,\n"c""d",8,z\n',
    }
    stand = make("careful", files, workers=2)
    code, said = stand.run()
    assert code == 0, said
    rows = stand.rows()
    wanted = [("a.csv", row + 1) for row in range(33)] + [("b.jsonl", r + 1) for r in range(12)]
    assert places(rows) == sorted([*wanted, ("e.csv", 1), ("e.csv", 2)])
    of_a = {row["input_row"]: row["y"] for row in rows if row["input_file"] == "a.csv"}
    assert of_a == {row + 1: row * 2.0 for row in range(33)}
    assert [part["rows"] for part in stand.manifest["parts"]] == [10, 10, 10, 3, 10, 2, 2]
    assert [each["rows"] for each in stand.manifest["files"]] == [33, 12, 0, 0, 2]


def test_a_changed_schema_in_file_17_of_40_sets_its_rows_aside(make: Make) -> None:
    files = {f"{number:02d}.csv": csv_of(10) for number in range(1, 41)}
    files["17.csv"] = files["17.csv"].replace("x,said", "ex,said")
    stand = make("careful", files, error_threshold="10")
    code, said = stand.run()
    assert code == 0, said
    assert (stand.manifest["answered"], stand.manifest["set_aside"]) == (390, 10)
    aside = stand.rows("quarantine")
    assert {row["input_file"] for row in aside} == {"17.csv"}
    assert aside[0]["error"] == "the file has no column `x`; it has `ex`, `said`"
    assert aside[3]["content"] == '{"ex": "3", "said": ""}'


def test_more_errors_than_may_end_the_run_and_what_is_finished_stays(make: Make) -> None:
    files = {"a.csv": csv_of(40), "b.csv": csv_of(10).replace("x,", "ex,")}
    stand = make("careful", files, error_threshold="5")
    code, said = stand.run()
    assert code == HOPELESS
    last = said.strip().splitlines()[-1]
    assert last.startswith("error: more than 5 of 50 rows failed (`error_threshold: 5`): `b.csv`")
    assert "row 1: the file has no column `x`" in last
    assert len(stand.rows()) == 40
    before = stand.finished()
    order = stand.work.parent / "order.json"
    order.write_text(order.read_text().replace('"error_threshold": "5"', '"error_threshold": "10"'))
    assert stand.run()[0] == 0
    assert stand.finished() == before
    assert stand.manifest["set_aside"] == 10


def test_rows_that_are_poison_are_set_aside_alone(make: Make) -> None:
    lines = csv_of(30, {4: "raise", 17: "raise", 25: "exit"}).splitlines()
    lines[8] = "seven,"
    lines[20] = "1,2,3"
    lines[22] = ","
    stand = make("careful", {"a.csv": "\n".join(lines)}, error_threshold="20%")
    code, said = stand.run()
    assert code == 0, said
    aside = {row["input_row"]: row["error"] for row in stand.rows("quarantine")}
    assert aside == {
        5: "the model raised ValueError: told to raise",
        8: "`x`: `seven` is not a number",
        18: "the model raised ValueError: told to raise",
        20: "has 3 values, the header has 2",
        22: "`x` has no value, and the model's signature allows no missing one",
        26: "the model raised SystemExit: 0",
    }
    kept = [row["input_row"] for row in stand.rows()]
    assert kept == [row for row in range(1, 31) if row not in aside]


def test_a_damaged_file_is_found(make: Make) -> None:
    stand = make("careful", {"a.csv": csv_of(10)})
    stand.order()
    (stand.data / "a.csv").write_text(csv_of(10).replace("3", "4"))
    code, said = stand.run()
    assert code == HOPELESS
    assert "error: `a.csv` is damaged: its digest is" in said


def test_a_file_that_is_gone_is_named(make: Make) -> None:
    stand = make("careful", {"a.csv": csv_of(10)})
    stand.order()
    (stand.data / "a.csv").unlink()
    code, said = stand.run()
    assert (code, "error: `a.csv` cannot be read" in said) == (HOPELESS, True)


def test_a_row_that_kills_its_worker_ends_the_run_naming_where(make: Make) -> None:
    stand = make("careful", {"a.csv": csv_of(30, {15: "die"})})
    code, said = stand.run()
    assert code == HOPELESS
    assert "error: a worker was ended by SIGKILL, 3 times at mini-batch 1 of `a.csv`" in said
    assert len(stand.rows()) == 20 or len(stand.rows()) == 10


def test_a_model_that_does_not_answer_row_by_row_is_no_batch(make: Make) -> None:
    stand = make("careful", {"a.csv": csv_of(5, {0: "short"})})
    code, said = stand.run()
    assert code == HOPELESS
    assert "the model answered 5 rows with 1 values of `y`" in said


def test_too_many_parts_are_refused_before_any_is_written(make: Make) -> None:
    stand = make("careful", {"a.csv": csv_of(10_001)}, mini_batch=1)
    code, said = stand.run()
    assert code == HOPELESS
    assert "10,001 rows in mini-batches of 1 make 10,001 files; at most 10,000" in said


def test_another_model_takes_over_nothing(make: Make) -> None:
    stand = make("careful", {"a.csv": csv_of(10)})
    assert stand.run()[0] == 0
    order = stand.work.parent / "order.json"
    order.write_text(order.read_text().replace('"version": 1', '"version": 2'))
    code, said = stand.run()
    assert code == HOPELESS
    assert "of another `model`, so it cannot be taken over" in said


def test_killed_at_random_it_goes_on_and_finished_parts_are_not_written_again(make: Make) -> None:
    files = {f"{number}.csv": csv_of(60, {0: "sleep"}) for number in range(4)}
    stand = make("careful", files, mini_batch=5, workers=2)
    chance, before = random.Random(7), {}
    for _ in range(4):
        _run_for_a_while(stand, len(before) + chance.randrange(1, 8))
        after = stand.finished()
        assert before.items() <= after.items()
        before = {name: inode for name, inode in after.items() if name in _journaled(stand)}
    code, said = stand.run()
    assert code == 0, said
    assert before.items() <= stand.finished().items()
    wanted = [(name, row + 1) for name in files for row in range(60)]
    assert places(stand.rows()) == sorted(wanted)
    assert not list((stand.work / "output").glob(".*"))
    assert stand.progress["taken_over"] > 0


def test_a_killed_worker_is_replaced_and_nothing_is_lost_or_doubled(make: Make) -> None:
    stand = make("careful", {"a.csv": csv_of(300, dict.fromkeys(range(0, 300, 5), "sleep"))})
    process = stand.start()
    for count in (2, 6, 11):
        wait_until(lambda count=count: len(stand.finished()) >= count, "progress")
        os.kill(_worker_of(process.pid), signal.SIGKILL)
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 0, out
    assert out.count("a worker was ended by SIGKILL; another one goes on") == 3
    assert places(stand.rows()) == sorted(("a.csv", row + 1) for row in range(300))


def _worker_of(pid: int) -> int:
    children: list[int] = []

    def seen() -> list[int]:
        children[:] = [
            int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        ]
        return children

    wait_until(seen, "a worker")
    return children[-1]


def _journaled(stand: Stand) -> set[str]:
    text = "".join(path.read_text() for path in (stand.work / "journal").glob("*.jsonl"))
    return {
        line.split('"name":"')[1].split('"')[0] for line in text.splitlines() if "output" in line
    }


def _run_for_a_while(stand: Stand, parts: int) -> None:
    """Start a run and kill it as soon as so many parts are there."""
    process = stand.start()
    wait_until(lambda: len(stand.finished()) >= parts or process.poll() is not None, "progress")
    kill(process)
