"""Alembic's entry point: run the migrations on the connection that `Database.migrate` gives."""

from __future__ import annotations

from alembic import context

from plinth.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
