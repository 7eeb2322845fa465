"""Make ready what a run needs before it starts: environment, files, tracking; and say how to start.

Called by the runs' reconciler with no transaction open. Every step is "create if absent".
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from plinth.control.context import Context
from plinth.control.data_folder import find_local
from plinth.control.model_form import form_folder, form_state, runtime_of_onnx
from plinth.control.tags import tags_of
from plinth.control.workspaces.variables import for_notebooks
from plinth.domain.model import ModelVersion
from plinth.domain.workload import Endpoint, Job
from plinth.domain.workload_fields import Environment, memory_limit
from plinth.domain.workspace import Workspace
from plinth.engines.base import Elastic, Mount, ReplicaSpec
from plinth.environments.environments import BuiltEnvironment
from plinth.environments.requirement import packages_for_model
from plinth.environments.spec import EnvironmentSpec, this_python
from plinth.kit.archive import unpack
from plinth.kit.errors import Invalid, Permanent, Temporary
from plinth.kit.files import make_private
from plinth.kit.ids import digest_of
from plinth.runtimes.runtime import Runtime
from plinth.store.runs import StoredRun

# MLflow's name of a flavor -> the format that runtimes name.
_PYTHON_MODEL = "mlflow-pyfunc"
_FORMATS = {"python_function": _PYTHON_MODEL, "gguf": "gguf"}


@dataclass(frozen=True, slots=True)
class Prepared:
    """All of a ReplicaSpec but who the attempt is and its key."""

    command: tuple[str, ...]
    variables: dict[str, str]
    folder: str
    mounts: tuple[Mount, ...]
    own_ports: tuple[int, ...] = ()
    elastic: Elastic | None = None


def code_key(team: str, digest: str) -> str:
    """Return where a team's code snapshot lies in the storage."""
    return f"code/{team}/{digest}.tar.gz"


def diff_key(team: str, digest: str) -> str:
    """Return where the uncommitted difference of a team's code lies in the storage."""
    return f"diffs/{team}/{digest}.patch"


def model_folder(context: Context, model: ModelVersion) -> Path:
    """Return where a model version's files lie on this node."""
    # A model that was deleted and registered anew has the same version and another artifact.
    artifact = digest_of(model.artifact_uri.encode())[:12]
    return context.home.models / model.team / f"{model.name}.{model.version}.{artifact}"


def has_example(context: Context, run: StoredRun) -> bool:
    """Tell whether the run's model came with an input example to check its readiness by."""
    if run.model is None:
        return False
    described = _described(model_folder(context, run.model))
    return bool(described.get("saved_input_example_info"))


def answers_vary(context: Context, run: StoredRun) -> bool:
    """Tell whether the run's server speaks OpenAI's API: what it says cannot be compared."""
    if not isinstance(run.workload, Endpoint):
        return False
    runtime = context.runtimes.get(run.workload.runtime)
    return runtime is not None and runtime.protocol == "openai"


def socket_of(context: Context, run_id: str, replica: int) -> Path:
    """Return the Unix socket of a serving replica; it stays the same from attempt to attempt."""
    return context.home.socket(f"{run_id}.{replica}")


def prepare_job(context: Context, run: StoredRun, job: Job) -> Prepared:
    """Build the environment and unpack the code. Raises Temporary while that goes on."""
    environment = context.builder.need(environment_of(job.environment), f"job {job.name}")
    archive = None
    if run.code_digest is not None:
        archive = context.storage.local_path(code_key(run.team, run.code_digest))
        if archive is None:
            raise Permanent(f"the code snapshot {run.code_digest[:12]} is not in the storage")
    folder = make_folder(context, run, archive)
    work = folder / "work"
    variables = base_variables(environment.folder, folder, job.resources.cpu)
    variables |= job.variables
    mounts = [Mount(str(environment.folder)), Mount(str(folder), writable=True)]
    for name, version in run.data.items():
        local = find_local(context, version)
        mounts.append(Mount(str(local.folder)))
        prefix = f"PLINTH_DATA_{name.upper().replace('-', '_')}"
        variables[prefix] = str(local.path)
        variables[f"{prefix}_VERSION"] = str(version.version)
        variables[f"{prefix}_DIGEST"] = version.digest
        variables[f"{prefix}_URI"] = version.uri
    return Prepared(job.command, variables, str(work), tuple(mounts))


