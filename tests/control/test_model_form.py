"""The form that a batch found is kept once, whole, and written to the registry."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from plinth.control.model_form import answers_as_onnx, form_folder, keep_form, known_form
from plinth.domain.model import ModelVersion
from plinth.kit.ids import digest_of

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
    assert answers_as_onnx(model)
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
    assert not answers_as_onnx(model)


@pytest.mark.parametrize("form", [{}, {"form": "exe"}])
def test_what_no_conversion_writes_is_not_kept(tmp_path: Path, form: dict[str, str]) -> None:
    model = tmp_path / "model"
    keep_form(Registry(), VERSION, model, found(tmp_path, **form))  # type: ignore[arg-type]
    assert known_form(model) is None
