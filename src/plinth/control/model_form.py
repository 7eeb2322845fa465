"""Where the ONNX form of a model is kept on this node, and what was found of it.

Written when the first batch of a model version has found it; read by batches and deployments.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path
from typing import Any

from plinth.control.batches.run_folder import open_inside, read_inside
from plinth.domain.model import ModelVersion
from plinth.kit.errors import NotFound
from plinth.kit.files import make_private
from plinth.kit.ids import digest_of
from plinth.runtimes.batch import load_batch_packages
from plinth.tracking.mlflow import Tracking

FORM, MODEL = "form.json", "model.onnx"
_MOST_BYTES = 4_000_000_000
_TAG_LENGTH = 500


def form_folder(model: Path) -> Path:
    """Return where the form of the model in this folder is kept; another converter, another one."""
    return model.with_name(f"{model.name}.form-{load_batch_packages().converter}")


def known_form(model: Path) -> dict[str, Any] | None:
    """Return what was found for the model in this folder, or None."""
    try:
        found = json.loads((form_folder(model) / FORM).read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def answers_as_onnx(model: Path) -> bool:
    """Tell whether the model in this folder is known to answer the same as ONNX."""
    found = known_form(model)
    return found is not None and found.get("form") == "onnx"


def runtime_of_onnx() -> tuple[str, ...]:
    """Return the packages that run the form, pinned."""
    return tuple(each for each in load_batch_packages().answer if each.startswith("onnxruntime"))


def keep_form(tracking: Tracking, version: ModelVersion, model: Path, work: Path) -> None:
    """Keep the form that a run found, unless one is known; a damaged one is not kept.

    `model`: the model's folder; `work`: that of the run. It is written to the registry for people.
    """
    target = form_folder(model)
    form = read_inside(work, "form", FORM)
    if target.exists() or form is None or form.get("form") not in ("onnx", "pyfunc"):
        return
    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    make_private(partial)
    if form["form"] == "onnx":
        try:
            with open_inside(work, "form", MODEL) as stream:
                content = stream.read(_MOST_BYTES)
        except NotFound:
            return
        if digest_of(content) != form.get("digest"):
            return
        (partial / MODEL).write_bytes(content)
    (partial / FORM).write_text(json.dumps(form))
    # First for people, so that it is not left out when the control plane ends in between.
    tags = {f"plinth.form.{key}": text for key, text in _tags(form)}
    with contextlib.suppress(NotFound):
        tracking.tag_model(version, tags)
    try:
        partial.rename(target)
    except OSError:
        # Another run of the same model was faster.
        shutil.rmtree(partial, ignore_errors=True)


def _tags(form: dict[str, Any]) -> list[tuple[str, str]]:
    said = [("kind", str(form["form"])), ("why", str(form.get("why", "")))]
    compared = form.get("compared")
    if isinstance(compared, dict):
        said.append(("compared", json.dumps(compared)))
    return [(key, text[:_TAG_LENGTH]) for key, text in said]
