"""The form that a batch found is kept once, whole, and written to the registry."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from plinth.control.model_form import (
    Comparison,
    FormState,
    Speed,
    form_folder,
    form_served,
    form_state,
    is_same,
    keep_form,
    known_form,
    why_never,
)
from plinth.domain.model import ModelVersion
from plinth.kit.ids import digest_of
from tests.control.conversions.form_case import COMPARED, MLMODEL
from tests.control.plane import Plane

VERSION = ModelVersion(team="research", name="scale", version=1, artifact_uri="x:/1")


class Registry:
    """Takes tags."""

    def __init__(self) -> None:
        self.tags: dict[str, str] = {}

    def tag_model(self, _version: ModelVersion, tags: dict[str, str]) -> None:
        self.tags |= tags


def found(tmp_path: Path, **form: Any) -> Path:
    folder = tmp_path / "work" / "form"
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(b"onnx")
    (folder / "form.json").write_text(json.dumps(form))
    return tmp_path / "work"


def test_what_was_found_is_kept_and_told(tmp_path: Path) -> None:
    registry, model = Registry(), tmp_path / "model"
    compared = {"rows": 3, "largest_difference": 1e-7}
    digest = digest_of(b"onnx")
    work = found(
        tmp_path, form="onnx", why="it answers as before", digest=digest, compared=compared
    )
    keep_form(registry, VERSION, model, work)  # type: ignore[arg-type]
    assert (known_form(model) or {})["form"] == "onnx"
    assert (form_folder(model) / "model.onnx").read_bytes() == b"onnx"
    assert registry.tags["plinth.form.kind"] == "onnx"
    assert json.loads(registry.tags["plinth.form.compared"]) == compared


def test_a_form_whose_bytes_are_others_is_not_kept(tmp_path: Path) -> None:
    registry, model = Registry(), tmp_path / "model"
    keep_form(registry, VERSION, model, found(tmp_path, form="onnx", digest="0" * 64))  # type: ignore[arg-type]
    assert known_form(model) is None
    assert registry.tags == {}


def test_that_a_model_stays_as_it_is_is_kept_too(tmp_path: Path) -> None:
    model = tmp_path / "model"
    keep_form(Registry(), VERSION, model, found(tmp_path, form="pyfunc", why="no"))  # type: ignore[arg-type]
    assert known_form(model) == {"form": "pyfunc", "why": "no"}


@pytest.mark.parametrize(
    "form", [{}, {"form": "exe"}, {"form": "pyfunc", "why": "killed", "was_killed": True}]
)
def test_what_no_conversion_found_is_not_kept(tmp_path: Path, form: dict[str, Any]) -> None:
    model = tmp_path / "model"
    keep_form(Registry(), VERSION, model, found(tmp_path, **form))  # type: ignore[arg-type]
    assert known_form(model) is None


def described(folder: Path, text: str = MLMODEL) -> Path:
    folder.mkdir()
    (folder / "MLmodel").write_text(text)
    return folder


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("", "", None),
        ("predict_fn: predict", "predict_fn: predict_proba", None),
        ("{predict_fn: predict}", "{}", None),
        ("  sklearn: {}", "  xgboost: {}", "this one is python_function, xgboost"),
        ("predict_fn: predict", "predict_fn: score", "answers by `score`"),
        ("signature", "x", "no signature"),
        ("saved_input_example_info", "x", "no input example"),
        ("flavors", "x", "says of no flavor"),
        ("flavors:", "{broken", "says of no flavor"),
        ("{predict_fn: predict}", "[1]", "says of no flavor"),
    ],
)
def test_why_no_conversion_is_tried_is_read_from_the_description(
    tmp_path: Path, old: str, new: str, why: str | None
) -> None:
    folder = described(tmp_path / "model", MLMODEL.replace(old, new) if old else MLMODEL)
    found = why_never(folder)
    assert (found is None) if why is None else (why in (found or ""))


def test_what_is_known_of_a_form_begins_with_the_finding(plane: Plane, tmp_path: Path) -> None:
    model = tmp_path / "model"
    with plane.database.read() as connection:
        assert form_state(connection, VERSION, model).why == "its files are not on this node yet"
        described(model)
        before = form_state(connection, VERSION, model)
    assert (before.form, before.why) == ("unknown", "its ONNX form is looked for once it serves")
    work = found(
        tmp_path, form="onnx", why="as before", digest=digest_of(b"onnx"), compared=COMPARED
    )
    keep_form(Registry(), VERSION, model, work)  # type: ignore[arg-type]
    with plane.database.read() as connection:
        state = form_state(connection, VERSION, model)
    assert (state.form, state.why) == ("onnx", "as before")
    assert state.comparison is not None
    assert (state.comparison.rows, state.comparison.largest_difference) == (1003, 2e-7)
    assert state.comparison.onnx == Speed(one_row_ms=0.007, rows_per_s=900000.0)


def test_a_finding_of_a_batch_of_old_has_no_speed(plane: Plane, tmp_path: Path) -> None:
    model = described(tmp_path / "model")
    compared = {name: COMPARED[name] for name in ("rows", "tolerance", "largest_difference")}
    work = found(tmp_path, form="onnx", why="as", digest=digest_of(b"onnx"), compared=compared)
    keep_form(Registry(), VERSION, model, work)  # type: ignore[arg-type]
    with plane.database.read() as connection:
        state = form_state(connection, VERSION, model)
    assert state.comparison is not None
    assert (state.comparison.onnx, len(state.words())) == (None, 2)


def test_it_is_told_in_words_with_what_was_measured() -> None:
    fast, slow = Speed(one_row_ms=0.007, rows_per_s=9e5), Speed(one_row_ms=5.6, rows_per_s=2e4)
    compared = Comparison(
        rows=1003, tolerance="1e-05", largest_difference=2e-7, pyfunc=slow, onnx=fast
    )
    state = FormState(form="onnx", why="it answers as before", comparison=compared)
    assert state.words() == [
        "answers from its ONNX form: it answers as before",
        "1,003 rows were compared, largest difference 2e-07, allowed 1e-05",
        "one row took 5.6 ms as MLflow loads it and 0.007 ms as ONNX; many, 20,000 and 900,000 a "
        "second",
    ]
    assert FormState(form="pyfunc", why="no").words() == ["answers as MLflow loads it: no"]


def test_why_a_deployment_answers_as_it_is_is_said(plane: Plane, tmp_path: Path) -> None:
    model = described(tmp_path / "model")
    run = plane.run(str(plane.apply().deployment))
    work = found(tmp_path, form="onnx", why="as", digest=digest_of(b"onnx"), compared=COMPARED)
    keep_form(Registry(), VERSION, model, work)  # type: ignore[arg-type]
    with plane.database.read() as connection:
        asked = form_served(connection, run, model, "pyfunc")
        later = form_served(connection, run, model, "auto")
    assert (asked.form, asked.why) == ("pyfunc", "the file asks for it")
    assert (later.form, later.why) == (
        "pyfunc",
        "its ONNX form is found, and takes over when it is ready",
    )


def test_a_version_that_was_registered_anew_is_another_one() -> None:
    assert is_same(VERSION, VERSION.model_copy(update={"aliases": ("champion",)}))
    assert not is_same(VERSION, VERSION.model_copy(update={"artifact_uri": "x:/2"}))
    assert not is_same(None, VERSION)
