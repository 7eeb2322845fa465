"""Which runs served a model version, and which read a data version; deleted ones too."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import ColumnElement, Connection, String, cast, select

from plinth.domain.model import DataVersion, ModelVersion
from plinth.domain.model_conversion import ModelConversion
from plinth.store import tables
from plinth.store.runs import StoredRun, run_of

# There is one for each converter, and those that were deleted.
_CONVERSIONS = 20


def list_deployments_of(
    connection: Connection, model: ModelVersion, *, limit: int = 100
) -> list[StoredRun]:
    """Return the newest `limit` deployments of a model version, newest first.

    A version that was deleted in the registry and registered anew is another artifact: none of it.
    """
    return _newest(connection, "endpoint", model.team, limit, *_is_model(model))


def list_readers_of(
    connection: Connection, data: DataVersion, *, limit: int = 100
) -> list[StoredRun]:
    """Return the newest `limit` jobs and batches that read a data version, newest first."""
    runs = [
        run
        for kind in ("job", "batch")
        for run in _newest(connection, kind, data.team, limit, _names_digest("data", data))
    ]
    runs.sort(key=lambda run: run.created_at, reverse=True)
    return [run for run in runs if _has(run.data, data)]


def list_batches_of(
    connection: Connection, model: ModelVersion, *, limit: int = 100
) -> list[StoredRun]:
    """Return the newest `limit` batches that a model version answered, newest first."""
    return _newest(connection, "batch", model.team, limit, *_is_model(model))


def find_conversion(
    connection: Connection, model: ModelVersion, converter: str
) -> StoredRun | None:
    """Return the newest run that looks, or looked, for a version's ONNX form; no deleted one."""
    found = _newest(connection, "conversion", model.team, _CONVERSIONS, *_is_model(model))
    kept = (run for run in found if run.deleted_at is None)
    return next((run for run in kept if _converter_of(run) == converter), None)


def find_maker_of(connection: Connection, data: DataVersion) -> StoredRun | None:
    """Return the batch whose output a data version is, also one that was deleted; else None."""
    table = tables.run
    of_team = (table.c.team == data.team, table.c.kind == "batch")
    query = select(table).where(*of_team, table.c.principal == data.created_by)
    row = connection.execute(query).one_or_none()
    return run_of(row) if row is not None else None


def list_deployments_from(
    connection: Connection, data: DataVersion, *, limit: int = 100
) -> list[StoredRun]:
    """Return the newest `limit` deployments of models that came from a data version."""
    runs = _newest(connection, "endpoint", data.team, limit, _names_digest("lineage", data))
    return [run for run in runs if run.lineage is not None and _has(run.lineage.data, data)]


def _converter_of(run: StoredRun) -> str | None:
    return run.workload.converter if isinstance(run.workload, ModelConversion) else None


def _is_model(model: ModelVersion) -> tuple[ColumnElement[bool], ...]:
    table = tables.run
    return (
        table.c.model["name"].as_string() == model.name,
        table.c.model["version"].as_integer() == model.version,
        table.c.model["artifact_uri"].as_string() == model.artifact_uri,
    )


def _has(versions: Mapping[str, DataVersion], data: DataVersion) -> bool:
    # The same bytes may be a version of another dataset too.
    return any((each.name, each.version) == (data.name, data.version) for each in versions.values())


def _names_digest(column: str, data: DataVersion) -> ColumnElement[bool]:
    # A digest is as good as a name: nothing else in the document has these 64 characters.
    return cast(tables.run.c[column], String).contains(data.digest, autoescape=True)


def _newest(
    connection: Connection, kind: str, team: str, limit: int, *which: ColumnElement[bool]
) -> list[StoredRun]:
    table = tables.run
    query = (
        select(table)
        .where(table.c.team == team, table.c.kind == kind, *which)
        .order_by(table.c.created_at.desc(), table.c.id)
        .limit(limit)
    )
    return [run_of(row) for row in connection.execute(query)]
