"""Bring a batch from validating to its end, one idempotent step at a time.

The lines are sent by a run; this looks at it, ends it in time, and gathers what came of it.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from plinth.access.rbac import decide
from plinth.control.context import Context
from plinth.control.endpoints.routing import in_effect, protocol_of
from plinth.control.loop import Outcome
from plinth.control.openai_batches.input_lines import check_lines
from plinth.control.openai_batches.limits import FILE_DAYS
from plinth.control.openai_batches.preparation import file_key
from plinth.control.openai_batches.progress import journal_of, read_progress
from plinth.control.openai_batches.results import Gathered, gather
from plinth.control.openai_batches.service import OUTPUT_PURPOSE, new_file_id
from plinth.control.planning import plan_or_refuse
from plinth.control.runs.service import Sources, add_workload_run
from plinth.domain.access import Action, Actor, Principal, PrincipalKind, Resource
from plinth.domain.plan import Plan
from plinth.domain.request_batch import RequestBatch
from plinth.domain.run import Phase
from plinth.kit.errors import Permanent, PlinthError, Temporary
from plinth.kit.files import make_private
from plinth.store import tables
from plinth.store.endpoints import list_endpoints
from plinth.store.identities import find_member_by_id, grants_to, grants_to_team
from plinth.store.leases import Claim
from plinth.store.openai_batches import Status, StoredBatch, find_batch, no_batch
from plinth.store.openai_files import StoredFile, add_file
from plinth.store.runs import StoredRun, find_kept_run, want_stop

# How often the run is looked at: at first often, as short batches end soon.
_SOON_S, _LATER_S, _YOUNG_S = 0.5, 2.0, 60.0


@dataclass(frozen=True, slots=True)
class BatchState:
    """A batch and the run that sends its lines, as one reading saw them.

    `actor`: who made it, with the grants of now; None when that one is gone. `models`: what both
    the maker and the run may ask, through an address of OpenAI's.
    """

    batch: StoredBatch
    run: StoredRun | None
    actor: Actor | None
    models: frozenset[str]


class BatchReconciler:
    """See the module."""

    table = tables.openai_batch

    def __init__(self, context: Context) -> None:
        self._context = context

    def load(self, connection: Connection, key: str) -> BatchState:
        """Read the batch, its run and who may ask what. Raises NotFound."""
        batch = find_batch(connection, key)
        if batch is None:
            raise no_batch(key)
        run = find_kept_run(connection, batch.run) if batch.run is not None else None
        if batch.status != "validating":
            return BatchState(batch, run, None, frozenset())
        maker = find_member_by_id(connection, batch.created_by)
        actor = None
        if maker is not None:
            grants = (*grants_to(connection, maker), *grants_to_team(connection, maker.team))
            actor = Actor(principal=maker, grants=grants)
        models = _models(connection, self._context, batch.team, actor)
        return BatchState(batch, run, actor, models)

    def work(self, state: BatchState, _claim: Claim) -> Outcome:
        """Do the next step."""
        batch = state.batch
        if batch.has_ended:
            return self._clean(batch)
        if batch.status == "validating":
            return self._validate(state)
        if batch.status == "in_progress":
            return self._watch(state)
        if state.run is None:
            return self._to(batch, "cancelled", {})
        return self._end(batch, state.run)

    def failed(self, state: BatchState, error: PlinthError) -> Outcome:
        """Try again when it is temporary, else end the batch with the reason."""
        if isinstance(error, Temporary) or state.batch.has_ended:
            return Outcome(again_after_s=getattr(error, "retry_after_s", None))
        mistake = {"code": error.code, "message": error.message, "param": None, "line": None}
        return self._to(state.batch, "failed", {"errors": [mistake]}, also=self._stop(state.batch))

    # -- validating ------------------------------------------------------------------------------

    def _validate(self, state: BatchState) -> Outcome:
        batch = state.batch
        checked = check_lines(self._input(batch), batch.endpoint, state.models)
        changes: dict[str, Any] = {
            "total": checked.total,
            "model": min(checked.models) if len(checked.models) == 1 else None,
        }
        if checked.errors:
            return self._to(batch, "failed", changes | {"errors": checked.told(), "total": 0})
        if state.actor is None:
            raise Permanent("who made this batch is no member of any team any more")
        requests = RequestBatch(
            kind="requests",
            name=batch.id.replace("_", "-"),
            team=batch.team,
            input_file=batch.input_file,
            requests=checked.total,
            window=(batch.expires_at - batch.created_at).total_seconds(),
        )
        plan = plan_or_refuse(self._context, requests)
        return self._to(
            batch, "in_progress", changes, also=self._begin(batch, state.actor, requests, plan)
        )

    def _begin(
        self, batch: StoredBatch, actor: Actor, requests: RequestBatch, plan: Plan
    ) -> Callable[[Connection], None]:
        """Return what writes the run, and into the batch which one it is."""
        context = self._context

        def begin(connection: Connection) -> None:
            run = add_workload_run(
                connection, context, actor, requests, plan=plan, sources=Sources()
            )
            table = tables.openai_batch
            connection.execute(table.update().where(table.c.id == batch.id).values(run=run.id))

        return begin

    # -- in progress -----------------------------------------------------------------------------

    def _watch(self, state: BatchState) -> Outcome:
        batch, run, now = state.batch, state.run, self._context.clock.now()
        if run is None:
            raise Permanent("the run that sends the requests is gone")
        if run.phase.is_final:
            is_stopped = run.phase is Phase.STOPPED and now < batch.expires_at
            # Somebody stopped the run itself: that is to cancel the batch.
            return self._to(batch, "cancelling" if is_stopped else "finalizing", {})
        seen = read_progress(self._context, run.id)
        changes = {"completed": seen.completed, "failed": seen.failed}
        is_young = now - batch.created_at < timedelta(seconds=_YOUNG_S)
        also = self._stop(batch) if now >= batch.expires_at and run.desired != "stop" else None
        return self._kept(batch, changes, _SOON_S if is_young else _LATER_S, also)

    def _stop(self, batch: StoredBatch) -> Callable[[Connection], None]:
        def stop(connection: Connection) -> None:
            if batch.run is not None:
                want_stop(connection, batch.run, self._context.clock.now())

        return stop

    # -- the end ---------------------------------------------------------------------------------

    def _end(self, batch: StoredBatch, run: StoredRun) -> Outcome:
        """Gather the results when the run has ended; under ids that are written down before."""
        if not run.phase.is_final:
            also = self._stop(batch) if run.desired != "stop" else None
            return self._kept(batch, {}, _SOON_S, also)
        if batch.output_file is None or batch.error_file is None:
            ids = {"output_file": new_file_id(), "error_file": new_file_id()}
            return self._kept(batch, ids, 0)
        ends_as = self._final_status(batch, run)
        folder = make_private(self._context.home.runs / run.id)
        with (
            tempfile.NamedTemporaryFile("w", dir=folder, encoding="ascii") as output,
            tempfile.NamedTemporaryFile("w", dir=folder, encoding="ascii") as errors,
        ):
            journal = journal_of(self._context, run.id)
            found = gather(journal, self._input(batch), ends_as, output.file, errors.file)
            if found.done == batch.total and ends_as != "cancelled":
                ends_as = "completed"
            output.flush()
            errors.flush()
            files = []
            if found.completed:
                files.append(self._keep(batch, batch.output_file, "output", Path(output.name)))
            if found.errors:
                files.append(self._keep(batch, batch.error_file, "error", Path(errors.name)))
        return self._ended(batch, run, ends_as, found, files)

    def _ended(
        self,
        batch: StoredBatch,
        run: StoredRun,
        status: Status,
        found: Gathered,
        files: list[StoredFile],
    ) -> Outcome:
        changes: dict[str, Any] = {
            "completed": found.completed,
            "failed": found.failed,
            "usage": found.usage(),
            "output_file": batch.output_file if found.completed else None,
            "error_file": batch.error_file if found.errors else None,
        }
        if status == "failed":
            mistake = {"code": "run_failed", "message": run.message, "param": None, "line": None}
            changes["errors"] = [mistake]

        def keep(connection: Connection) -> None:
            for file in files:
                add_file(connection, file)

        return self._to(batch, status, changes, also=keep)

    def _final_status(self, batch: StoredBatch, run: StoredRun) -> Status:
        """Return how the batch ends if not every line has a result."""
        if batch.status == "cancelling":
            return "cancelled"
        ended_at = run.ended_at or self._context.clock.now()
        return "expired" if ended_at >= batch.expires_at else "failed"

    def _keep(self, batch: StoredBatch, file_id: str, what: str, path: Path) -> StoredFile:
        """Store a file's bytes; a second time changes nothing."""
        self._context.storage.put_file(path, file_key(batch.team, file_id))
        now = self._context.clock.now()
        seconds = batch.output_expires_s or FILE_DAYS * 86400
        return StoredFile(
            id=file_id,
            team=batch.team,
            purpose=OUTPUT_PURPOSE,
            name=f"{batch.id}_{what}.jsonl",
            size_bytes=path.stat().st_size,
            digest=_digest(path),
            created_at=now,
            created_by=batch.created_by,
            expires_at=now + timedelta(seconds=seconds),
        )

    def _clean(self, batch: StoredBatch) -> Outcome:
        """Remove the journal, whose content stands in files by now."""
        if batch.run is not None:
            journal_of(self._context, batch.run).unlink(missing_ok=True)
        return Outcome()

    # -- what all steps share --------------------------------------------------------------------

    def _input(self, batch: StoredBatch) -> Path:
        path = self._context.storage.local_path(file_key(batch.team, batch.input_file))
        if path is None or not path.is_file():
            raise Permanent(f"the file `{batch.input_file}` is not in the storage of this node")
        return path

    def _to(
        self,
        batch: StoredBatch,
        status: Status,
        changes: dict[str, Any],
        *,
        also: Callable[[Connection], None] | None = None,
    ) -> Outcome:
        times = {**batch.times, status: int(self._context.clock.now().timestamp())}
        return self._kept(batch, {**changes, "status": status, "times": times}, 0, also)

    def _kept(
        self,
        batch: StoredBatch,
        changes: dict[str, Any],
        after_s: float,
        also: Callable[[Connection], None] | None = None,
    ) -> Outcome:
        """Write what is new, if nobody cancelled the batch meanwhile."""
        new = {name: value for name, value in changes.items() if getattr(batch, name) != value}

        def is_still(connection: Connection) -> bool:
            found = find_batch(connection, batch.id)
            return found is not None and found.status == batch.status

        return Outcome(new, after_s, also, is_still)


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _models(
    connection: Connection, context: Context, team: str, maker: Actor | None
) -> frozenset[str]:
    """Return the models that both the maker of a batch and its run, one of the team, may ask."""
    if maker is None:
        return frozenset()
    principal = Principal(id="q_", kind=PrincipalKind.RUN, name="a batch", team=team)
    sender = Actor(principal=principal, grants=tuple(grants_to_team(connection, team)))
    found = set()
    for endpoint in list_endpoints(connection):
        asked = Resource(kind="endpoint", team=endpoint.team, name=endpoint.name)
        if (
            endpoint.desired == "run"
            and protocol_of(in_effect(endpoint), context.runtimes) == "openai"
            and all(decide(each, Action.INVOKE, asked).allow for each in (maker, sender))
        ):
            found.add(endpoint.name)
    return frozenset(found)
