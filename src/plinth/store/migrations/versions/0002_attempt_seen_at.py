"""Remember when an attempt was last seen."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

import plinth.store.tables

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply it."""
    with op.batch_alter_table("attempt", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column("seen_at", plinth.store.tables.Utc(timezone=True), nullable=True)
        )
