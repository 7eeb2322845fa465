"""An endpoint as the API shows it: its deployments by name, and where it is called."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from plinth.api.health_view import health_view
from plinth.api.runs import summary as run_summary
from plinth.control.context import Context
from plinth.control.endpoints.health import read_health
from plinth.control.endpoints.routing import (
    external_id,
    in_effect,
    policy_of,
    protocol_of,
    routed,
)
from plinth.control.model_form import form_served, is_other_form
from plinth.control.preparation import model_folder
from plinth.control.published import Published
from plinth.control.secrets import secret_version
from plinth.domain.flow import PromptFlow
from plinth.domain.run import Phase
from plinth.domain.traffic import Deployment, EndpointRoute
from plinth.domain.workload import Endpoint, EndpointDeployment, ServedDeployment
from plinth.store.endpoints import StoredEndpoint
from plinth.store.events import list_events
from plinth.store.runs import (
    StoredRun,
    find_run,
    list_endpoint_runs,
    list_newest_attempts,
)

_MOST_RUNS = 20
_WHOLE = 100
_ILL = "unhealthy"


@dataclass(frozen=True, slots=True)
class _View:
    """What one answer about an endpoint is made of."""

    connection: Connection
    context: Context
    endpoint: StoredEndpoint
    published: Published | None

    @property
    def is_routed(self) -> bool:
        """Whether Envoy sends requests where the rows say."""
        mine = {} if self.published is None else self.published.serving.get(self.endpoint.name, {})
        return mine == routed(self.endpoint)

    @property
    def refused(self) -> str | None:
        """Why Envoy does not take the file, if it does not."""
        refused = None if self.published is None else self.published.refused
        found = (refused or {}).get(self.endpoint.name)
        return found.reason if found and found.version == self.endpoint.version else None

    @property
    def has_file(self) -> bool:
        """Whether Envoy runs what the file says of the traffic."""
        files = {} if self.published is None else self.published.files
        return files.get(self.endpoint.name) == self.endpoint.version

    def run(self, run_id: str | None) -> StoredRun | None:
        """Return one of its runs."""
        return find_run(self.connection, run_id) if run_id else None


def summary(
    connection: Connection,
    context: Context,
    published: Published | None,
    endpoint: StoredEndpoint,
) -> dict[str, Any]:
    """Return an endpoint as lists show it.

    `ready`: callers are answered. `up_to_date`: by all that the file names, as it says. `refused`:
    why Envoy does not take the file.
    """
    view = _View(connection, context, endpoint, published)
    deployments = _deployments(view)
    answering = [each for each in deployments.values() if each["ready"] and each["share"] != 0]
    models = [each["model"] for each in deployments.values() if each["model"]]
    protocol = protocol_of(in_effect(endpoint), context.runtimes)
    addresses = _addresses(context, endpoint.name, protocol)
    fields = {"name", "team", "desired", "serving", "next", "reason", "message"}
    return {
        "kind": endpoint.workload.kind,
        **endpoint.model_dump(
            mode="json", include=fields | {"created_at", "created_by", "updated_at"}
        ),
        "ready": bool(answering),
        "up_to_date": view.is_routed
        and view.has_file
        and not _awaited(view)
        and endpoint.before is None
        # Whether somebody else's server answers is no question of what the file says.
        and all(each["ready"] or _is_ill(each) for each in deployments.values()),
        "refused": view.refused,
        "protocol": protocol,
        "model": models[0] if models else None,
        "url": next(iter(addresses.values())),
        "addresses": addresses,
        "deployments": deployments,
    }


def describe(
    connection: Connection,
    context: Context,
    published: Published | None,
    endpoint: StoredEndpoint,
) -> dict[str, Any]:
    """Return an endpoint with its file, its newest runs, their plans, and what happened to it."""
    runs = list_endpoint_runs(connection, endpoint.team, endpoint.name)
    events = list_events(connection, f"endpoint/{endpoint.name}")
    return {
        **summary(connection, context, published, endpoint),
        "runs": [
            {
                **run_summary(run),
                "deployment": run.deployment,
                "model": run.model.model_dump(mode="json") if run.model else None,
            }
            for run in runs[:_MOST_RUNS]
        ],
        "workload": endpoint.workload.model_dump(mode="json"),
        "plans": _plans(endpoint, runs),
        "events": [event.model_dump(mode="json") for event in events],
    }


def _awaited(view: _View) -> list[str]:
    """Return the deployments that the file asks for and that do not serve yet.

    One that serves and moves to its model's ONNX form is none.
    """
    serving = view.endpoint.serving
    return [
        name
        for name, run_id in view.endpoint.next.items()
        if not is_other_form(view.run(serving.get(name)), view.run(run_id))
    ]


def _deployments(view: _View) -> dict[str, dict[str, Any]]:
    endpoint = view.endpoint
    shares, mirror = _shares(endpoint), policy_of(endpoint).mirror
    # Beside those of the file, what still answers while none of them does.
    ones: dict[str, ServedDeployment] = dict(in_effect(endpoint).by_name())
    ones.update(endpoint.workload.by_name())
    return {
        name: {
            **(_external(view, name, one) if one.external else _hosted(view, name)),
            "share": shares.get(name, 0),
            "mirror": mirror.get(name),
        }
        for name, one in ones.items()
    }


def _hosted(view: _View, name: str) -> dict[str, Any]:
    endpoint = view.endpoint
    serving, following = view.run(endpoint.serving.get(name)), view.run(endpoint.next.get(name))
    shown = serving or following
    model = shown.model if shown is not None else None
    runs = serving is not None and serving.phase is Phase.RUNNING
    absent = "failed" if endpoint.desired == "run" else "stopped"
    return {
        "kind": "hosted",
        "run": serving.id if serving is not None else None,
        "next": following.id if following is not None else None,
        "phase": shown.phase.value if shown is not None else absent,
        "ready": runs and view.is_routed and routed(endpoint).get(name) == endpoint.serving[name],
        "message": shown.message if shown is not None else "none of its runs serves",
        "model": model.model_dump(mode="json") if model is not None else None,
        "code": _code(shown),
        "workers": _workers(view, shown),
        "form": _form(view, name, shown),
        "external": None,
        "health": None,
    }


def _form(view: _View, name: str, run: StoredRun | None) -> dict[str, Any] | None:
    """Return how a model answers, and why so; None where its server knows one form only."""
    if run is None or run.model is None or not isinstance(run.workload, Endpoint):
        return None
    runtime = view.context.runtimes.get(run.workload.runtime)
    if runtime is None or not runtime.takes_form:
        return None
    one = view.endpoint.workload.by_name().get(name)
    asked = one.form if isinstance(one, EndpointDeployment) else "auto"
    model = model_folder(view.context, run.model)
    state = form_served(view.connection, run, model, asked)
    return {"asked": asked, **state.model_dump(mode="json"), "words": state.words()}


def _workers(view: _View, run: StoredRun | None) -> dict[str, Any] | None:
    """Return how many workers of a flow that scales run; None for all else."""
    flow = None if run is None else run.workload
    if run is None or not isinstance(flow, PromptFlow) or flow.workers.is_one:
        return None
    attempts = list_newest_attempts(view.connection, run.id, replicas=1, newest=2)
    running, words = 0, "its host is being started"
    if attempts and attempts[-1].phase is Phase.RUNNING:
        running = attempts[-1].workers or 0
        words = flow.workers.told(running)
    if not running and len(attempts) > 1 and attempts[0].phase is Phase.FAILED:
        words += f"; attempt {attempts[0].number} ended: {attempts[0].reason}"
    return {"running": running, **flow.workers.model_dump(), "words": words}


def _code(run: StoredRun | None) -> str | None:
    """Return what of a flow serves: the beginning of its code's digest."""
    if run is None or run.code_digest is None:
        return None
    return f"code {run.code_digest[:12]}"


