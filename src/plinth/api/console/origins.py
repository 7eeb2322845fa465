"""Where a run comes from and what it made: the tree on the pages of runs and endpoints.

All but the models that a job logged stands in our own rows; those are asked of MLflow, once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from plinth.api import runs
from plinth.api.console.visitor import Visitor
from plinth.control.lineage import resource_of
from plinth.domain.access import Action, Resource
from plinth.domain.model import DataVersion, ModelVersion
from plinth.kit.errors import NotFound, PlinthError, Temporary
from plinth.store.lineage import find_maker_of
from plinth.store.runs import StoredRun, find_kept_run

# Each is a search by itself.
_MOST_DATA = 20


@dataclass(frozen=True, slots=True)
class Origin:
    """One run with what it came from and made, as far as the visitor may know.

    `run`: as the API shows it. `deployment`: what its endpoint calls it. `linked`: the runs that
    the visitor has a page of. `makers`: of data versions, the batch's run whose output they are.
    `models`: the versions that a job logged; None where MLflow does not say now. `output`: the data
    version that a batch made.
    """

    run: Mapping[str, Any]
    linked: frozenset[str]
    makers: Mapping[str, str]
    deployment: str | None = None
    models: tuple[ModelVersion, ...] | None = ()
    output: str | None = None

    def __bool__(self) -> bool:
        """Tell whether anything is known."""
        run = self.run
        came_from = run["model"] or run["data"] or run["code"] or run["code_digest"]
        return bool(came_from or self.models or self.models is None or self.output)


def origin_of_run(
    visitor: Visitor, shown: Mapping[str, Any], *, output: str | None = None
) -> Origin:
    """Return where a run comes from, and what it made. `shown`: the run as the API shows it."""
    return Origin(shown, *_around(visitor, shown), models=_models(visitor, shown), output=output)


def origins_of_endpoint(visitor: Visitor, shown: Mapping[str, Any]) -> list[Origin]:
    """Return where each deployment of our own comes from. `shown`: the endpoint as shown."""
    found = []
    for name, deployment in shown["deployments"].items():
        run_id = deployment["run"] or deployment["next"]
        if run_id is not None:
            run = runs.get(run_id, visitor.context, visitor.caller)
            found.append(Origin(run, *_around(visitor, run), deployment=name))
    return found


def _around(visitor: Visitor, shown: Mapping[str, Any]) -> tuple[frozenset[str], Mapping[str, str]]:
    """Return which runs near this one have a page, and which of them made the data it names."""
    with visitor.context.database.read() as connection:
        run = find_kept_run(connection, shown["id"])
        if run is None:
            return frozenset(), {}
        makers = _makers(visitor, connection, _data_of(run))
        trained_by = run.lineage.run if run.lineage is not None else None
        job = find_kept_run(connection, trained_by) if trained_by is not None else None
    near = [*makers.values(), *([job] if job is not None else [])]
    linked = frozenset(each.id for each in near if _has_page(visitor, each))
    return linked, {name: maker.id for name, maker in makers.items() if maker.id in linked}


def _data_of(run: StoredRun) -> list[DataVersion]:
    came_from = run.lineage.data if run.lineage is not None else {}
    return [*run.data.values(), *came_from.values()]


def _makers(
    visitor: Visitor, connection: Connection, versions: Iterable[DataVersion]
) -> dict[str, StoredRun]:
    named = {f"{each.name}@{each.version}": each for each in versions if _sees(visitor, each)}
    found = ((name, find_maker_of(connection, named[name])) for name in list(named)[:_MOST_DATA])
    return {name: maker for name, maker in found if maker is not None}


def _sees(visitor: Visitor, data: DataVersion) -> bool:
    return visitor.caller.may(Action.READ, Resource(kind="data", team=data.team, name=data.name))


def _has_page(visitor: Visitor, run: StoredRun) -> bool:
    return run.deleted_at is None and visitor.caller.may(Action.READ, resource_of(run))


def _models(visitor: Visitor, shown: Mapping[str, Any]) -> tuple[ModelVersion, ...] | None:
    team, tracking_run = shown["team"], shown["tracking_run"]
    if shown["kind"] != "job" or tracking_run is None:
        return ()
    try:
        found = visitor.context.tracking.models_of_run(team, tracking_run)
    except (NotFound, Temporary):
        return None
    except PlinthError:
        return ()
    return tuple(
        each
        for each in found
        if visitor.caller.may(Action.READ, Resource(kind="model", team=team, name=each.name))
    )
