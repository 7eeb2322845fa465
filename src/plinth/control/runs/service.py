"""Change the intent of runs. Called by the API inside its transaction; never commits."""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection

from plinth.control.context import Context
from plinth.control.identities import require_as_much_as_team
from plinth.control.preparation import code_key, diff_key
from plinth.domain.access import Actor, PrincipalKind
from plinth.domain.model import CodeOrigin, DataVersion, Lineage, ModelVersion
from plinth.domain.plan import Plan
from plinth.domain.request_batch import SENDER, RequestBatch
from plinth.domain.workload import SERVED_KINDS, Job, Workload
from plinth.domain.workload_fields import parse_data
from plinth.domain.workspace import Workspace
from plinth.kit.errors import Conflict, Invalid, NotFound, Temporary
from plinth.kit.excerpt import excerpt
from plinth.kit.ids import new_id
from plinth.store.data_versions import find_data_version, list_data_versions
from plinth.store.endpoints import find_endpoint
from plinth.store.identities import add_principal, find_team
from plinth.store.openai_batches import find_batch_of_run
from plinth.store.runs import (
    Attempt,
    StoredRun,
    add_run,
    delete_run,
    find_run,
    list_attempts,
    want_stop,
)


@dataclass(frozen=True, slots=True)
class Sources:
    """What a run is given beside its workload, resolved: code of a job or flow, or a model.

    `deployment`: what the endpoint's file calls it.
    """

    code_digest: str | None = None
    code: CodeOrigin | None = None
    data: dict[str, DataVersion] = field(default_factory=dict)
    model: ModelVersion | None = None
    lineage: Lineage | None = None
    deployment: str | None = None


def submit_job(
    connection: Connection,
    context: Context,
    actor: Actor,
    job: Job,
    *,
    plan: Plan,
    code_digest: str | None,
    code: CodeOrigin | None = None,
) -> StoredRun:
    """Write the intent to run a job. `job.team` is set, and the actor was allowed to.

    Raises NotFound for a team or data version that is absent, Invalid for a code snapshot or a
    difference that was not uploaded, Denied when the team was given more than the actor holds.
    """
    if job.environment.file is not None:
        raise Invalid(
            "`environment.file` names a file on the caller's machine",
            hint="send its lines as `environment.packages`; `plinth run` does",
        )
    team = job.team or ""
    if code_digest is not None and not context.storage.exists(code_key(team, code_digest)):
        raise Invalid(
            f"the code snapshot {code_digest[:12]} was not uploaded",
            hint="`PUT /api/v1/code/DIGEST` first; `plinth run` does",
        )
    diff = code.diff_digest if code is not None else None
    if diff is not None and not context.storage.exists(diff_key(team, diff)):
        raise Invalid(
            f"the uncommitted difference {diff[:12]} was not uploaded",
            hint="`PUT /api/v1/diffs/DIGEST` first; `plinth run` does",
        )
    # The job gets a key of the team, and does with it whatever the actor wrote.
    require_as_much_as_team(connection, actor, team)
    sources = Sources(code_digest=code_digest, code=code, data=resolve_data(connection, job))
    return add_workload_run(connection, context, actor, job, plan=plan, sources=sources)


def add_workload_run(
    connection: Connection,
    context: Context,
    actor: Actor,
    workload: Workload,
    *,
    plan: Plan,
    sources: Sources,
) -> StoredRun:
    """Write the run's row with a principal of its own: a member of its team, no more."""
    team = workload.team
    if team is None or find_team(connection, team) is None:
        raise NotFound(f"there is no team `{excerpt(team)}`", hint="`plinth teams` lists them")
    now = context.clock.now()
    run_id = new_id("r_")
    name = f"run {run_id} of {workload.name}"
    prefix = SENDER if isinstance(workload, RequestBatch) else "p_"
    principal = add_principal(
        connection,
        kind=PrincipalKind.RUN,
        name=name,
        team=team,
        now=now,
        principal_id=new_id(prefix),
    )
    run = StoredRun(
        id=run_id,
        team=team,
        workload=workload,
        code_digest=sources.code_digest,
        code=sources.code,
        model=sources.model,
        lineage=sources.lineage,
        deployment=sources.deployment,
        data=sources.data,
        plan=plan,
        principal=principal.id,
        created_by=actor.principal.id,
        created_at=now,
    )
    add_run(connection, run)
    return run