def prepare_endpoint(context: Context, run: StoredRun, endpoint: Endpoint) -> Prepared:
    """Fetch the model and build its server's environment. Raises Temporary while that goes on."""
    if run.model is None:
        raise Permanent(f"run {run.id} has no model version")
    runtime = context.runtimes[endpoint.runtime]
    model = model_folder(context, run.model)
    make_private(model.parent)
    version = run.model
    context.builder.fetch(
        model,
        f"the model of endpoint {endpoint.name}",
        lambda: context.tracking.download_model(version.team, version, model),
    )
    check_format(model, runtime, context.runtimes)
    environment, form = _environment_and_form(context, run, endpoint, model)
    folder = make_folder(context, run, None)
    variables = base_variables(environment.folder, folder, endpoint.resources.cpu)
    variables |= runtime.variables_for(
        python=environment.python, model=model, name=endpoint.name, version=str(version.version)
    )
    command = runtime.command_for(
        python=environment.python, model=model, name=endpoint.name, version=str(version.version)
    )
    command += () if form is None else ("--form", str(form))
    mounts = (
        Mount(str(environment.folder)),
        Mount(str(runtime.folder)),
        Mount(str(model)),
        *(() if form is None else (Mount(str(form)),)),
        Mount(str(folder), writable=True),
    )
    return Prepared(command, variables, str(folder), mounts)


def _environment_and_form(
    context: Context, run: StoredRun, endpoint: Endpoint, model: Path
) -> tuple[BuiltEnvironment, Path | None]:
    """Return the environment of a server, and the model's ONNX form where that is to answer.

    Raises Temporary while the form is looked for, Invalid where there is none.
    """
    runtime = context.runtimes[endpoint.runtime]
    spec, label = serving_environment(model, runtime), f"endpoint {endpoint.name}"
    if endpoint.form != "onnx" or run.model is None:
        return context.builder.need(spec, label), None
    with context.database.read() as connection:
        state = form_state(connection, run.model, model)
    if state.form == "unknown":
        raise Temporary(
            f"converting the model to ONNX: {state.why}", retry_after_s=1, code="converting_model"
        )
    if state.form == "pyfunc":
        raise no_onnx(run.model, state.why)
    packages = (*spec.packages, *runtime_of_onnx())
    return context.builder.need(replace(spec, packages=packages), label), form_folder(model)


def no_onnx(model: ModelVersion, why: str) -> Invalid:
    """Return the error for a model that is to answer from an ONNX form that there is not."""
    return Invalid(
        f"`{model.name}/{model.version}` has no ONNX form: {why}",
        hint="write `form: auto` in the endpoint's file: it then answers as MLflow loads it",
        code="no_onnx_form",
    )


def environment_of(environment: Environment) -> EnvironmentSpec:
    """Return the managed environment that a workload asks for."""
    return EnvironmentSpec(
        packages=environment.packages,
        python=this_python(),
        without_dependencies=environment.without_dependencies,
        leave_out=environment.leave_out,
    )


def check_format(model: Path, runtime: Runtime, runtimes: Mapping[str, Runtime]) -> None:
    """Raise Permanent when the model says in which formats it is, and the runtime serves none."""
    described = _described(model)
    flavors = described.get("flavors")
    formats = {
        form for flavor, form in _FORMATS.items() if isinstance(flavors, dict) and flavor in flavors
    }
    if not formats or formats.intersection(runtime.formats):
        return
    able = [each.name for each in runtimes.values() if formats.intersection(each.formats)]
    raise Permanent(
        f"the model is of format {' and '.join(sorted(formats))}; the runtime `{runtime.name}` "
        f"serves {', '.join(runtime.formats)}",
        hint=f"write `runtime: {able[0]}` in the endpoint's file" if able else None,
    )


def serving_environment(model: Path, runtime: Runtime) -> EnvironmentSpec:
    """Return the environment of a model's server: the model's packages and the server's own."""
    try:
        requirements = (model / "requirements.txt").read_text()
    except FileNotFoundError as err:
        if _PYTHON_MODEL not in runtime.formats:
            return EnvironmentSpec(packages=runtime.packages, python=this_python())
        raise Permanent(
            "the model has no requirements.txt, so its environment cannot be built",
            hint="log it with `mlflow.<flavor>.log_model(..., pip_requirements=[...])`",
        ) from err
    packages = packages_for_model(requirements)
    return EnvironmentSpec(packages=(*packages, *runtime.packages), python=this_python())


