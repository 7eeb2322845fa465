"""Make the rows of a restored store true for the home that they are now in.

Called once by restore, on a store that no control plane has opened yet. What ran when the backup
was made does not run here: its attempts end, and the reconcilers go on from there by their rules.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Connection, Table, bindparam, delete, func, select, update

from plinth.domain.run import ACTIVE, FINAL, Phase
from plinth.domain.workload import SERVED_KINDS
from plinth.store import tables
from plinth.store.events import Event, add_event
from plinth.store.tables import metadata

REASON = "Restored"
_LEASED = (tables.run, tables.endpoint, tables.openai_batch, tables.workspace)
# What names a file of the home by its address.
_ADDRESSES = (tables.data_version.c.uri,)


def end_attempts(connection: Connection, made_at: datetime, now: datetime) -> list[str]:
    """End what ran when the backup was made; return the ids of the runs it belongs to.

    An attempt ends when it was last seen: the time since is nobody's usage. One that had not
    begun is begun here under the same number. Every active run is due at once.
    """
    run, attempt = tables.run, tables.attempt
    ran = attempt.c.phase.not_in(FINAL) & attempt.c.started_at.is_not(None)
    query = select(attempt.c.run).where(ran).distinct().order_by(attempt.c.run)
    runs = [str(each) for each in connection.execute(query).scalars()]
    connection.execute(
        update(attempt)
        .where(ran)
        .values(
            phase=Phase.FAILED.value,
            ended_at=func.coalesce(attempt.c.seen_at, attempt.c.started_at),
            reason=f"it ran when the backup of {made_at:%Y-%m-%d %H:%M:%S} UTC was made, and this "
            "node knows nothing of it",
        )
    )
    connection.execute(update(run).where(run.c.phase.in_(ACTIVE)).values(due_at=now))
    for run_id, phase in connection.execute(
        select(run.c.id, run.c.phase).where(run.c.id.in_(runs)).order_by(run.c.id)
    ).all():
        message = f"restored from the backup of {made_at:%Y-%m-%d %H:%M:%S} UTC"
        add_event(
            connection,
            f"run/{run_id}",
            Event(at=now, phase=phase, reason=REASON, message=message),
        )
    _begin_deployments_anew(connection, runs)
    return runs


def free_leases(connection: Connection, now: datetime) -> None:
    """Take back what a control plane of the old home had claimed."""
    for table in _LEASED:
        connection.execute(
            update(table)
            .where(table.c.lease_token.is_not(None))
            .values(lease_token=None, lease_until=None, due_at=now)
        )
    connection.execute(delete(tables.duty))


def move_addresses(connection: Connection, moves: Mapping[str, str]) -> int:
    """Replace the beginning of every file's address (old -> new); return how many rows changed.

    Looks into whole columns and into JSON; the audit log is history and stays as it is.
    """
    changed = sum(
        _move_column(connection, column.table, column.name, moves) for column in _ADDRESSES
    )
    for table in metadata.sorted_tables:
        if table is tables.audit:
            continue
        for column in table.columns:
            if isinstance(column.type, JSON):
                changed += _move_column(connection, table, column.name, moves)
    return changed


def _begin_deployments_anew(connection: Connection, runs: list[str]) -> None:
    """Give a deployment that was starting its whole time to become ready, from now."""
    run = tables.run
    connection.execute(
        update(run)
        .where(
            run.c.id.in_(runs), run.c.kind.in_(SERVED_KINDS), run.c.phase == Phase.STARTING.value
        )
        .values(phase=Phase.PENDING.value, started_at=None)
    )


def _move_column(connection: Connection, table: Table, name: str, moves: Mapping[str, str]) -> int:
    column, identity = table.c[name], list(table.primary_key.columns)
    moved = []
    for row in connection.execute(select(*identity, column.label("value"))):
        value = _moved(row.value, moves)
        if value != row.value:
            keys = {f"key_{each.name}": row._mapping[each.name] for each in identity}
            moved.append({**keys, "value": value})
    if moved:
        mine = [each == bindparam(f"key_{each.name}") for each in identity]
        connection.execute(
            update(table).where(*mine).values({name: bindparam("value", type_=column.type)}), moved
        )
    return len(moved)


def _moved(value: Any, moves: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        for old, new in moves.items():
            if value.startswith(old):
                return new + value.removeprefix(old)
        return value
    if isinstance(value, dict):
        return {key: _moved(each, moves) for key, each in value.items()}
    if isinstance(value, list):
        return [_moved(each, moves) for each in value]
    return value
