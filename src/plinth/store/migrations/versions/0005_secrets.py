"""Keep secrets, for what each was taken, and which master keys have gone."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from plinth.store.tables import Utc

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply it."""
    op.create_table(
        "secret",
        sa.Column("team", sa.String(length=24), nullable=False),
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("master_key", sa.String(length=80), nullable=True),
        sa.Column("wrapped_key", sa.LargeBinary(), nullable=True),
        sa.Column("nonce", sa.LargeBinary(), nullable=True),
        sa.Column("ciphertext", sa.LargeBinary(), nullable=True),
        sa.Column("set_at", Utc(timezone=True), nullable=False),
        sa.Column("set_by", sa.String(length=12), nullable=False),
        sa.Column("deleted_at", Utc(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["team"], ["team.name"], name="fk_secret_team_team"),
        sa.PrimaryKeyConstraint("team", "name", name="pk_secret"),
    )
    op.create_table(
        "secret_use",
        sa.Column("team", sa.String(length=24), nullable=False),
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("purpose", sa.String(length=80), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("at", Utc(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["team", "name"], ["secret.team", "secret.name"], name="fk_secret_use_team_name"
        ),
        sa.PrimaryKeyConstraint("team", "name", "purpose", name="pk_secret_use"),
    )
    op.create_table(
        "retired_master_key",
        sa.Column("id", sa.String(length=80), nullable=False),
        sa.Column("at", Utc(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_retired_master_key"),
    )
