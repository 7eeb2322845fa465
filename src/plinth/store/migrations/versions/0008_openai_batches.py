"""Files and batches of OpenAI's API."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from plinth.store.tables import Utc

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_LONG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Apply it."""
    op.create_table(
        "openai_file",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("team", sa.String(length=24), nullable=False),
        sa.Column("purpose", sa.String(length=20), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("size_bytes", _LONG, nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("created_at", Utc(timezone=True), nullable=False),
        sa.Column("created_by", sa.String(length=12), nullable=False),
        sa.Column("expires_at", Utc(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["team"], ["team.name"], name="fk_openai_file_team"),
        sa.PrimaryKeyConstraint("id", name="pk_openai_file"),
    )
    op.create_index(
        "ix_openai_file_team_created_at_id", "openai_file", ["team", "created_at", "id"]
    )
    op.create_index("ix_openai_file_expires_at", "openai_file", ["expires_at"])
    op.create_table(
        "openai_batch",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("team", sa.String(length=24), nullable=False),
        sa.Column("endpoint", sa.String(length=40), nullable=False),
        sa.Column("model", sa.String(length=40), nullable=True),
        sa.Column("input_file", sa.String(length=40), nullable=False),
        sa.Column("window", sa.String(length=20), nullable=False),
        sa.Column("metadata", sa.JSON(), nullable=True),
        sa.Column("output_expires_s", sa.Integer(), nullable=True),
        sa.Column("status", sa.String(length=12), nullable=False),
        sa.Column("errors", sa.JSON(), nullable=False),
        sa.Column("run", sa.String(length=12), nullable=True),
        sa.Column("output_file", sa.String(length=40), nullable=True),
        sa.Column("error_file", sa.String(length=40), nullable=True),
        sa.Column("times", sa.JSON(), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("completed", sa.Integer(), nullable=False),
        sa.Column("failed", sa.Integer(), nullable=False),
        sa.Column("usage", sa.JSON(), nullable=True),
        sa.Column("created_at", Utc(timezone=True), nullable=False),
        sa.Column("created_by", sa.String(length=12), nullable=False),
        sa.Column("expires_at", Utc(timezone=True), nullable=False),
        sa.Column("due_at", Utc(timezone=True), nullable=True),
        sa.Column("lease_token", sa.String(length=40), nullable=True),
        sa.Column("lease_until", Utc(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["team"], ["team.name"], name="fk_openai_batch_team"),
        sa.PrimaryKeyConstraint("id", name="pk_openai_batch"),
    )
    op.create_index(
        "ix_openai_batch_team_created_at_id", "openai_batch", ["team", "created_at", "id"]
    )
    op.create_index("ix_openai_batch_run", "openai_batch", ["run"])
    op.create_index(
        "ix_openai_batch_due_at",
        "openai_batch",
        ["due_at"],
        sqlite_where=sa.text("due_at IS NOT NULL"),
        postgresql_where=sa.text("due_at IS NOT NULL"),
    )
