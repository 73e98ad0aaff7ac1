"""The log's index of states holds what has ended alone, and the capture triggers are others.

The other index holds what has no end. A statement that changes many rows wrote both for each. The
triggers are put in place after each migration; only SQLite's have changed.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """The new index for the former one."""
    op.create_index(
        "ix_change_log_ended",
        "change_log",
        ["state", "finished_at"],
        sqlite_where=sa.text("finished_at IS NOT NULL"),
        postgresql_where=sa.text("finished_at IS NOT NULL"),
    )
    op.drop_index("ix_change_log_state", "change_log", if_exists=True)
