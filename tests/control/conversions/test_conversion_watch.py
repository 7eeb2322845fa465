"""What a conversion found is kept before its run ends; what it wrote is believed as data only."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from plinth.control.conversions.preparation import prepare_conversion
from plinth.control.model_form import form_folder, form_state, known_form
from plinth.control.preparation import model_folder
from plinth.domain.run import Phase
from plinth.kit.errors import Permanent, Temporary
from plinth.store.runs import StoredRun
from tests.control.batches.batch_case import add_files
from tests.control.conversions.form_case import conversion, finish, with_models
from tests.control.plane import TEAM, Plane


@pytest.fixture
def found(plane: Plane, monkeypatch: pytest.MonkeyPatch) -> tuple[Plane, StoredRun]:
    """Bring up an endpoint; return the conversion of its model."""
    with_models(plane, monkeypatch)
    plane.apply()
    return plane, conversion(plane)


def folder_of(plane: Plane, run: StoredRun) -> Path:
    assert run.model is not None
    return model_folder(plane.context, run.model)


def test_what_it_found_is_kept_and_told(found: tuple[Plane, StoredRun]) -> None:
    plane, run = found
    finish(plane, run)
    ended = plane.run(run.id)
    assert (ended.phase, ended.reason) == (Phase.SUCCEEDED, "Completed")
    assert ended.message == "the model answers as onnx: it answers 1,003 rows as before"
    folder = form_folder(folder_of(plane, run))
    assert (folder / "model.onnx").read_bytes() == b"onnx"


def test_it_is_kept_when_the_registry_answers_again(
    found: tuple[Plane, StoredRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    plane, run = found
    answers = iter([Temporary("MLflow does not answer", retry_after_s=1)])

    def tag(*_: object) -> None:
        for error in answers:
            raise error

    monkeypatch.setattr(plane.tracking, "tag_model", tag)
    finish(plane, run)
    assert plane.run(run.id).phase is Phase.SUCCEEDED
    assert known_form(folder_of(plane, run)) is not None


def test_a_finding_whose_model_is_another_file_is_not_kept(
    found: tuple[Plane, StoredRun],
) -> None:
    plane, run = found
    finish(plane, run, digest="0" * 64)
    assert plane.run(run.id).message == "left no finding that can be read"
    with plane.database.read() as connection:
        assert run.model is not None
        state = form_state(connection, run.model, folder_of(plane, run))
    assert (state.form, state.run) == ("pyfunc", run.id)
    assert "left nothing that can be read" in state.why


@pytest.mark.parametrize("why", ["\x1b[31mred\x1b[0m", "x" * 10_000])
def test_what_the_models_code_wrote_cannot_paint_or_flood(
    found: tuple[Plane, StoredRun], why: str
) -> None:
    plane, run = found
    finish(plane, run, form="pyfunc", why=why, compared={"rows": "many"})
    with plane.database.read() as connection:
        assert run.model is not None
        state = form_state(connection, run.model, folder_of(plane, run))
    assert "\x1b" not in state.why
    assert len(state.why) <= 400
    assert state.comparison is None
    assert "\x1b" not in plane.run(run.id).message


def test_rows_of_the_data_that_it_was_trained_on_are_compared(
    plane: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_models(plane, monkeypatch)
    plane.apply()
    version = add_files(plane, a="x\n1\n2\n")
    run = conversion(plane).model_copy(update={"data": {"rows": version}})
    prepared = prepare_conversion(plane.context, run, run.workload)  # type: ignore[arg-type]
    order = json.loads(Path(prepared.command[-2]).read_text())
    assert [each["name"] for each in order["files"]] == ["a.csv"]
    assert order["data"] in {mount.path for mount in prepared.mounts if not mount.writable}
    others = version.model_copy(update={"team": "ops"})
    huge = version.model_copy(update={"size_bytes": 10**12})
    for data in ({"rows": others}, {"rows": huge}):
        alone = run.model_copy(update={"data": data})
        prepared = prepare_conversion(plane.context, alone, alone.workload)  # type: ignore[arg-type]
        assert json.loads(Path(prepared.command[-2]).read_text())["files"] == []


def test_a_model_without_requirements_is_not_converted(
    found: tuple[Plane, StoredRun],
) -> None:
    plane, run = found
    (folder_of(plane, run) / "requirements.txt").unlink()
    with pytest.raises(Permanent, match="no requirements"):
        prepare_conversion(plane.context, run, run.workload)  # type: ignore[arg-type]
    assert run.team == TEAM
