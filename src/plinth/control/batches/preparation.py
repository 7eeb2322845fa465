"""Make ready what a batch needs: model, environments, its input files, and its order.

Called by the runs' reconciler with no transaction open. Every step is "create if absent".
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import yaml

from plinth.control.batches.run_folder import list_inside, open_inside
from plinth.control.context import Context
from plinth.control.data_folder import files_of, find_local
from plinth.control.model_form import form_folder, known_form
from plinth.control.preparation import Prepared, base_variables, make_folder, model_folder
from plinth.domain.batch import BatchInference
from plinth.domain.model import DataVersion, ModelVersion
from plinth.engines.base import Mount
from plinth.environments.environments import BuiltEnvironment
from plinth.environments.requirement import packages_for_model
from plinth.environments.spec import EnvironmentSpec, this_python
from plinth.kit.errors import Permanent, PlinthError, Temporary
from plinth.kit.files import make_private, write_json
from plinth.runtimes.batch import BatchPackages, load_batch_packages
from plinth.store.runs import StoredRun

INPUT = "input"
# What an earlier run's folder hands on to the one that resumes it.
_HANDED_ON = ("journal", "output", "quarantine", "form")
_IDENTITY = "identity.json"
_NO_CONVERSION = "no-conversion"


def order_folder(context: Context, run_id: str) -> Path:
    """Return the folder of a run's order, which its processes may read and never write."""
    return context.home.data / ".orders" / run_id


def work_folder(context: Context, run_id: str) -> Path:
    """Return where a run writes what it finished."""
    return context.home.runs / run_id / "work"


def prepare_batch(context: Context, run: StoredRun, batch: BatchInference) -> Prepared:
    """Fetch the model, build environments and gather the input. Raises Temporary meanwhile."""
    if run.model is None or INPUT not in run.data:
        raise Permanent(f"run {run.id} has no model version or no data version")
    model, version, packages = run.model, run.data[INPUT], load_batch_packages()
    folder = model_folder(context, model)
    make_private(folder.parent)
    context.builder.fetch(
        folder,
        f"the model of batch {batch.name}",
        lambda: context.tracking.download_model(model.team, model, folder),
    )
    requirements = _requirements(folder)
    label = f"batch {batch.name}"
    answering = context.builder.need(_spec(packages.answer), label)
    order = order_folder(context, run.id)
    make_private(order)
    own = _own_environment(context, batch, model, (requirements, packages, order))
    local = find_local(context, version)
    known = form_folder(folder) if known_form(folder) is not None else None
    data = local.folder
    write_json(order / "order.json", _order(context, run, batch, own, known) | {"data": str(data)})
    runs = _folder(context, run, batch)
    share = max(1.0, batch.resources.cpu / batch.workers)
    variables = base_variables(answering.folder, runs, share)
    variables |= {"PYTHONPATH": str(packages.folder), "PLINTH_RUN_ID": run.id}
    variables |= {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    work = runs / "work"
    command = (
        *(str(answering.python), "-m", "batchrunner"),
        *("--order", str(order / "order.json"), "--work", str(work)),
    )
    read = [answering.folder, packages.folder, folder, data, order]
    read += [own.folder] if own is not None else []
    read += [known] if known is not None else []
    mounts = (*(Mount(str(path)) for path in read), Mount(str(runs), writable=True))
    return Prepared(command, variables, str(work), mounts)


def _own_environment(
    context: Context,
    batch: BatchInference,
    model: ModelVersion,
    needs: tuple[tuple[str, ...], BatchPackages, Path],
) -> BuiltEnvironment | None:
    """Return the model's own environment; None where its ONNX form is known and is used.

    With what converts it while its form is not known. Where the two cannot be installed together,
    the model stays as it is.
    """
    requirements, packages, order = needs
    known = known_form(model_folder(context, model))
    label = f"batch {batch.name}"
    if batch.form != "pyfunc" and known is not None and known["form"] == "onnx":
        return None
    mark = order / _NO_CONVERSION
    if batch.form != "pyfunc" and known is None and not mark.exists():
        spec = _spec((*requirements, *packages.beside, *packages.convert))
        try:
            return context.builder.need(spec, label)
        except Temporary:
            raise
        except PlinthError as err:
            if batch.form == "onnx":
                raise
            mark.write_text(err.message)
    return context.builder.need(_spec((*requirements, *packages.beside)), label)


def _order(
    context: Context,
    run: StoredRun,
    batch: BatchInference,
    own: BuiltEnvironment | None,
    known: Path | None,
) -> dict[str, Any]:
    model, version = run.model, run.data[INPUT]
    assert model is not None  # `prepare_batch` has looked.
    files = files_of(context, version)
    form = batch.form
    if (order_folder(context, run.id) / _NO_CONVERSION).exists():
        form = "pyfunc"
    return {
        "files": [each.model_dump(include={"name", "digest", "size_bytes"}) for each in files],
        "model": str(model_folder(context, model)),
        "model_python": str(own.python) if own is not None else None,
        "known_form": str(known) if known is not None else None,
        "form": form,
        "keep": list(batch.keep),
        "mini_batch": batch.mini_batch,
        "workers": batch.workers,
        "error_threshold": batch.error_threshold,
        "facts": {"model": _named_model(model), "data": _named_data(version)},
    }


def _named_model(model: ModelVersion) -> dict[str, Any]:
    return model.model_dump(mode="json", include={"team", "name", "version", "artifact_uri"})


def _named_data(version: DataVersion) -> dict[str, Any]:
    return version.model_dump(mode="json", include={"team", "name", "version", "digest"})


def _folder(context: Context, run: StoredRun, batch: BatchInference) -> Path:
    """Return the run's folder; with what an earlier run finished, if it resumes one.

    Files are copied: the earlier run's own stay as they are.
    """
    folder = context.home.runs / run.id
    if batch.resume is None or folder.exists():
        return make_folder(context, run, None)
    partial = context.home.runs / f".{run.id}.resumed.partial"
    shutil.rmtree(partial, ignore_errors=True)
    for name in ("work", "home", "tmp"):
        make_private(partial / name)
    earlier, work = work_folder(context, batch.resume), partial / "work"
    for name in _HANDED_ON:
        for file in list_inside(earlier, name):
            make_private(work / name)
            _copy(earlier, work, name, file)
    if _IDENTITY in list_inside(earlier):
        _copy(earlier, work, _IDENTITY)
    partial.rename(folder)
    return folder


def _copy(source: Path, target: Path, *names: str) -> None:
    with open_inside(source, *names) as reader, target.joinpath(*names).open("xb") as writer:
        shutil.copyfileobj(reader, writer, 1 << 20)


def _spec(packages: tuple[str, ...]) -> EnvironmentSpec:
    return EnvironmentSpec(packages=packages, python=this_python())


def _requirements(model: Path) -> tuple[str, ...]:
    """Return the packages of a model that is one of MLflow's. Raises Permanent."""
    try:
        described = yaml.safe_load((model / "MLmodel").read_text())
        flavors = described.get("flavors") if isinstance(described, dict) else None
        if not isinstance(flavors, dict) or "python_function" not in flavors:
            raise Permanent(
                "a batch needs a model that MLflow can load as a Python function",
                hint="log it with an MLflow flavor that has `python_function`",
            )
        return packages_for_model((model / "requirements.txt").read_text())
    except (OSError, ValueError, TypeError, AttributeError, RecursionError, yaml.YAMLError) as err:
        raise Permanent(
            "the model's files cannot be read, so its environment cannot be built",
            hint=json.dumps(str(err))[:200],
        ) from err
