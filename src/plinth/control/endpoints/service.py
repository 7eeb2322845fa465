"""Change the intent of endpoints. Called by the API inside its transaction; never commits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from plinth.control.context import Context
from plinth.control.endpoints.resolution import Hosted, check_free
from plinth.control.endpoints.routing import in_effect, takes_traffic, wanted
from plinth.control.runs.service import Sources, add_workload_run
from plinth.domain.access import Actor
from plinth.domain.base import Declared
from plinth.domain.workload import Served
from plinth.store.endpoints import StoredEndpoint, add_endpoint, file_json, find_endpoint, want
from plinth.store.runs import StoredRun, find_run, rename_deployment

# A run's own workload says which form it has, a file which one it asks for.
_NOT_COMPARED = {"model", "form"}


class Applied(Declared):
    """What `apply` did. `deployments`: by name, the runs that serve or are to serve.

    What is external has none. `changed`: not when the same file was in force.
    """

    endpoint: StoredEndpoint
    deployments: dict[str, str]
    changed: bool

    @property
    def deployment(self) -> str | None:
        """The first of these runs, in the order of the file; None when all are external."""
        return next(iter(self.deployments.values()), None)


def apply_endpoint(
    connection: Connection,
    context: Context,
    actor: Actor,
    workload: Served,
    hosted: Mapping[str, Hosted],
) -> Applied:
    """Write the intent to serve what the file says; `hosted` is what `resolve` found for it.

    A deployment whose part of the file and version are those of what serves (or is to serve) goes
    on as it is, also under another name. Raises Conflict when another team has an endpoint of that
    name.
    """
    endpoint = find_endpoint(connection, workload.name)
    check_free(endpoint, workload)
    step = _Step(connection, context, actor, workload, endpoint)
    for name, source in hosted.items():
        step.place(name, source)
    return step.write()


def stop_endpoint(connection: Connection, context: Context, endpoint: StoredEndpoint) -> None:
    """Ask an endpoint to stop serving; its name and history stay, `apply` starts it again."""
    if endpoint.desired == "run":
        _want(connection, context, endpoint, "stop")


def remove_endpoint(connection: Connection, context: Context, endpoint: StoredEndpoint) -> None:
    """Ask an endpoint to stop and then to be forgotten; nothing happens the second time."""
    _want(connection, context, endpoint, "delete")


def _want(connection: Connection, context: Context, endpoint: StoredEndpoint, desired: str) -> None:
    now = context.clock.now()
    want(connection, endpoint.name, desired=desired, next={}, before=None, now=now)


class _Step:
    """One file being applied: which runs go on, which are made, what the row says then."""

    def __init__(
        self,
        connection: Connection,
        context: Context,
        actor: Actor,
        workload: Served,
        endpoint: StoredEndpoint | None,
    ) -> None:
        self._connection = connection
        self._context = context
        self._actor = actor
        self._workload = workload
        self._endpoint = endpoint
        self._serving = {} if endpoint is None else dict(endpoint.serving)
        self._next = {} if endpoint is None else dict(endpoint.next)
        self._then: dict[str, str] = {}

    def place(self, name: str, source: Hosted) -> None:
        """Find the run that serves a deployment, or is to; make it when there is none."""
        only = self._workload.only(name)
        found = self._going_on(name, only, source)
        if found is None:
            if source.form is not None:
                only = only.model_copy(update={"form": source.form})
            sources = Sources(
                model=source.model,
                lineage=source.lineage,
                deployment=name,
                code_digest=source.code_digest,
                code=source.code,
            )
            run = add_workload_run(
                self._connection,
                self._context,
                self._actor,
                only,
                plan=source.plan,
                sources=sources,
            )
            self._next[name] = run.id
            found = run.id
        self._then[name] = found

    def write(self) -> Applied:
        """Write the row when anything is new."""
        endpoint, now = self._endpoint, self._context.clock.now()
        # An external one needs no run, and what the file does not name is not to serve.
        following = {name: run for name, run in self._next.items() if name in self._then}
        if endpoint is None:
            endpoint = StoredEndpoint(
                name=self._workload.name,
                team=self._workload.team or "",
                workload=self._workload,
                next=following,
                created_at=now,
                created_by=self._actor.principal.id,
                updated_at=now,
            )
            add_endpoint(self._connection, endpoint)
            return Applied(endpoint=endpoint, deployments=self._then, changed=True)
        then = endpoint.model_copy(
            update={
                "desired": "run",
                "workload": self._workload,
                "before": self._before(endpoint),
                "serving": self._serving,
                "next": following,
            }
        )
        then = then.model_copy(update={"serving": wanted(then)})
        if then != endpoint:
            want(
                self._connection,
                endpoint.name,
                desired="run",
                now=now,
                workload=file_json(then.workload),
                before=None if then.before is None else file_json(then.before),
                serving=then.serving,
                next=then.next,
            )
        changed = _in_effect(then) != _in_effect(endpoint)
        return Applied(endpoint=then, deployments=self._then, changed=changed)

    def _before(self, endpoint: StoredEndpoint) -> Served | None:
        """Return the file whose traffic goes on until something of the new one is ready."""
        held = in_effect(endpoint)
        if endpoint.desired != "run" or held == self._workload:
            return None
        if takes_traffic(self._workload, self._serving):
            return None
        return held if takes_traffic(held, self._serving) else None

    def _going_on(self, name: str, only: Served, source: Hosted) -> str | None:
        for runs in (self._serving, self._next):
            if name in runs and self._is_it(runs[name], only, source):
                if runs is self._serving and not self._is_other_form(name, only, source):
                    # One that was to replace it is not wanted any more.
                    self._next.pop(name, None)
                return runs[name]
        if name in self._serving:
            return None
        return self._renamed(name, only, source)

    def _renamed(self, name: str, only: Served, source: Hosted) -> str | None:
        """Take over the run of a deployment that the file now calls by another name."""
        named = self._workload.by_name()
        for old, run_id in list(self._serving.items()):
            is_free = old not in named and run_id not in self._then.values()
            if is_free and self._is_it(run_id, only, source):
                # It keeps the old name too, for as long as the file before is in force.
                self._serving[name] = run_id
                self._next.pop(name, None)
                rename_deployment(self._connection, run_id, name)
                return run_id
        return None

    def _is_other_form(self, name: str, only: Served, source: Hosted) -> bool:
        """Tell whether what is to replace a deployment is the same one, from its ONNX form."""
        return name in self._next and self._is_it(self._next[name], only, source)

    def _is_it(self, run_id: str, only: Served, source: Hosted) -> bool:
        run = find_run(self._connection, run_id)
        is_kept = run.desired == "run" and not run.phase.is_final
        return is_kept and _is_same(run, only, source)


def _in_effect(endpoint: StoredEndpoint) -> dict[str, Any]:
    """Return what makes a difference: what models are called by is none, which they are is one."""
    told = endpoint.model_dump(include={"desired", "workload", "before", "serving", "next"})
    for one in (told["workload"], *told["workload"].get("deployments", {}).values()):
        one["model"] = one.get("model") is not None
    return told


def _is_same(run: StoredRun, only: Served, source: Hosted) -> bool:
    # Two aliases of one version are the same model: what it is decides, not how it was called. A
    # model that was deleted and registered anew has the same version and another artifact.
    served, model = run.model, source.model
    is_it = served is None and model is None
    if served is not None and model is not None:
        is_it = (served.name, served.version, served.artifact_uri) == (
            *(model.name, model.version, model.artifact_uri),
        )
    return (
        is_it
        and run.code_digest == source.code_digest
        and _has_form(run, only)
        and run.workload.model_dump(exclude=_NOT_COMPARED) == only.model_dump(exclude=_NOT_COMPARED)
    )


def _has_form(run: StoredRun, only: Served) -> bool:
    """Tell whether a run has the form that the file asks for; `auto` takes each."""
    asked = getattr(only, "form", "auto")
    return asked in ("auto", getattr(run.workload, "form", "auto"))
