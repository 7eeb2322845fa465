"""First tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

import plinth.store.tables

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply it."""
    op.create_table(
        "event",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("subject", sa.String(length=60), nullable=False),
        sa.Column("at", plinth.store.tables.Utc(timezone=True), nullable=False),
        sa.Column("phase", sa.String(length=10), nullable=False),
        sa.Column("reason", sa.String(length=40), nullable=False),
        sa.Column("message", sa.String(length=2000), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_event")),
    )
    with op.batch_alter_table("event", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_event_subject"), ["subject"], unique=False)

    op.create_table(
        "team",
        sa.Column("name", sa.String(length=24), nullable=False),
        sa.Column("created_at", plinth.store.tables.Utc(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_team")),
    )
    op.create_table(
        "data_version",
        sa.Column("team", sa.String(length=24), nullable=False),
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("uri", sa.String(length=1000), nullable=False),
        sa.Column("file_name", sa.String(length=200), nullable=False),
        sa.Column("size_bytes", sa.Integer(), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("columns", sa.JSON(), nullable=False),
        sa.Column("created_by", sa.String(length=12), nullable=False),
        sa.Column("created_at", plinth.store.tables.Utc(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["team"], ["team.name"], name=op.f("fk_data_version_team")),
        sa.PrimaryKeyConstraint("team", "name", "version", name=op.f("pk_data_version")),
        sa.UniqueConstraint(
            "team", "name", "digest", name=op.f("uq_data_version_team_name_digest")
        ),
    )
    op.create_table(
        "principal",
        sa.Column("id", sa.String(length=12), nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("team", sa.String(length=24), nullable=False),
        sa.Column("created_at", plinth.store.tables.Utc(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["team"], ["team.name"], name=op.f("fk_principal_team")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_principal")),
    )
    op.create_table(
        "grant",
        sa.Column("id", sa.String(length=12), nullable=False),
        sa.Column("role", sa.String(length=12), nullable=False),
        sa.Column("principal", sa.String(length=12), nullable=True),
        sa.Column("subject_team", sa.String(length=24), nullable=True),
        sa.Column("team", sa.String(length=24), nullable=True),
        sa.Column("resource", sa.String(length=60), nullable=True),
        sa.Column("created_at", plinth.store.tables.Utc(timezone=True), nullable=False),
        sa.Column("created_by", sa.String(length=12), nullable=False),
        sa.ForeignKeyConstraint(["principal"], ["principal.id"], name=op.f("fk_grant_principal")),
        sa.ForeignKeyConstraint(
            ["subject_team"], ["team.name"], name=op.f("fk_grant_subject_team")
        ),
        sa.ForeignKeyConstraint(["team"], ["team.name"], name=op.f("fk_grant_team")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_grant")),
    )
    with op.batch_alter_table("grant", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_grant_principal"), ["principal"], unique=False)
        batch_op.create_index(batch_op.f("ix_grant_subject_team"), ["subject_team"], unique=False)

    op.create_table(
        "key",
        sa.Column("id", sa.String(length=12), nullable=False),
        sa.Column("principal", sa.String(length=12), nullable=False),
        sa.Column("label", sa.String(length=80), nullable=False),
        sa.Column("created_at", plinth.store.tables.Utc(timezone=True), nullable=False),
        sa.Column("expires_at", plinth.store.tables.Utc(timezone=True), nullable=False),
        sa.Column("revoked_at", plinth.store.tables.Utc(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["principal"], ["principal.id"], name=op.f("fk_key_principal")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_key")),
    )
    with op.batch_alter_table("key", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_key_principal"), ["principal"], unique=False)
        batch_op.create_index(batch_op.f("ix_key_revoked_at"), ["revoked_at"], unique=False)

    op.create_table(
        "run",
        sa.Column("id", sa.String(length=12), nullable=False),
        sa.Column("team", sa.String(length=24), nullable=False),
        sa.Column("kind", sa.String(length=12), nullable=False),
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("workload", sa.JSON(), nullable=False),
        sa.Column("code_digest", sa.String(length=64), nullable=True),
        sa.Column("model", sa.JSON(), nullable=True),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.Column("plan", sa.JSON(), nullable=False),
        sa.Column("principal", sa.String(length=12), nullable=False),
        sa.Column("created_by", sa.String(length=12), nullable=False),
        sa.Column("created_at", plinth.store.tables.Utc(timezone=True), nullable=False),
        sa.Column("desired", sa.String(length=8), nullable=False),
        sa.Column("phase", sa.String(length=10), nullable=False),
        sa.Column("reason", sa.String(length=40), nullable=False),
        sa.Column("message", sa.String(length=2000), nullable=False),
        sa.Column("tracking_run", sa.String(length=40), nullable=True),
        sa.Column("started_at", plinth.store.tables.Utc(timezone=True), nullable=True),
        sa.Column("ended_at", plinth.store.tables.Utc(timezone=True), nullable=True),
        sa.Column("exit_code", sa.Integer(), nullable=True),
        sa.Column("closed", sa.Boolean(), nullable=False),
        sa.Column("due_at", plinth.store.tables.Utc(timezone=True), nullable=True),
        sa.Column("lease_token", sa.String(length=40), nullable=True),
        sa.Column("lease_until", plinth.store.tables.Utc(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["principal"], ["principal.id"], name=op.f("fk_run_principal")),
        sa.ForeignKeyConstraint(["team"], ["team.name"], name=op.f("fk_run_team")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_run")),
    )
    with op.batch_alter_table("run", schema=None) as batch_op:
        batch_op.create_index("ix_run_due_at", ["due_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_run_phase"), ["phase"], unique=False)
        batch_op.create_index(batch_op.f("ix_run_team"), ["team"], unique=False)

    op.create_table(
        "attempt",
        sa.Column("run", sa.String(length=12), nullable=False),
        sa.Column("replica", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("phase", sa.String(length=10), nullable=False),
        sa.Column("key", sa.String(length=12), nullable=False),
        sa.Column("handle", sa.JSON(), nullable=False),
        sa.Column("created_at", plinth.store.tables.Utc(timezone=True), nullable=False),
        sa.Column("started_at", plinth.store.tables.Utc(timezone=True), nullable=True),
        sa.Column("ended_at", plinth.store.tables.Utc(timezone=True), nullable=True),
        sa.Column("exit_code", sa.Integer(), nullable=True),
        sa.Column("reason", sa.String(length=2000), nullable=True),
        sa.Column("isolation", sa.Integer(), nullable=True),
        sa.Column("metered", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["key"], ["key.id"], name=op.f("fk_attempt_key")),
        sa.ForeignKeyConstraint(["run"], ["run.id"], name=op.f("fk_attempt_run")),
        sa.PrimaryKeyConstraint("run", "replica", "number", name=op.f("pk_attempt")),
    )
    op.create_table(
        "endpoint",
        sa.Column("name", sa.String(length=40), nullable=False),
        sa.Column("team", sa.String(length=24), nullable=False),
        sa.Column("desired", sa.String(length=8), nullable=False),
        sa.Column("serving", sa.String(length=12), nullable=True),
        sa.Column("next", sa.String(length=12), nullable=True),
        sa.Column("reason", sa.String(length=40), nullable=False),
        sa.Column("message", sa.String(length=2000), nullable=False),
        sa.Column("created_at", plinth.store.tables.Utc(timezone=True), nullable=False),
        sa.Column("created_by", sa.String(length=12), nullable=False),
        sa.Column("updated_at", plinth.store.tables.Utc(timezone=True), nullable=False),
        sa.Column("due_at", plinth.store.tables.Utc(timezone=True), nullable=True),
        sa.Column("lease_token", sa.String(length=40), nullable=True),
        sa.Column("lease_until", plinth.store.tables.Utc(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["next"], ["run.id"], name=op.f("fk_endpoint_next")),
        sa.ForeignKeyConstraint(["serving"], ["run.id"], name=op.f("fk_endpoint_serving")),
        sa.ForeignKeyConstraint(["team"], ["team.name"], name=op.f("fk_endpoint_team")),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_endpoint")),
    )
    with op.batch_alter_table("endpoint", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_endpoint_team"), ["team"], unique=False)


def downgrade() -> None:
    """Take it back."""
    with op.batch_alter_table("endpoint", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_endpoint_team"))

    op.drop_table("endpoint")
    op.drop_table("attempt")
    with op.batch_alter_table("run", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_run_team"))
        batch_op.drop_index(batch_op.f("ix_run_phase"))
        batch_op.drop_index("ix_run_due_at")

    op.drop_table("run")
    with op.batch_alter_table("key", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_key_revoked_at"))
        batch_op.drop_index(batch_op.f("ix_key_principal"))

    op.drop_table("key")
    with op.batch_alter_table("grant", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_grant_subject_team"))
        batch_op.drop_index(batch_op.f("ix_grant_principal"))

    op.drop_table("grant")
    op.drop_table("principal")
    op.drop_table("data_version")
    op.drop_table("team")
    with op.batch_alter_table("event", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_event_subject"))

    op.drop_table("event")