def _external(view: _View, name: str, one: ServedDeployment) -> dict[str, Any]:
    external, endpoint = one.external, view.endpoint
    assert external is not None
    has_key = external.secret is None or (
        secret_version(view.connection, endpoint.team, external.secret) is not None
    )
    routes = routed(endpoint).get(name) == external_id(endpoint.name, name)
    missing = f"team `{endpoint.team}` has no secret `{external.secret}`"
    id_ = external_id(endpoint.name, name)
    health = health_view(
        external,
        team=endpoint.team,
        has_key=has_key,
        trouble=None if view.published is None else view.published.credentials.get(id_),
        health=read_health(view.context.home).get(id_),
    )
    is_ready = has_key and routes and view.is_routed and health["state"] != _ILL
    return {
        "kind": "external",
        "run": None,
        "next": None,
        "phase": "external" if has_key else "no credential",
        "ready": is_ready,
        "message": f"served at {external.url}" if has_key else missing,
        "model": None,
        "code": None,
        "workers": None,
        "form": None,
        "external": external.model_dump(mode="json"),
        "health": health if endpoint.desired == "run" else None,
    }


def _is_ill(deployment: dict[str, Any]) -> bool:
    return deployment["health"] is not None and deployment["health"]["state"] == _ILL


def _shares(endpoint: StoredEndpoint) -> dict[str, float | None]:
    """Return the percent of the requests that each ready deployment gets.

    None: the requests that those before it do not answer (`failover`, `capacity`).
    """
    if endpoint.desired != "run":
        return {}
    ready = tuple(Deployment(id=id_, name=name) for name, id_ in routed(endpoint).items())
    policy = policy_of(endpoint)
    route = EndpointRoute(name=endpoint.name, team=endpoint.team, deployments=ready, policy=policy)
    shares = {each.name: weight for each, weight in route.shares()}
    total = sum(shares.values())
    found: dict[str, float | None] = {
        each.name: _WHOLE * shares.get(each.name, 0) / (total or 1) for each in ready
    }
    return found | dict.fromkeys(later.name for later in route.order()[1:])


def _plans(endpoint: StoredEndpoint, runs: list[StoredRun]) -> dict[str, Any]:
    """Return by deployment the plan of the run that serves it, or is to."""
    newest = {**endpoint.serving, **endpoint.next}
    by_id = {run.id: run for run in runs}
    return {
        name: by_id[run_id].plan.model_dump(mode="json")
        for name, run_id in newest.items()
        if run_id in by_id
    }


def _addresses(context: Context, name: str, protocol: str) -> dict[str, str]:
    """Return where it is called, by the kind of client; the first is the usual one."""
    if protocol == "flow":
        return {"flow": f"{context.address}/flows/{name}"}
    if protocol == "open-inference":
        return {"open-inference": f"{context.address}/v2/models/{name}"}
    return {
        "openai": f"{context.address}/v1",
        "azure-openai": f"{context.address}/openai/deployments/{name}",
    }