def replica_spec(
    context: Context, run: StoredRun, prepared: Prepared, *, replica: int, number: int
) -> ReplicaSpec:
    """Return the whole order for one attempt, without its key."""
    workload = run.workload
    return ReplicaSpec(
        run=run.id,
        replica=replica,
        attempt=number,
        command=prepared.command,
        variables=prepared.variables,
        folder=prepared.folder,
        mounts=prepared.mounts,
        socket=None if workload.ends else str(socket_of(context, run.id, replica)),
        gateway_port=context.port,
        network=workload.reaches,
        isolation=workload.requirements.isolation,
        memory_bytes=memory_limit(workload),
        grace_s=workload.grace,
        own_ports=prepared.own_ports,
        elastic=prepared.elastic,
    )


def with_key(context: Context, spec: ReplicaSpec, run: StoredRun, key: str) -> ReplicaSpec:
    """Return an order with what lets it speak to the gateway in its own name."""
    variables = dict(spec.variables) | {
        "PLINTH_ADDRESS": context.address,
        "PLINTH_KEY": key,
        "PLINTH_RUN_ID": run.id,
        "PLINTH_TEAM": run.team,
        "PLINTH_ATTEMPT": str(spec.attempt),
    }
    if run.tracking_run is not None:
        variables |= {
            "MLFLOW_TRACKING_URI": context.address,
            "MLFLOW_TRACKING_TOKEN": key,
            "MLFLOW_EXPERIMENT_NAME": run.workload.name,
            "MLFLOW_RUN_ID": run.tracking_run,
            # Tags of the runs that the job makes itself: what they log is traced to it too.
            "MLFLOW_RUN_CONTEXT": json.dumps(tags_of(run)),
            "MLFLOW_DISABLE_TELEMETRY": "true",
            # The page behind the address that it would print is not served yet.
            "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
        }
    if isinstance(run.workload, Workspace):
        variables |= for_notebooks(context.address, key, run)
    return replace(spec, variables=variables)


def _described(model: Path) -> dict[str, Any]:
    """Return what an MLflow model's folder says of itself; nothing where it is not readable."""
    try:
        described = yaml.safe_load((model / "MLmodel").read_text())
    except (OSError, ValueError, TypeError, AttributeError, RecursionError, yaml.YAMLError):
        return {}
    return described if isinstance(described, dict) else {}


def make_folder(context: Context, run: StoredRun, code: Path | None) -> Path:
    """Return the run's folder with `work`, `home` and `tmp`; made beside, then renamed.

    What is there is left alone: it is the run's own, and an earlier attempt may have put links
    into it that we must not follow.
    """
    folder = context.home.runs / run.id
    if folder.exists():
        return folder
    # A control plane that was paused here may go on while another one makes the folder.
    partial = folder.with_name(f".{run.id}.{os.getpid()}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    for name in ("work", "home", "tmp"):
        make_private(partial / name)
    if code is not None:
        unpack(code, partial / "work")
    try:
        partial.rename(folder)
    except OSError as err:
        shutil.rmtree(partial, ignore_errors=True)
        # One that is not empty is never replaced: another was faster.
        if err.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
    return folder


def base_variables(environment: Path, folder: Path, cpu: float) -> dict[str, str]:
    """Return the variables that every process gets: where its files are, how many threads."""
    threads = str(max(1, round(cpu)))
    return {
        "PATH": f"{environment / 'bin'}:/usr/local/bin:/usr/bin:/bin",
        "VIRTUAL_ENV": str(environment),
        "HOME": str(folder / "home"),
        "TMPDIR": str(folder / "tmp"),
        "LANG": "C.UTF-8",
        "TZ": os.environ.get("TZ", "UTC"),
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        # Libraries otherwise start a thread for each core of the machine, for every replica.
        "OMP_NUM_THREADS": threads,
        "OPENBLAS_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        # A thread that has nothing to do sleeps: else it spins on a core that others wait for,
        # which made one training on two busy cores take ten times the CPU time.
        "OMP_WAIT_POLICY": "PASSIVE",
    }
