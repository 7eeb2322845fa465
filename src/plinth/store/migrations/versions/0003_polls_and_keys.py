"""Index what is polled, so that polls do not grow with history; servers get no key."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply it."""
    op.drop_index("ix_run_due_at", "run")
    op.create_index(
        "ix_run_due_at",
        "run",
        ["due_at"],
        sqlite_where=sa.text("due_at IS NOT NULL"),
        postgresql_where=sa.text("due_at IS NOT NULL"),
    )
    # Its first column is the team, so it serves what the index on the team alone did.
    op.drop_index("ix_run_team", "run")
    op.create_index("ix_run_team_kind_name_phase", "run", ["team", "kind", "name", "phase"])
    # SQLite copies the table for this, so the table's new index comes after it.
    with op.batch_alter_table("attempt", schema=None) as batch_op:
        batch_op.alter_column("key", existing_type=sa.String(length=12), nullable=True)
    op.create_index(
        "ix_attempt_unmetered",
        "attempt",
        ["run", "replica", "number"],
        sqlite_where=sa.text("metered IS 0 AND started_at IS NOT NULL"),
        postgresql_where=sa.text("metered IS false AND started_at IS NOT NULL"),
    )