def stop_run(connection: Connection, context: Context, run: StoredRun) -> StoredRun:
    """Ask a run to stop. Nothing happens when it has ended. Raises Conflict for a deployment."""
    if run.workload.kind in SERVED_KINDS:
        raise Conflict(
            f"run `{run.id}` is a deployment of endpoint `{run.workload.name}`",
            hint=f"`plinth stop {run.workload.name}` stops the endpoint",
        )
    if run.workload.kind == "workspace":
        raise Conflict(
            f"run `{run.id}` is a session of workspace `{run.workload.name}`",
            hint=f"`plinth workspace stop {run.workload.name}` asks what runs in it",
        )
    want_stop(connection, run.id, context.clock.now())
    return find_run(connection, run.id)


def removable(connection: Connection, run: StoredRun) -> list[Attempt]:
    """Return the attempts of a run that may be deleted: their files go first, then the row.

    Raises Conflict while it is active or its endpoint is there, Temporary while its usage is not
    all in the ledger.
    """
    if not (run.phase.is_final and run.closed):
        raise Conflict(
            f"run `{run.id}` is {run.phase}; only a run that has ended can be deleted",
            hint=f"`plinth stop {run.id}` first",
        )
    if run.workload.kind in SERVED_KINDS:
        endpoint = find_endpoint(connection, run.workload.name)
        if endpoint is not None and endpoint.team == run.team:
            raise Conflict(
                f"run `{run.id}` is a deployment of endpoint `{endpoint.name}`",
                hint=f"`plinth delete {endpoint.name}` deletes the endpoint with its deployments",
            )
    if isinstance(run.workload, RequestBatch):
        batch = find_batch_of_run(connection, run.id)
        if batch is not None and not batch.has_ended:
            raise Conflict(
                f"the results of batch `{batch.id}` are being gathered", hint="again in a moment"
            )
    attempts = list_attempts(connection, [run.id])
    if not is_metered(attempts):
        raise Temporary(f"the usage of run `{run.id}` is being written", hint="again in a moment")
    return attempts


def is_metered(attempts: Sequence[Attempt]) -> bool:
    """Tell whether the whole usage of these attempts stands in the ledger."""
    return all(attempt.metered for attempt in attempts if attempt.started_at is not None)


def remove_run(connection: Connection, context: Context, run: StoredRun) -> None:
    """Delete a run whose files are forgotten; see `removable`.

    Its usage stays, and for the responses it had a part in the row does too, for `trace_days`.
    """
    removable(connection, run)
    delete_run(connection, run.id, context.clock.now())


def forget_files(
    context: Context,
    run_id: str,
    attempts: Sequence[Attempt],
    *,
    valid_until: float = math.inf,
) -> None:
    """Remove the work folder and the output of a run that is about to be deleted.

    Idempotent, so that whoever was killed half-way may do it again: the row is still there.
    """
    for attempt in attempts:
        context.engine.forget(attempt.handle, valid_until=valid_until)
    runs = context.home.runs
    for folder in (runs / run_id, *runs.glob(f".{run_id}.*partial")):
        shutil.rmtree(folder, ignore_errors=True)


def resolve_data(connection: Connection, job: Job | Workspace) -> dict[str, DataVersion]:
    """Return the data versions that a workload names, of its own team. Raises NotFound."""
    found = {}
    for name, reference in job.data.items():
        data_name, number = parse_data(reference)
        version = find_data_version(connection, job.team or "", data_name, number)
        if version is None:
            known = sorted(
                f"{v.name}@{v.version}"
                for v in list_data_versions(connection)
                if v.team == job.team
            )
            raise NotFound(
                f"`data.{excerpt(name)}`: team `{job.team}` has no data version "
                f"`{excerpt(reference)}`; it has {excerpt(', '.join(known) or 'none', 400)}",
                hint="`plinth data add NAME FILE` adds one",
            )
        found[name] = version
    return found
