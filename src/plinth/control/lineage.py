"""What a model version came from and where it serves; what was made of a data version.

`find_lineage` is asked when an endpoint is applied: what it says is kept with the deployment, so
that a trace depends on nothing that somebody may delete later.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import TypeVar

from sqlalchemy import Connection

from plinth.control import tags
from plinth.control.context import Context
from plinth.domain.access import Resource
from plinth.domain.base import Declared
from plinth.domain.model import DataVersion, Lineage, ModelVersion
from plinth.domain.run import Phase
from plinth.domain.workload import Job, granted_as
from plinth.domain.workload_fields import ModelName
from plinth.kit.errors import NotFound
from plinth.store.data_versions import find_data_version
from plinth.store.endpoints import find_endpoint
from plinth.store.identities import find_principal
from plinth.store.lineage import (
    find_maker_of,
    list_batches_of,
    list_deployments_from,
    list_deployments_of,
    list_readers_of,
)
from plinth.store.runs import StoredRun, find_kept_run
from plinth.tracking.mlflow import TrackedRun

T = TypeVar("T")

# A deployment's row is read often: what a job logs without bounds is kept within some.
MOST_VALUES = 200
LONGEST_VALUE = 500


class Person(Declared):
    """Who did something: the principal's id, and its name and team where they are known."""

    id: str
    name: str | None = None
    team: str | None = None


class Served(Declared):
    """A deployment of a model version. `until` None: it has not ended."""

    endpoint: str
    team: str
    run: str
    model: str
    version: int
    reference: str | None
    deployed_by: Person
    since: datetime
    until: datetime | None
    serves: bool


class Reader(Declared):
    """A job or a batch that read a data version, or a batch that a model version answered."""

    run: str
    name: str
    kind: str = "job"
    phase: Phase
    created_by: Person
    created_at: datetime
    deleted_at: datetime | None


class Maker(Declared):
    """The batch whose output a data version is, with the model and the data that it read."""

    run: str
    name: str
    model: str
    version: int
    data: dict[str, str]
    created_by: Person
    created_at: datetime


class ModelLineage(Declared):
    """A model version both ways: what it came from, its deployments and batches, newest first."""

    model: ModelVersion
    came_from: Lineage
    run_by: Person | None
    deployments: tuple[Served, ...]
    batches: tuple[Reader, ...] = ()


class DataLineage(Declared):
    """A data version both ways: the batch that made it, if one did; and what was made of it.

    That is jobs and batches, the models they logged, and their deployments.
    """

    data: DataVersion
    made_by: Maker | None = None
    runs: tuple[Reader, ...]
    models: tuple[ModelVersion, ...]
    deployments: tuple[Served, ...]


def person(connection: Connection, principal_id: str) -> Person:
    """Return who a principal is; one that is not known has its id only."""
    found = find_principal(connection, principal_id)
    if found is None:
        return Person(id=principal_id)
    return Person(id=found.id, name=found.name, team=found.team)


def find_lineage(context: Context, reference: str, model: ModelVersion) -> Lineage:
    """Return what a model version came from, as far as anybody knows now.

    Asks MLflow, so never within a transaction; raises Temporary when it does not answer. A model
    that was registered by hand has less, and that is no error.
    """
    tracked = _tracked(context, model)
    if tracked is None:
        return Lineage(reference=reference, tracking_run=model.tracking_run_id)
    with context.database.read() as connection:
        origin = _of_job(connection, model.team, tracked) or _of_tags(connection, model, tracked)
    return origin.model_copy(
        update={
            "reference": reference,
            "tracking_run": model.tracking_run_id,
            "parameters": {
                name[:LONGEST_VALUE]: value[:LONGEST_VALUE]
                for name, value in _first(tracked.parameters)
            },
            "metrics": {name[:LONGEST_VALUE]: value for name, value in _first(tracked.metrics)},
        }
    )


def _tracked(context: Context, model: ModelVersion) -> TrackedRun | None:
    if model.tracking_run_id is None:
        return None
    try:
        return context.tracking.describe_run(model.team, model.tracking_run_id)
    except NotFound:
        return None


def _of_job(connection: Connection, team: str, tracked: TrackedRun) -> Lineage | None:
    """Return what our own row says of the job; None when there is none of that team."""
    run_id = tags.run_in(tracked.tags)
    run = find_kept_run(connection, run_id) if run_id is not None else None
    # A tag is the team's to write, and opens nothing of another team.
    if run is None or run.team != team or not isinstance(run.workload, Job):
        return None
    return Lineage(
        reference="",
        run=run.id,
        run_by=run.created_by,
        code_digest=run.code_digest,
        code=run.code,
        data=run.data,
    )


