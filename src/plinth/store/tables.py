"""The tables. Intent and what was observed; every query on them stands in this room."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    TypeDecorator,
    UniqueConstraint,
    text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class Utc(TypeDecorator[datetime]):
    """An aware time in UTC; SQLite keeps it without the zone, so it is put back on reading."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse naive times, and turn the rest into UTC."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"the time {value} has no zone")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: Any, _dialect: Dialect) -> datetime | None:
        """Return the time with its zone."""
        if value is None:
            return None
        assert isinstance(value, datetime)
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


# SQLite has integers of one size only, and reflects them by this name.
_Long = BigInteger().with_variant(Integer, "sqlite")


def _lease() -> tuple[Column[Any], ...]:
    # A row is due at `due_at`; who holds `lease_token` until `lease_until` may change it.
    return (
        Column("due_at", Utc, nullable=True),
        Column("lease_token", String(40), nullable=True),
        Column("lease_until", Utc, nullable=True),
    )


team = Table(
    "team",
    metadata,
    Column("name", String(24), primary_key=True),
    Column("created_at", Utc, nullable=False),
)

principal = Table(
    "principal",
    metadata,
    Column("id", String(12), primary_key=True),
    Column("kind", String(10), nullable=False),
    Column("name", String(80), nullable=False),
    Column("team", String(24), ForeignKey("team.name"), nullable=False),
    Column("created_at", Utc, nullable=False),
    # Its membership ended: the row stays for what it did, and none of its keys counts.
    Column("removed_at", Utc, nullable=True),
)

grant = Table(
    "grant",
    metadata,
    Column("id", String(12), primary_key=True),
    Column("role", String(12), nullable=False),
    Column("principal", String(12), ForeignKey("principal.id"), nullable=True, index=True),
    Column("subject_team", String(24), ForeignKey("team.name"), nullable=True, index=True),
    Column("team", String(24), ForeignKey("team.name"), nullable=True),
    Column("resource", String(60), nullable=True),
    Column("created_at", Utc, nullable=False),
    Column("created_by", String(12), nullable=False),
)

key = Table(
    "key",
    metadata,
    Column("id", String(12), primary_key=True),
    Column("principal", String(12), ForeignKey("principal.id"), nullable=False, index=True),
    Column("label", String(80), nullable=False),
    Column("created_at", Utc, nullable=False),
    Column("expires_at", Utc, nullable=False),
    Column("revoked_at", Utc, nullable=True, index=True),
)

run = Table(
    "run",
    metadata,
    Column("id", String(12), primary_key=True),
    Column("team", String(24), ForeignKey("team.name"), nullable=False),
    Column("kind", String(12), nullable=False),
    Column("name", String(40), nullable=False),
    Column("workload", JSON, nullable=False),
    Column("code_digest", String(64), nullable=True),
    Column("model", JSON, nullable=True),
    Column("data", JSON, nullable=False),
    Column("plan", JSON, nullable=False),
    Column("principal", String(12), ForeignKey("principal.id"), nullable=False),
    Column("created_by", String(12), nullable=False),
    Column("created_at", Utc, nullable=False),
    Column("desired", String(8), nullable=False),
    Column("phase", String(10), nullable=False, index=True),
    Column("reason", String(40), nullable=False),
    Column("message", String(2000), nullable=False),
    Column("tracking_run", String(40), nullable=True),
    Column("started_at", Utc, nullable=True),
    Column("ended_at", Utc, nullable=True),
    Column("exit_code", Integer, nullable=True),
    Column("closed", Boolean, nullable=False),
    # Where a job's code came from, and what a deployment's model came from, as known then.
    Column("code", JSON, nullable=True),
    Column("lineage", JSON, nullable=True),
    # Hidden from all but traces from then on, and removed when no response can ask for it.
    Column("deleted_at", Utc, nullable=True),
    # What its endpoint's file calls it; NULL for a job, and where there could be one only.
    Column("deployment", String(40), nullable=True),
    *_lease(),
    # Runs that ended are never due: the reconciler's scan does not grow with history.
    Index(
        "ix_run_due_at",
        "due_at",
        sqlite_where=text("due_at IS NOT NULL"),
        postgresql_where=text("due_at IS NOT NULL"),
    ),
    # Only what was deleted: it is no way to what is there.
    Index(
        "ix_run_deleted_at",
        "deleted_at",
        sqlite_where=text("deleted_at IS NOT NULL"),
        postgresql_where=text("deleted_at IS NOT NULL"),
    ),
    Index(None, "team", "kind", "name", "phase"),
)

