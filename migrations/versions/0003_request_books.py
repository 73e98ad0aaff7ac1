"""The books of requests: until when each booking may be spent, and what requests were for.

Only adds: what was booked before counts as a short lease.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Made anew, since SQLite writes an added column's words otherwise than a declared one's.
    op.rename_table("sync_requests", "sync_requests_old")
    op.create_table(
        "sync_requests",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("granted_at", sa.Float(), nullable=False),
        sa.Column("requests", sa.Integer(), nullable=False),
        sa.Column("lease_ends", sa.Float(), server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_sync_requests"),
        sqlite_autoincrement=True,
    )
    op.execute(
        "INSERT INTO sync_requests (granted_at, requests, lease_ends)"
        " SELECT granted_at, requests, granted_at + 5.0 FROM sync_requests_old"
    )
    op.drop_table("sync_requests_old")
    op.create_table(
        "sync_usage",
        sa.Column("minute", sa.BigInteger(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("requests", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("minute", "cause", "outcome", name="pk_sync_usage"),
    )
