"""Alembic's entry: run the migrations on the connection that hisync opened."""

from __future__ import annotations

from alembic import context

from hisync.mirror.migrate import VERSION_TABLE
from hisync.mirror.tables import metadata

# The caller holds the transaction: schema and triggers change in it together, or not at all.
context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
)
context.run_migrations()
