"""Remember where runs came from; an audit log, prices, sign-ins and duties."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from plinth.store.tables import Utc

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_REFUSAL = "the audit log is append-only"


def upgrade() -> None:
    """Apply it."""
    op.add_column("principal", sa.Column("removed_at", Utc(timezone=True), nullable=True))
    op.add_column("run", sa.Column("code", sa.JSON(), nullable=True))
    op.add_column("run", sa.Column("lineage", sa.JSON(), nullable=True))
    op.add_column("run", sa.Column("deleted_at", Utc(timezone=True), nullable=True))
    is_deleted = sa.text("deleted_at IS NOT NULL")
    op.create_index(
        "ix_run_deleted_at",
        "run",
        ["deleted_at"],
        sqlite_where=is_deleted,
        postgresql_where=is_deleted,
    )
    _audit()
    op.create_table(
        "price",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("sku", sa.String(length=40), nullable=False),
        sa.Column("amount", sa.String(length=40), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("valid_from", Utc(timezone=True), nullable=False),
        sa.Column("created_at", Utc(timezone=True), nullable=False),
        sa.Column("created_by", sa.String(length=12), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_price"),
    )
    op.create_index("ix_price_sku", "price", ["sku"])
    op.create_table(
        "sign_in",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("principal", sa.String(length=12), nullable=False),
        sa.Column("key", sa.String(length=12), nullable=False),
        sa.Column("made", sa.String(length=12), nullable=True),
        sa.Column("created_at", Utc(timezone=True), nullable=False),
        sa.Column("expires_at", Utc(timezone=True), nullable=False),
        sa.Column("used_at", Utc(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["key"], ["key.id"], name="fk_sign_in_key_key"),
        sa.ForeignKeyConstraint(["made"], ["key.id"], name="fk_sign_in_made_key"),
        sa.ForeignKeyConstraint(
            ["principal"], ["principal.id"], name="fk_sign_in_principal_principal"
        ),
        sa.PrimaryKeyConstraint("digest", name="pk_sign_in"),
    )
    for column in ("expires_at", "key", "made"):
        op.create_index(f"ix_sign_in_{column}", "sign_in", [column])
    op.create_table(
        "duty",
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("holder", sa.String(length=40), nullable=False),
        sa.Column("until", Utc(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_duty"),
    )
    if op.get_context().dialect.name != "sqlite":
        # A file may have more bytes than 2^31, which ends PostgreSQL's plain integers.
        for column in ("size_bytes", "rows"):
            op.alter_column("data_version", column, type_=sa.BigInteger(), existing_nullable=False)
    op.create_table(
        "release",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("revision", sa.String(length=32), nullable=False),
        sa.Column("plinth", sa.String(length=40), nullable=False),
        sa.Column("at", Utc(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_release"),
    )


def _audit() -> None:
    op.create_table(
        "audit",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("at", Utc(timezone=True), nullable=False),
        sa.Column("principal", sa.String(length=12), nullable=False),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("key", sa.String(length=12), nullable=True),
        sa.Column("team", sa.String(length=24), nullable=True),
        sa.Column("action", sa.String(length=20), nullable=False),
        sa.Column("subject", sa.String(length=100), nullable=False),
        sa.Column("outcome", sa.String(length=10), nullable=False),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.Column("origin", sa.String(length=60), nullable=False),
        sa.Column("request_id", sa.String(length=40), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_audit"),
    )
    for column in ("at", "principal", "team", "subject"):
        op.create_index(f"ix_audit_{column}", "audit", [column])
    if op.get_context().dialect.name == "sqlite":
        for change in ("update", "delete"):
            op.execute(
                f"create trigger audit_no_{change} before {change} on audit "
                f"begin select raise(abort, '{_REFUSAL}'); end"
            )
        # SQLite replaces a row without asking those two.
        op.execute(
            "create trigger audit_no_replace before insert on audit "
            "when exists (select 1 from audit where id = new.id) "
            f"begin select raise(abort, '{_REFUSAL}'); end"
        )
        return
    op.execute(
        "create function refuse_audit_change() returns trigger language plpgsql as "
        f"$$ begin raise exception '{_REFUSAL}'; end $$"
    )
    op.execute(
        "create trigger audit_append_only before update or delete or truncate on audit "
        "for each statement execute function refuse_audit_change()"
    )
