"""Workspaces; and a link signs a browser in to one page."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from plinth.store.tables import Utc

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply it."""
    # Every link that was made until now led to MLflow's pages.
    page = sa.Column("page", sa.String(length=63), nullable=False, server_default="mlflow")
    op.add_column("sign_in", page)
    op.create_table(
        "workspace",
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("team", sa.String(length=24), nullable=False),
        sa.Column("owner", sa.String(length=12), nullable=False),
        sa.Column("desired", sa.String(length=8), nullable=False),
        sa.Column("workload", sa.JSON(), nullable=False),
        sa.Column("run", sa.String(length=12), nullable=True),
        sa.Column("activity", sa.JSON(), nullable=False),
        sa.Column("reason", sa.String(length=40), nullable=False),
        sa.Column("message", sa.String(length=2000), nullable=False),
        sa.Column("created_at", Utc(timezone=True), nullable=False),
        sa.Column("created_by", sa.String(length=12), nullable=False),
        sa.Column("updated_at", Utc(timezone=True), nullable=False),
        sa.Column("due_at", Utc(timezone=True), nullable=True),
        sa.Column("lease_token", sa.String(length=40), nullable=True),
        sa.Column("lease_until", Utc(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["team"], ["team.name"], name="fk_workspace_team"),
        sa.ForeignKeyConstraint(["owner"], ["principal.id"], name="fk_workspace_owner"),
        sa.PrimaryKeyConstraint("name", name="pk_workspace"),
    )
    op.create_index("ix_workspace_team", "workspace", ["team"])
