"""Change the intent of batches. Called by the API inside its transaction; never commits."""

from __future__ import annotations

from sqlalchemy import Connection

from plinth.control.batches.preparation import INPUT
from plinth.control.context import Context
from plinth.control.runs.service import Sources, add_workload_run
from plinth.domain.access import Actor
from plinth.domain.batch import BatchInference
from plinth.domain.model import DataVersion, Lineage, ModelVersion
from plinth.domain.plan import Plan
from plinth.domain.workload_fields import parse_data
from plinth.kit.errors import Conflict, Invalid, NotFound
from plinth.kit.excerpt import excerpt
from plinth.store.data_versions import find_data_version, list_data_versions
from plinth.store.runs import StoredRun, find_run, no_run

# What must be the same for finished mini-batches to count, in the words of the file.
_SAME = ("mini_batch", "keep")


def submit_batch(
    connection: Connection,
    context: Context,
    actor: Actor,
    batch: BatchInference,
    *,
    plan: Plan,
    model: ModelVersion,
    lineage: Lineage,
) -> StoredRun:
    """Write the intent to run a batch. `batch.team` is set, and the actor was allowed to.

    Raises NotFound for a data version that is absent, Invalid for files that were not sent,
    Conflict for a run that cannot be resumed by this one.
    """
    if batch.data is None:
        raise Invalid(
            "`files` names files on the caller's machine",
            hint="send them as a data version and name it as `data`; `plinth batch run` does",
        )
    data = _find_data(connection, batch.team or "", batch.data)
    if batch.resume is not None:
        _check_resumed(connection, batch, batch.resume, data, model)
    sources = Sources(data={INPUT: data}, model=model, lineage=lineage)
    return add_workload_run(connection, context, actor, batch, plan=plan, sources=sources)


def _find_data(connection: Connection, team: str, reference: str) -> DataVersion:
    name, number = parse_data(reference)
    found = find_data_version(connection, team, name, number)
    if found is not None:
        return found
    known = [f"{v.name}@{v.version}" for v in list_data_versions(connection) if v.team == team]
    raise NotFound(
        f"`data`: team `{team}` has no data version `{excerpt(reference)}`; "
        f"it has {excerpt(', '.join(sorted(known)) or 'none', 400)}",
        hint="`plinth data add NAME FILES` adds one",
    )


def _check_resumed(
    connection: Connection,
    batch: BatchInference,
    run_id: str,
    data: DataVersion,
    model: ModelVersion,
) -> None:
    """Return if what a run finished can be taken over. Raises NotFound and Conflict."""
    run = find_run(connection, run_id)
    if run.team != batch.team or not isinstance(run.workload, BatchInference):
        raise no_run(run_id)
    if not run.phase.is_final:
        raise Conflict(
            f"run `{run_id}` is {run.phase}; it goes on by itself",
            hint=f"`plinth stop {run_id}` first, to go on with another file",
        )
    differs = [name for name in _SAME if getattr(run.workload, name) != getattr(batch, name)]
    before = run.data[INPUT]
    if before.digest != data.digest:
        differs.append("data")
    earlier = run.model
    if earlier is None or earlier.artifact_uri != model.artifact_uri:
        differs.append("model")
    if differs:
        named = ", ".join(f"`{name}`" for name in sorted(differs))
        was = f"{before.name}@{before.version}"
        version = f"{earlier.name}/{earlier.version}" if earlier is not None else "none"
        raise Conflict(
            f"run `{run_id}` cannot be taken over: it had another {named}",
            hint=f"it answered `{was}` by `models:/{version}`; without `resume` all is done anew",
        )
