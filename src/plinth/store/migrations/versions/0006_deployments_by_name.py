"""Endpoints keep their file, and have several deployments by name."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from plinth.store.tables import Utc

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

# What the only deployment of an endpoint is called.
_MAIN = "main"
_KEPT = ("name", "team", "desired", "reason", "message", "created_at", "created_by", "updated_at")
_LEASE = ("due_at", "lease_token", "lease_until")


def upgrade() -> None:
    """Apply it."""
    op.add_column("run", sa.Column("deployment", sa.String(length=40), nullable=True))
    rows = [] if _is_offline() else _rows(op.get_bind())
    # Nothing refers to it, and SQLite cannot take a foreign key off a column.
    op.drop_index("ix_endpoint_team", table_name="endpoint")
    op.drop_table("endpoint")
    made = op.create_table(
        "endpoint",
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("team", sa.String(length=24), nullable=False),
        sa.Column("desired", sa.String(length=8), nullable=False),
        sa.Column("workload", sa.JSON(), nullable=False),
        sa.Column("before", sa.JSON(), nullable=True),
        sa.Column("serving", sa.JSON(), nullable=False),
        sa.Column("next", sa.JSON(), nullable=False),
        sa.Column("reason", sa.String(length=40), nullable=False),
        sa.Column("message", sa.String(length=2000), nullable=False),
        sa.Column("created_at", Utc(timezone=True), nullable=False),
        sa.Column("created_by", sa.String(length=12), nullable=False),
        sa.Column("updated_at", Utc(timezone=True), nullable=False),
        sa.Column("due_at", Utc(timezone=True), nullable=True),
        sa.Column("lease_token", sa.String(length=40), nullable=True),
        sa.Column("lease_until", Utc(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["team"], ["team.name"], name="fk_endpoint_team"),
        sa.PrimaryKeyConstraint("name", name="pk_endpoint"),
    )
    op.create_index("ix_endpoint_team", "endpoint", ["team"])
    if rows:
        op.bulk_insert(made, rows)


def _is_offline() -> bool:
    """Tell whether statements are only written down, so that no row can be read."""
    return bool(op.get_context().as_sql)


def _rows(connection: sa.Connection) -> list[dict[str, Any]]:
    metadata = sa.MetaData()
    times = {"created_at", "updated_at", "due_at", "lease_until"}
    names = (*_KEPT, *_LEASE, "serving", "next")
    endpoint = sa.Table(
        "endpoint",
        metadata,
        *(sa.Column(name, Utc(timezone=True) if name in times else sa.String) for name in names),
    )
    found = []
    for row in connection.execute(sa.select(endpoint)).mappings().all():
        workload = _file(connection, metadata, row)
        # A name without any run stood for nothing: its runs had been deleted with it.
        if workload is not None:
            kept = {name: row[name] for name in (*_KEPT, *_LEASE)}
            runs = {each: {_MAIN: row[each]} if row[each] else {} for each in ("serving", "next")}
            found.append({**kept, **runs, "workload": workload, "before": None})
    return found


def _file(
    connection: sa.Connection, metadata: sa.MetaData, row: sa.RowMapping
) -> dict[str, Any] | None:
    """Return what was applied last: the workload of the run that is to serve, or of the newest."""
    run = metadata.tables.get("run")
    if run is None:
        run = sa.Table(
            "run",
            metadata,
            *(sa.Column(name, sa.String) for name in ("id", "team", "kind", "name")),
            sa.Column("created_at", Utc(timezone=True)),
            sa.Column("workload", sa.JSON),
        )
    query = sa.select(run.c.workload).order_by(run.c.created_at.desc()).limit(1)
    if row["next"] or row["serving"]:
        query = query.where(run.c.id == (row["next"] or row["serving"]))
    else:
        query = query.where(
            run.c.kind == "endpoint", run.c.team == row["team"], run.c.name == row["name"]
        )
    found: dict[str, Any] | None = connection.execute(query).scalar()
    return found
