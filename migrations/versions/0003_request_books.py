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
    if op.get_bind().dialect.name == "sqlite":
        _make_requests_anew()
    else:
        lease = sa.Column("lease_ends", sa.Float(), server_default=sa.text("0"), nullable=False)
        op.add_column("sync_requests", lease)
    _create_usage()


def _make_requests_anew() -> None:
    """SQLite writes an added column's words otherwise than a declared one's.

    It renames no table where a view of somebody's own is broken, so the rows wait here.
    """
    connection = op.get_bind()
    query = sa.text("SELECT granted_at, requests FROM sync_requests ORDER BY id")
    booked = [
        {"granted_at": at, "requests": requests, "lease_ends": at + 5.0}
        for at, requests in connection.execute(query)
    ]
    op.drop_table("sync_requests")
    made = op.create_table(
        "sync_requests",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("granted_at", sa.Float(), nullable=False),
        sa.Column("requests", sa.Integer(), nullable=False),
        sa.Column("lease_ends", sa.Float(), server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_sync_requests"),
        sqlite_autoincrement=True,
    )
    op.bulk_insert(made, booked)


def _create_usage() -> None:
    op.create_table(
        "sync_usage",
        sa.Column("minute", sa.BigInteger(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("requests", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("minute", "cause", "outcome", name="pk_sync_usage"),
    )
