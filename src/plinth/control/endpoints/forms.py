"""Have an endpoint's models answer from their ONNX form as soon as that is found.

A deployment begins as MLflow loads its model, so that nobody waits for the search. Once it serves,
a run looks for the form (`control/conversions`), once for each model version; when it is found,
another deployment takes over as any other does: checked first, then the traffic, then the old one
ends. One that does not get ready is not tried again, and nobody notices.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Connection, update

from plinth.control.context import Context
from plinth.control.model_form import FormState, failed_as_onnx, form_state, is_same
from plinth.control.planning import plan_or_refuse
from plinth.control.preparation import model_folder, no_onnx
from plinth.control.runs.service import Sources, add_workload_run
from plinth.domain.access import Actor, Principal, PrincipalKind
from plinth.domain.model import ModelVersion
from plinth.domain.model_conversion import ModelConversion
from plinth.domain.plan import Plan
from plinth.domain.run import Phase
from plinth.domain.workload import Endpoint, Workload
from plinth.kit.errors import PlinthError
from plinth.runtimes.batch import load_batch_packages
from plinth.store import tables
from plinth.store.endpoints import StoredEndpoint
from plinth.store.lineage import find_conversion
from plinth.store.runs import StoredRun

log = logging.getLogger(__name__)
Form = Literal["onnx", "pyfunc"]


@dataclass(frozen=True, slots=True)
class FormStep:
    """What is to be written next for the sake of a deployment's form.

    `reason` and `message`: what the endpoint says from now on; None: what it said before.
    """

    write: Callable[[Connection], None]
    reason: str | None = None
    message: str | None = None


def form_to_begin(context: Context, workload: Endpoint, model: ModelVersion) -> Form:
    """Return the form in which a new deployment of this version begins.

    `workload`: the file of this one deployment. Raises Invalid where it asks for ONNX and the
    version is known to have no such form.
    """
    if workload.form == "pyfunc" or not context.runtimes[workload.runtime].takes_form:
        return "pyfunc"
    with context.database.read() as connection:
        state = form_state(connection, model, model_folder(context, model))
        failed = failed_as_onnx(connection, workload.team or "", workload.name, model)
    if workload.form == "onnx":
        if state.form == "pyfunc":
            raise no_onnx(model, state.why)
        return "onnx"
    return "onnx" if state.form == "onnx" and failed is None else "pyfunc"


class Forms:
    """Find the next step. Holds nothing of an endpoint."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def next_step(self, endpoint: StoredEndpoint, runs: Sequence[StoredRun]) -> FormStep | None:
        """Return what is to be done for one of its deployments; None where nothing is."""
        if not isinstance(endpoint.workload, Endpoint):
            return None
        by_id = {run.id: run for run in runs}
        for name, one in endpoint.workload.by_name().items():
            if one.external is not None or not self._takes_form(one.runtime):
                continue
            serving = by_id.get(endpoint.serving.get(name, ""))
            following = by_id.get(endpoint.next.get(name, ""))
            step = None
            if following is not None:
                step = self._of_next(endpoint, name, following, serving)
            elif not endpoint.next:
                # First all that the file asks for: who applied it waits for that.
                step = self._of_serving(endpoint, name, serving)
            if step is not None:
                return step
        return None

    def _of_next(
        self, endpoint: StoredEndpoint, name: str, run: StoredRun, serving: StoredRun | None
    ) -> FormStep | None:
        """Look for the form that a deployment waits for; go back from one that failed with it."""
        if not _is_onnx(run) or run.model is None:
            return None
        asked = endpoint.workload.by_name()[name]
        if run.phase is Phase.PENDING and self._state(run.model).form == "unknown":
            return self._convert(run)
        if run.phase is not Phase.FAILED or getattr(asked, "form", "auto") != "auto":
            return None
        why = f"deployment {run.id} was not ready from its model's ONNX form: {run.message}"
        is_served = serving is not None and serving.phase is Phase.RUNNING
        if is_served and serving is not None and is_same(serving.model, run.model):
            write = _following(endpoint, name, None)
            return FormStep(write, "Serving", f"serves as before; {why}")
        return self._begin(endpoint, name, run, "pyfunc", f"{why}; it is served as MLflow loads it")

    def _of_serving(
        self, endpoint: StoredEndpoint, name: str, run: StoredRun | None
    ) -> FormStep | None:
        asked = endpoint.workload.by_name()[name]
        if run is None or run.model is None or getattr(asked, "form", "") != "auto":
            return None
        if run.phase is not Phase.RUNNING or run.desired != "run" or _is_onnx(run):
            return None
        state = self._state(run.model)
        if state.form == "unknown":
            return self._convert(run)
        if state.form == "pyfunc" or self._has_failed(run):
            return None
        message = f"its model's ONNX form takes over in the place of {run.id}: {state.why}"
        return self._begin(endpoint, name, run, "onnx", message)

    def _convert(self, run: StoredRun) -> FormStep | None:
        """Return what begins the search for a model's form; None while or after there was one."""
        model, workload = run.model, run.workload
        assert model is not None  # Who calls has looked.
        converter = load_batch_packages().converter
        with self._context.database.read() as connection:
            if find_conversion(connection, model, converter) is not None:
                return None
        conversion = ModelConversion.of(model, converter, workload.resources)
        conversion = conversion.model_copy(update={"requirements": workload.requirements})
        plan = self._plan(conversion)
        if plan is None:
            return None
        data = {} if run.lineage is None else dict(run.lineage.data)
        sources = Sources(model=model, lineage=run.lineage, data=data)

        def write(connection: Connection) -> None:
            # Another endpoint may serve the same version.
            if find_conversion(connection, model, converter) is None:
                self._add(connection, run, conversion, plan, sources)

        return FormStep(write)

    def _begin(
        self, endpoint: StoredEndpoint, name: str, run: StoredRun, form: Form, message: str
    ) -> FormStep | None:
        """Return what begins the same deployment in another form."""
        workload = run.workload
        assert isinstance(workload, Endpoint)  # Flows have no form.
        other = workload.model_copy(update={"form": form})
        plan = self._plan(other)
        if plan is None:
            return None
        sources = Sources(model=run.model, lineage=run.lineage, deployment=name)

        def write(connection: Connection) -> None:
            made = self._add(connection, run, other, plan, sources)
            _following(endpoint, name, made.id)(connection)

        return FormStep(write, "Deploying", message)

    def _add(
        self,
        connection: Connection,
        run: StoredRun,
        workload: Workload,
        plan: Plan,
        sources: Sources,
    ) -> StoredRun:
        """Write a run in the name of who made another one."""
        maker = Principal(id=run.created_by, kind=PrincipalKind.USER, name="", team=run.team)
        actor = Actor(principal=maker, grants=())
        return add_workload_run(
            connection, self._context, actor, workload, plan=plan, sources=sources
        )

    def _plan(self, workload: Workload) -> Plan | None:
        """Return the plan; None where it fits nowhere now: what serves goes on."""
        try:
            return plan_or_refuse(self._context, workload)
        except PlinthError as err:
            log.info("%s `%s` is not begun: %s", workload.kind, workload.name, err.message)
            return None

    def _state(self, model: ModelVersion) -> FormState:
        with self._context.database.read() as connection:
            return form_state(connection, model, model_folder(self._context, model))

    def _has_failed(self, run: StoredRun) -> bool:
        assert run.model is not None  # Who calls has looked.
        with self._context.database.read() as connection:
            name = run.workload.name
            return failed_as_onnx(connection, run.team, name, run.model) is not None

    def _takes_form(self, runtime: str) -> bool:
        found = self._context.runtimes.get(runtime)
        return found is not None and found.takes_form


def _is_onnx(run: StoredRun) -> bool:
    return isinstance(run.workload, Endpoint) and run.workload.form == "onnx"


def _following(
    endpoint: StoredEndpoint, name: str, run_id: str | None
) -> Callable[[Connection], None]:
    """Return what writes which run is to serve a deployment next, or that none is."""
    then = {each: run for each, run in endpoint.next.items() if each != name}
    if run_id is not None:
        then[name] = run_id

    def write(connection: Connection) -> None:
        table = tables.endpoint
        connection.execute(update(table).where(table.c.name == endpoint.name).values(next=then))

    return write
