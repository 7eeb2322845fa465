"""Make ready what a flow, or an evaluation of one, needs before it starts.

Called by the runs' reconciler with no transaction open. Every step is "create if absent".
"""

from __future__ import annotations

import json
from dataclasses import replace

from plinth.control.context import Context
from plinth.control.preparation import Prepared, base_variables, code_key, make_folder
from plinth.domain.flow import (
    DEFAULT_CONCURRENCY,
    DEFAULT_IDLE_S,
    RESULTS_FILE,
    ROWS_FILE,
    FlowEvaluation,
    PromptFlow,
)
from plinth.engines.base import Elastic, Mount
from plinth.environments.requirement import name_of, normalise, refuse_left_out
from plinth.environments.spec import EnvironmentSpec, this_python
from plinth.kit.errors import Permanent
from plinth.runtimes.runtime import Runtime
from plinth.store.runs import StoredRun

# Read by runtimes/flowhost.
_CONNECTIONS = "PLINTH_FLOW_CONNECTIONS"


def prepare_flow(context: Context, run: StoredRun, flow: PromptFlow) -> Prepared:
    """Build the environment and unpack the code. Raises Temporary while that goes on."""
    return replace(
        _prepare(context, run, flow, _sharing(flow)),
        elastic=None
        if flow.workers.is_one
        else Elastic(flow.workers.least, flow.workers.most, flow.ready_timeout),
    )


def prepare_evaluation(context: Context, run: StoredRun, asked: FlowEvaluation) -> Prepared:
    """Do the same for an evaluation, which runs the flow's rows to their end."""
    said = {
        "rows": ROWS_FILE,
        "results": RESULTS_FILE,
        "variants": list(asked.variants),
        "expected": asked.expected,
        "output": asked.output,
    }
    return _prepare(context, run, asked, ("--evaluate", json.dumps(said)))


def flow_environment(flow: PromptFlow | FlowEvaluation, runtime: Runtime) -> EnvironmentSpec:
    """Return the environment of a flow: its own packages and those that run it.

    What the host leaves out and has a stand-in for is installed where the flow itself names it.
    Raises Invalid for packages that are none, and where the flow leaves out what the host needs.
    """
    own = flow.environment
    needed = (*runtime.packages, *runtime.without_dependencies)
    refuse_left_out(own.leave_out, needed, runtime.name)
    named = {name_of(normalise(each)) for each in (*own.packages, *own.without_dependencies)}
    return EnvironmentSpec(
        packages=(*own.packages, *runtime.packages),
        python=this_python(),
        without_dependencies=(*own.without_dependencies, *runtime.without_dependencies),
        leave_out=(*own.leave_out, *(each for each in runtime.leave_out if each not in named)),
    )


def _sharing(flow: PromptFlow) -> tuple[str, ...]:
    """Return what the host is told where several of it share a socket."""
    if flow.workers.is_one:
        return ()
    idle_s = flow.idle or DEFAULT_IDLE_S
    return (
        *("--concurrency", str(flow.concurrency or DEFAULT_CONCURRENCY)),
        *("--idle-s", f"{idle_s:g}", "--least", str(flow.workers.least)),
    )


def _prepare(
    context: Context,
    run: StoredRun,
    flow: PromptFlow | FlowEvaluation,
    more: tuple[str, ...],
) -> Prepared:
    runtime = context.runtimes[flow.runtime]
    spec = flow_environment(flow, runtime)
    environment = context.builder.need(spec, f"{flow.kind} {flow.name}")
    if run.code_digest is None:
        raise Permanent(f"run {run.id} has no code")
    archive = context.storage.local_path(code_key(run.team, run.code_digest))
    if archive is None:
        raise Permanent(f"the code snapshot {run.code_digest[:12]} is not in the storage")
    folder = make_folder(context, run, archive)
    work = folder / "work"
    python, version = environment.python, run.code_digest[:12]
    variables = base_variables(environment.folder, folder, flow.resources.cpu)
    variables |= runtime.variables_for(python=python, model=work, name=flow.name, version=version)
    variables |= flow.variables
    if flow.connections:
        variables[_CONNECTIONS] = json.dumps(flow.connections)
    app = () if flow.app is None else ("--app", flow.app)
    mounts = (
        Mount(str(environment.folder)),
        Mount(str(runtime.folder)),
        Mount(str(folder), writable=True),
    )
    base = runtime.command_for(python=python, model=work, name=flow.name, version=version)
    command = (*base, *app, *more)
    return Prepared(command, variables, str(work), mounts)
