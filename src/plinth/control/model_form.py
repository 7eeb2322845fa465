"""Where the ONNX form of a model is kept on this node, and what was found of it.

Written when a conversion, or the first batch of a model version, has found it; read by batches and
deployments. What a model's own code may have written into a finding is read as data only.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import ValidationError
from sqlalchemy import Connection

from plinth.control.batches.run_folder import open_inside, read_inside
from plinth.domain.base import Declared
from plinth.domain.model import ModelVersion
from plinth.domain.run import Phase
from plinth.kit.errors import NotFound
from plinth.kit.excerpt import excerpt
from plinth.kit.files import make_private
from plinth.kit.ids import digest_of
from plinth.runtimes.batch import load_batch_packages
from plinth.store.lineage import find_conversion
from plinth.store.runs import StoredRun, list_endpoint_runs
from plinth.tracking.mlflow import Tracking

FORM, MODEL = "form.json", "model.onnx"
_MOST_BYTES = 4_000_000_000
_TAG_LENGTH = 500
_WHY_LENGTH = 400
_HOW = {
    "onnx": "answers from its ONNX form",
    "pyfunc": "answers as MLflow loads it",
    "unknown": "waits for its ONNX form",
}
# The reason of a deployment that was asked for as ONNX and could not even be tried.
_NO_FORM = "NoOnnxForm"
_NO_FLAVOR = "its description says of no flavor that ONNX could be made of"
# What ONNX knows of scikit-learn's methods.
_METHODS = ("predict", "predict_proba")


class Speed(Declared):
    """How fast a form was while both were compared, on one processor of the machine."""

    one_row_ms: float
    rows_per_s: float


class Comparison(Declared):
    """What both forms answered. `rows`: so many were answered by both."""

    rows: int
    tolerance: str
    largest_difference: float
    pyfunc: Speed | None = None
    onnx: Speed | None = None


class FormState(Declared):
    """What is known of a model version's ONNX form: it is there, it is none, or it is looked for.

    `run`: the conversion that looks for it, or looked for it in vain.
    """

    form: Literal["onnx", "pyfunc", "unknown"]
    why: str
    comparison: Comparison | None = None
    run: str | None = None

    def words(self) -> list[str]:
        """Return it for people: how the model answers and why, then what was compared."""
        lines = [f"{_HOW[self.form]}: {self.why}"]
        compared = self.comparison
        if compared is None:
            return lines
        lines.append(
            f"{compared.rows:,} rows were compared, largest difference "
            f"{compared.largest_difference:.2g}, allowed {compared.tolerance}"
        )
        before, after = compared.pyfunc, compared.onnx
        if before is not None and after is not None:
            lines.append(
                f"one row took {before.one_row_ms:.3g} ms as MLflow loads it and "
                f"{after.one_row_ms:.3g} ms as ONNX; many, {before.rows_per_s:,.0f} and "
                f"{after.rows_per_s:,.0f} a second"
            )
        return lines


def form_state(connection: Connection, version: ModelVersion, model: Path) -> FormState:
    """Return what is known of the form of a version, whose files lie (or will) in `model`."""
    found = known_form(model)
    if found is not None:
        form: Literal["onnx", "pyfunc"] = "onnx" if found.get("form") == "onnx" else "pyfunc"
        why = plain_words(found.get("why"))
        return FormState(form=form, why=why, comparison=_comparison(found.get("compared")))
    if not model.exists():
        return FormState(form="unknown", why="its files are not on this node yet")
    why_not = why_never(model)
    if why_not is not None:
        return FormState(form="pyfunc", why=why_not)
    run = find_conversion(connection, version, load_batch_packages().converter)
    if run is None:
        return FormState(form="unknown", why="its ONNX form is looked for once it serves")
    if not run.phase.is_final:
        return FormState(form="unknown", why=f"run {run.id} looks for its ONNX form", run=run.id)
    return FormState(form="pyfunc", why=_in_vain(run), run=run.id)


def form_served(connection: Connection, run: StoredRun, model: Path, asked: str) -> FormState:
    """Return how a deployment's model answers, and why so.

    `model`: its folder. `asked`: what its endpoint's file asks for.
    """
    version, form = run.model, getattr(run.workload, "form", "pyfunc")
    assert version is not None  # Only models have a form.
    state = form_state(connection, version, model)
    if form == "onnx":
        return state
    if asked == "pyfunc":
        return FormState(form="pyfunc", why="the file asks for it")
    why = state.why
    if state.form == "onnx":
        failed = failed_as_onnx(connection, run.team, run.workload.name, version)
        why = "its ONNX form is found, and takes over when it is ready"
        if failed is not None:
            why = f"from its ONNX form it was not ready ({failed.id}): {failed.message}"
    return state.model_copy(update={"form": "pyfunc", "why": why})


def failed_as_onnx(
    connection: Connection, team: str, endpoint: str, model: ModelVersion
) -> StoredRun | None:
    """Return a deployment of this version that did not get ready from its ONNX form, or None."""
    for run in list_endpoint_runs(connection, team, endpoint):
        is_failed = run.phase is Phase.FAILED and run.reason != _NO_FORM
        if is_failed and getattr(run.workload, "form", "") == "onnx" and is_same(run.model, model):
            return run
    return None


def is_other_form(one: StoredRun | None, other: StoredRun | None) -> bool:
    """Tell whether two deployments are of one version and differ in its form."""
    if one is None or other is None or other.model is None or not is_same(one.model, other.model):
        return False
    forms = {getattr(each.workload, "form", "") for each in (one, other)}
    return len(forms) > 1


def is_same(one: ModelVersion | None, other: ModelVersion) -> bool:
    """Tell whether both are one version; one registered anew has another artifact."""
    return one is not None and (one.name, one.version, one.artifact_uri) == (
        *(other.name, other.version, other.artifact_uri),
    )


def why_never(model: Path) -> str | None:
    """Return why no conversion is tried of the model in this folder; None where one is.

    What its description says is enough; nothing of it is loaded.
    """
    try:
        seen = (model / "MLmodel").stat()
    except OSError:
        return _NO_FLAVOR
    return _why_never(model, (seen.st_ino, seen.st_mtime_ns))


@lru_cache(maxsize=4096)
def _why_never(model: Path, _seen: tuple[int, int]) -> str | None:
    """Read a description once: endpoints are listed, and looked at, again and again."""
    try:
        described = yaml.safe_load((model / "MLmodel").read_text())
        flavors = described["flavors"]
        python, names = flavors["python_function"], sorted(map(str, flavors))
        method = python.get("predict_fn", "predict")
    except (OSError, UnicodeDecodeError, yaml.YAMLError, LookupError, TypeError, AttributeError):
        return _NO_FLAVOR
    if "sklearn" not in names:
        kinds = excerpt(", ".join(names))
        return f"only models of scikit-learn are converted; this one is {kinds}"
    if method not in _METHODS:
        return f"it answers by `{excerpt(str(method))}`, which ONNX has not"
    if not described.get("signature"):
        return "it has no signature"
    if not described.get("saved_input_example_info"):
        return "it has no input example to compare both forms on"
    return None


def _in_vain(run: StoredRun) -> str:
    if run.phase is Phase.STOPPED:
        return f"its conversion {run.id} was stopped"
    if run.phase is Phase.SUCCEEDED:
        return f"its conversion {run.id} left nothing that can be read"
    return f"its conversion {run.id} failed: {run.message}"


def _comparison(found: Any) -> Comparison | None:
    """Return a comparison that a run wrote; None where it is none."""
    if not isinstance(found, dict):
        return None
    speed = found.get("speed")
    fields = {name: found.get(name) for name in ("rows", "tolerance", "largest_difference")}
    for name in ("pyfunc", "onnx"):
        fields[name] = (speed.get(name) or None) if isinstance(speed, dict) else None
    try:
        compared = Comparison.model_validate(fields)
    except ValidationError:
        return None
    return compared.model_copy(update={"tolerance": plain_words(compared.tolerance)})


def plain_words(text: Any) -> str:
    """Return what a model's own code wrote as words that can be shown: few, and all printable."""
    plain = "".join(each for each in str(text or "") if each.isprintable())
    return plain[:_WHY_LENGTH]


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
    if form.get("was_killed"):
        # That says nothing of the model: the next run tries again.
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