attempt = Table(
    "attempt",
    metadata,
    Column("run", String(12), ForeignKey("run.id"), primary_key=True),
    Column("replica", Integer, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("phase", String(10), nullable=False),
    # Of a job's attempt; a server calls nobody and gets none.
    Column("key", String(12), ForeignKey("key.id"), nullable=True),
    Column("handle", JSON, nullable=False),
    Column("created_at", Utc, nullable=False),
    Column("started_at", Utc, nullable=True),
    Column("ended_at", Utc, nullable=True),
    Column("exit_code", Integer, nullable=True),
    Column("reason", String(2000), nullable=True),
    Column("isolation", Integer, nullable=True),
    # When the engine last said how it stands: usage is counted up to here, not to the clock.
    Column("seen_at", Utc, nullable=True),
    # Its last interval stands in the ledger: nothing is left to be metered.
    Column("metered", Boolean, nullable=False),
    # Of a flow that scales: how many of its processes ran when it was last seen.
    Column("workers", Integer, nullable=True),
    Index(
        "ix_attempt_unmetered",
        "run",
        "replica",
        "number",
        sqlite_where=text("metered IS 0 AND started_at IS NOT NULL"),
        postgresql_where=text("metered IS false AND started_at IS NOT NULL"),
    ),
)

event = Table(
    "event",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("subject", String(60), nullable=False, index=True),
    Column("at", Utc, nullable=False),
    Column("phase", String(10), nullable=False),
    Column("reason", String(40), nullable=False),
    Column("message", String(2000), nullable=False),
)

endpoint = Table(
    "endpoint",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("team", String(24), ForeignKey("team.name"), nullable=False, index=True),
    Column("desired", String(8), nullable=False),
    # The file as it was applied last, and the one before while its traffic still holds.
    Column("workload", JSON, nullable=False),
    Column("before", JSON, nullable=True),
    # Run ids by the names of the file's deployments.
    Column("serving", JSON, nullable=False),
    Column("next", JSON, nullable=False),
    Column("reason", String(40), nullable=False),
    Column("message", String(2000), nullable=False),
    Column("created_at", Utc, nullable=False),
    Column("created_by", String(12), nullable=False),
    Column("updated_at", Utc, nullable=False),
    *_lease(),
)

workspace = Table(
    "workspace",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("team", String(24), ForeignKey("team.name"), nullable=False, index=True),
    Column("owner", String(12), ForeignKey("principal.id"), nullable=False),
    Column("desired", String(8), nullable=False),
    Column("workload", JSON, nullable=False),
    # The run of its present session; None while it is stopped.
    Column("run", String(12), nullable=True),
    # What was seen of that session last: control/workspaces/activity.py.
    Column("activity", JSON, nullable=False),
    Column("reason", String(40), nullable=False),
    Column("message", String(2000), nullable=False),
    Column("created_at", Utc, nullable=False),
    Column("created_by", String(12), nullable=False),
    Column("updated_at", Utc, nullable=False),
    *_lease(),
)

# Files of OpenAI's API: what batches read, and what they gave. The bytes lie in the storage.
openai_file = Table(
    "openai_file",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("team", String(24), ForeignKey("team.name"), nullable=False),
    Column("purpose", String(20), nullable=False),
    Column("name", String(200), nullable=False),
    Column("size_bytes", _Long, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("created_at", Utc, nullable=False),
    Column("created_by", String(12), nullable=False),
    Column("expires_at", Utc, nullable=True, index=True),
    Index(None, "team", "created_at", "id"),
)

openai_batch = Table(
    "openai_batch",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("team", String(24), ForeignKey("team.name"), nullable=False),
    # The address of every line; the model when all lines name one.
    Column("endpoint", String(40), nullable=False),
    Column("model", String(40), nullable=True),
    Column("input_file", String(40), nullable=False),
    Column("window", String(20), nullable=False),
    Column("metadata", JSON, nullable=True),
    Column("output_expires_s", Integer, nullable=True),
    Column("status", String(12), nullable=False),
    Column("errors", JSON, nullable=False),
    # The run that sends the lines; None until they have been checked.
    Column("run", String(12), nullable=True, index=True),
    Column("output_file", String(40), nullable=True),
    Column("error_file", String(40), nullable=True),
    # When it came into each status.
    Column("times", JSON, nullable=False),
    Column("total", Integer, nullable=False),
    Column("completed", Integer, nullable=False),
    Column("failed", Integer, nullable=False),
    Column("usage", JSON, nullable=True),
    Column("created_at", Utc, nullable=False),
    Column("created_by", String(12), nullable=False),
    Column("expires_at", Utc, nullable=False),
    *_lease(),
    Index(None, "team", "created_at", "id"),
    Index(
        "ix_openai_batch_due_at",
        "due_at",
        sqlite_where=text("due_at IS NOT NULL"),
        postgresql_where=text("due_at IS NOT NULL"),
    ),
)

data_version = Table(
    "data_version",
    metadata,
    Column("team", String(24), ForeignKey("team.name"), primary_key=True),
    Column("name", String(40), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("digest", String(64), nullable=False),
    Column("uri", String(1000), nullable=False),
    Column("file_name", String(200), nullable=False),
    Column("size_bytes", _Long, nullable=False),
    Column("rows", _Long, nullable=False),
    Column("columns", JSON, nullable=False),
    Column("created_by", String(12), nullable=False),
    Column("created_at", Utc, nullable=False),
    UniqueConstraint("team", "name", "digest"),
)

# Append-only: triggers refuse to change or remove a row (migration 0004).
audit = Table(
    "audit",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("at", Utc, nullable=False, index=True),
    Column("principal", String(12), nullable=False, index=True),
    Column("name", String(80), nullable=False),
    Column("key", String(12), nullable=True),
    Column("team", String(24), nullable=True, index=True),
    Column("action", String(20), nullable=False),
    Column("subject", String(100), nullable=False, index=True),
    Column("outcome", String(10), nullable=False),
    Column("detail", JSON, nullable=False),
    # From where: the caller's address as the gateway saw it; `local` for the node's own programs.
    Column("origin", String(60), nullable=False),
    Column("request_id", String(40), nullable=True),
)

# What one unit of a meter costs from `valid_from` on; a later row for the same time replaces it.
price = Table(
    "price",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("sku", String(40), nullable=False, index=True),
    # A decimal number as text: SQLite has no exact one.
    Column("amount", String(40), nullable=False),
    Column("currency", String(3), nullable=False),
    Column("valid_from", Utc, nullable=False),
    Column("created_at", Utc, nullable=False),
    Column("created_by", String(12), nullable=False),
)

# One-time links that sign a browser in: the digest of the code, never the code.
sign_in = Table(
    "sign_in",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("principal", String(12), ForeignKey("principal.id"), nullable=False),
    # Where it signs a browser in: the first label of the page's host.
    Column("page", String(63), nullable=False),
    # The key that asked for the link, and the browser's own that was made when it was used.
    Column("key", String(12), ForeignKey("key.id"), nullable=False, index=True),
    Column("made", String(12), ForeignKey("key.id"), nullable=True, index=True),
    Column("created_at", Utc, nullable=False),
    Column("expires_at", Utc, nullable=False, index=True),
    Column("used_at", Utc, nullable=True),
)

# Which control plane does a duty of a node (publish, meter) now, where several share a database.
duty = Table(
    "duty",
    metadata,
    Column("name", String(80), primary_key=True),
    Column("holder", String(40), nullable=False),
    Column("until", Utc, nullable=False),
)

# Which Plinth brought the schema to which revision, so that an older one can name it.
release = Table(
    "release",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("revision", String(32), nullable=False),
    Column("plinth", String(40), nullable=False),
    Column("at", Utc, nullable=False),
)

# The newest version of each secret, sealed (access/vault.py). A deleted one keeps its row without
# its content, so that no version number is ever given twice.
secret = Table(
    "secret",
    metadata,
    Column("team", String(24), ForeignKey("team.name"), primary_key=True),
    Column("name", String(40), primary_key=True),
    Column("version", Integer, nullable=False),
    # The id of the master key that wraps the data key.
    Column("master_key", String(80), nullable=True),
    Column("wrapped_key", LargeBinary, nullable=True),
    Column("nonce", LargeBinary, nullable=True),
    Column("ciphertext", LargeBinary, nullable=True),
    Column("set_at", Utc, nullable=False),
    Column("set_by", String(12), nullable=False),
    Column("deleted_at", Utc, nullable=True),
)

# For what a secret was taken, and the last version that was: a new use goes into the audit log.
secret_use = Table(
    "secret_use",
    metadata,
    Column("team", String(24), primary_key=True),
    Column("name", String(40), primary_key=True),
    Column("purpose", String(80), primary_key=True),
    Column("version", Integer, nullable=False),
    Column("at", Utc, nullable=False),
    ForeignKeyConstraint(["team", "name"], ["secret.team", "secret.name"]),
)

# Master keys by which nothing may be wrapped any more; their files are removed after the row.
retired_master_key = Table(
    "retired_master_key",
    metadata,
    Column("id", String(80), primary_key=True),
    Column("at", Utc, nullable=False),
)
