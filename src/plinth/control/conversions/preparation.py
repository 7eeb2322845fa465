"""Make ready what a conversion needs: the model, its environment with the converter, its order.

Called by the runs' reconciler with no transaction open. Every step is "create if absent".
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from plinth.control.batches.preparation import order_folder
from plinth.control.context import Context
from plinth.control.data_folder import LocalData, files_of, find_local
from plinth.control.preparation import Prepared, base_variables, make_folder, model_folder
from plinth.domain.model import DataVersion
from plinth.domain.model_conversion import ModelConversion
from plinth.engines.base import Mount
from plinth.environments.requirement import packages_for_model
from plinth.environments.spec import EnvironmentSpec, this_python
from plinth.kit.errors import Permanent, PlinthError, Temporary
from plinth.kit.files import make_private, write_json
from plinth.runtimes.batch import load_batch_packages
from plinth.store.runs import StoredRun

FORM = "form"
# Rows of the data that the model was trained on are compared too; looking for them in larger data
# would take longer than the conversion.
MOST_DATA_BYTES = 2_000_000_000


def prepare_conversion(context: Context, run: StoredRun, conversion: ModelConversion) -> Prepared:
    """Fetch the model and build its environment. Raises Temporary while that goes on."""
    if run.model is None:
        raise Permanent(f"run {run.id} has no model version")
    version, packages = run.model, load_batch_packages()
    model = model_folder(context, version)
    make_private(model.parent)
    context.builder.fetch(
        model,
        f"the model of conversion {conversion.name}",
        lambda: context.tracking.download_model(version.team, version, model),
    )
    own = (*_requirements(model), *packages.beside, *packages.convert)
    spec = EnvironmentSpec(packages=own, python=this_python())
    environment = context.builder.need(spec, f"conversion {conversion.name}")
    order, data = order_folder(context, run.id), _data(context, run)
    make_private(order)
    write_json(order / "order.json", _order(context, run, model, data))
    folder = make_folder(context, run, None)
    work = folder / "work"
    variables = base_variables(environment.folder, folder, conversion.resources.cpu)
    variables |= {"PYTHONPATH": str(packages.folder), "PLINTH_RUN_ID": run.id}
    variables |= {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    command = (
        *(str(environment.python), "-m", "batchrunner.convert"),
        *(str(order / "order.json"), str(work / FORM)),
    )
    read: list[Path] = [environment.folder, packages.folder, model, order]
    read += [data[1].folder] if data is not None else []
    mounts = (*(Mount(str(path)) for path in read), Mount(str(folder), writable=True))
    return Prepared(command, variables, str(work), mounts)


def _requirements(model: Path) -> tuple[str, ...]:
    try:
        return packages_for_model((model / "requirements.txt").read_text())
    except (OSError, UnicodeDecodeError) as err:
        raise Permanent("the model has no requirements.txt that can be read") from err


def _data(context: Context, run: StoredRun) -> tuple[DataVersion, LocalData] | None:
    """Return data that the model was trained on, where it lies on this node."""
    for version in run.data.values():
        if version.team != run.team or version.size_bytes > MOST_DATA_BYTES:
            continue
        try:
            return version, find_local(context, version)
        except Temporary:
            raise
        except PlinthError:
            # It is compared on what there is.
            continue
    return None


def _order(
    context: Context, run: StoredRun, model: Path, data: tuple[DataVersion, LocalData] | None
) -> dict[str, Any]:
    """Return an order of the program that answers batches, of which only the conversion is done."""
    files = [] if data is None else files_of(context, data[0])
    return {
        "data": "" if data is None else str(data[1].folder),
        "files": [each.model_dump(include={"name", "digest", "size_bytes"}) for each in files],
        "model": str(model),
        "model_python": None,
        "known_form": None,
        "form": "auto",
        "keep": [],
        "mini_batch": 1,
        "workers": 1,
        "error_threshold": "0",
        "facts": {"model": None, "run": run.id},
    }
