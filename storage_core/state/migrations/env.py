"""Alembic's entry: runs the migrations on the connection it is handed, in its transaction."""

from alembic import context

from storage_core.state.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite can not alter a table otherwise
)
with context.begin_transaction():
    context.run_migrations()