def _of_tags(connection: Connection, model: ModelVersion, tracked: TrackedRun) -> Lineage:
    """Return what the MLflow run itself says, where no row of ours is left."""
    run_id = tags.run_in(tracked.tags)
    if run_id is not None and find_kept_run(connection, run_id) is not None:
        return Lineage(reference="", code=tags.code_in(tracked.tags))
    data = {}
    for name, (dataset, number, digest) in tags.data_in(tracked.tags).items():
        version = find_data_version(connection, model.team, dataset, number)
        if version is not None and version.digest == digest:
            data[name] = version
    return Lineage(
        reference="",
        run=run_id,
        run_by=_said_by(connection, model.team, tracked) if run_id is not None else None,
        code_digest=tags.code_digest_in(tracked.tags),
        code=tags.code_in(tracked.tags),
        data=data,
    )


def _said_by(connection: Connection, team: str, tracked: TrackedRun) -> str | None:
    """Return who a tag says submitted the job: it may name anybody, and counts for its team."""
    named = tags.principal_in(tracked.tags)
    found = find_principal(connection, named) if named is not None else None
    return found.id if found is not None and found.team == team else None


def _first(values: Mapping[str, T]) -> Iterable[tuple[str, T]]:
    return sorted(values.items())[:MOST_VALUES]


def lineage_of_model(
    context: Context, team: str, name: ModelName, sees: Callable[[Resource], bool]
) -> ModelLineage:
    """Return a model version both ways; of its deployments those that `sees` lets through.

    Raises NotFound for what the registry does not have.
    """
    model = context.tracking.resolve_model(team, name)
    which = f"@{name.alias}" if name.alias else f"/{name.version}"
    came_from = find_lineage(context, f"models:/{name.name}{which}", model)
    with context.database.read() as connection:
        deployments = list_deployments_of(connection, model)
        return ModelLineage(
            model=model,
            came_from=came_from,
            run_by=person(connection, came_from.run_by) if came_from.run_by else None,
            deployments=_served_to(connection, deployments, sees),
            batches=tuple(
                _reader(connection, run)
                for run in list_batches_of(connection, model)
                if sees(resource_of(run))
            ),
        )


def lineage_of_data(
    context: Context, data: DataVersion, sees: Callable[[Resource], bool]
) -> DataLineage:
    """Return what was made of a data version; of all of it what `sees` lets through."""
    registered = context.tracking.list_models(data.team)
    with context.database.read() as connection:
        readers = list_readers_of(connection, data)
        deployments = list_deployments_from(connection, data)
        logged = {run.tracking_run for run in readers if run.tracking_run is not None}
        deployed = {(run.model.name, run.model.version) for run in deployments if run.model}
        maker = find_maker_of(connection, data)
        return DataLineage(
            data=data,
            made_by=_maker(connection, maker) if maker and sees(resource_of(maker)) else None,
            runs=tuple(_reader(connection, run) for run in readers if sees(resource_of(run))),
            models=tuple(
                model
                for model in registered
                if (model.tracking_run_id in logged or (model.name, model.version) in deployed)
                and sees(Resource(kind="model", team=model.team, name=model.name))
            ),
            deployments=_served_to(connection, deployments, sees),
        )


def resource_of(run: StoredRun) -> Resource:
    """Return what a run is to who asks for it: its job or endpoint; a flow is an endpoint too."""
    kind = granted_as(run.workload.kind)
    return Resource(kind=kind, team=run.team, name=run.workload.name)


def _served_to(
    connection: Connection, deployments: Iterable[StoredRun], sees: Callable[[Resource], bool]
) -> tuple[Served, ...]:
    return tuple(_served(connection, run) for run in deployments if sees(resource_of(run)))


def _served(connection: Connection, run: StoredRun) -> Served:
    assert run.model is not None  # It was found by its model.
    endpoint = find_endpoint(connection, run.workload.name)
    return Served(
        endpoint=run.workload.name,
        team=run.team,
        run=run.id,
        model=run.model.name,
        version=run.model.version,
        reference=run.lineage.reference if run.lineage else None,
        deployed_by=person(connection, run.created_by),
        since=run.created_at,
        until=run.ended_at,
        serves=endpoint is not None and run.id in endpoint.serving.values(),
    )


def _maker(connection: Connection, run: StoredRun) -> Maker:
    assert run.model is not None  # A batch has one.
    return Maker(
        run=run.id,
        name=run.workload.name,
        model=run.model.name,
        version=run.model.version,
        data={name: f"{each.name}@{each.version}" for name, each in run.data.items()},
        created_by=person(connection, run.created_by),
        created_at=run.created_at,
    )


def _reader(connection: Connection, run: StoredRun) -> Reader:
    return Reader(
        run=run.id,
        name=run.workload.name,
        kind=run.workload.kind,
        phase=run.phase,
        created_by=person(connection, run.created_by),
        created_at=run.created_at,
        deleted_at=run.deleted_at,
    )
