"""Workspaces: whose they are, their file, and the run of their present session."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field
from sqlalchemy import Connection, Row, delete, insert, select, update

from plinth.domain.base import STORED, Declared
from plinth.domain.workspace import Workspace
from plinth.kit.errors import NotFound
from plinth.kit.excerpt import excerpt
from plinth.store import tables
from plinth.store.events import delete_events
from plinth.store.leases import by_now, due_now
from plinth.store.runs import StoredRun, run_of

KIND = "workspace"


class Activity(Declared):
    """What was seen of a session last, and what follows from it.

    `busy`: kernels that run a cell; `terminals`: open ones; `connections`: of browsers; `cpu`:
    cores that all its processes used since it was seen before; `memory_bytes`: of all of them;
    `written_bytes`: to disks. `active_at`: when somebody, or something, last worked. `stops_at`:
    when it will stop if nobody does, for `why`; `can_stay`: whether work keeps it open;
    `stay_until`: somebody asked the schedule to wait until then. `ready_s`, `first_cell_s`:
    seconds from the start of the session until the tool answered, and until the first cell had run.
    `attempt`: of the session's run, the one that all this was seen of.
    """

    seen_at: datetime | None = None
    kernels: int = 0
    busy: tuple[str, ...] = ()
    terminals: int = 0
    connections: int = 0
    cpu: float = 0.0
    memory_bytes: int | None = None
    active_at: datetime | None = None
    stops_at: datetime | None = None
    why: str | None = None
    can_stay: bool = True
    written_bytes: int = 0
    stay_until: datetime | None = None
    ready_s: float | None = None
    first_cell_s: float | None = None
    attempt: int = 1


class StoredWorkspace(Declared):
    """A workspace's intent and its present session.

    `desired`: `run`, `stop` (keep the name and the files, run nothing) or `delete`. `run`: of the
    newest session. `owner`: a principal's id.
    """

    name: str
    team: str
    owner: str
    workload: Workspace
    desired: str = "run"
    run: str | None = None
    activity: Activity = Field(default_factory=Activity)
    reason: str = "Accepted"
    message: str = "accepted"
    created_at: datetime
    created_by: str
    updated_at: datetime


def add_workspace(connection: Connection, workspace: StoredWorkspace) -> None:
    """Add a workspace; it is due at once."""
    values = workspace.model_dump(exclude={"workload", "activity"})
    connection.execute(
        insert(tables.workspace).values(
            **values,
            workload=file_json(workspace.workload),
            activity=workspace.activity.model_dump(mode="json"),
            due_at=by_now(connection, workspace.created_at),
        )
    )


def find_workspace(connection: Connection, name: str) -> StoredWorkspace | None:
    """Return the workspace, or None."""
    table = tables.workspace
    row = connection.execute(select(table).where(table.c.name == name)).one_or_none()
    return _workspace(row) if row else None


def get_workspace(connection: Connection, name: str) -> StoredWorkspace:
    """Return the workspace. Raises NotFound."""
    found = find_workspace(connection, name)
    if found is None:
        raise no_workspace(name)
    return found


def no_workspace(name: str) -> NotFound:
    """Return what is said where there is none, or none that the caller may see."""
    return NotFound(
        f"there is no workspace `{excerpt(name)}`", hint="`plinth workspace list` shows them"
    )


def list_workspaces(connection: Connection) -> list[StoredWorkspace]:
    """Return all workspaces by name."""
    table = tables.workspace
    return [_workspace(row) for row in connection.execute(select(table).order_by(table.c.name))]


def want_workspace(
    connection: Connection, name: str, *, desired: str, now: datetime, **columns: Any
) -> None:
    """Change the intent; `columns`: what is new of `workload`, `run`, `activity`."""
    table = tables.workspace
    connection.execute(
        update(table)
        .where(table.c.name == name)
        .values(desired=desired, updated_at=now, due_at=due_now(connection, table, now), **columns)
    )


def list_sessions(
    connection: Connection, team: str, name: str, *, limit: int = 20
) -> list[StoredRun]:
    """Return the newest runs of a team's workspace, newest first."""
    table = tables.run
    query = (
        select(table)
        .where(
            table.c.kind == KIND,
            table.c.team == team,
            table.c.name == name,
            table.c.deleted_at.is_(None),
        )
        .order_by(table.c.created_at.desc(), table.c.id)
        .limit(limit)
    )
    return [run_of(row) for row in connection.execute(query)]


def delete_workspace(connection: Connection, name: str) -> None:
    """Delete the row and its events; its runs were deleted before."""
    connection.execute(delete(tables.workspace).where(tables.workspace.c.name == name))
    delete_events(connection, f"workspace/{name}")


def file_json(workload: Workspace) -> dict[str, Any]:
    """Return a file as its column keeps it: what was left out stays left out."""
    return workload.model_dump(mode="json", exclude_unset=True)


def _workspace(row: Row[Any]) -> StoredWorkspace:
    fields = {name: row._mapping[name] for name in StoredWorkspace.model_fields}
    return StoredWorkspace.model_validate(fields, context=STORED)
