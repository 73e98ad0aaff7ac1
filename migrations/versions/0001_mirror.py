"""The mirror: item tables, change log, conflicts, removed rows, and the engine's own tables.

There is no way back down: a mirror is filled again faster than it is unmigrated.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from hisync.mirror.dialects.guids import random_guid

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

ITEM_TABLES = ("projects", "tasks", "events", "notes", "files", "other_items")
SEQUENCE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON = sa.JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")


def upgrade() -> None:
    for name in ITEM_TABLES:
        _create_item_table(name)
    _create_people_tables()
    _create_engine_tables()


def _text(name: str, **options: Any) -> sa.Column[Any]:
    return sa.Column(name, sa.Text(), **options)


def _number(name: str, **options: Any) -> sa.Column[Any]:
    return sa.Column(name, sa.BigInteger(), **options)


def _moment(name: str, **options: Any) -> sa.Column[Any]:
    return sa.Column(name, sa.DateTime(), **options)


def _flag(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Boolean(), nullable=False, server_default=sa.false())


def _json(name: str, **options: Any) -> sa.Column[Any]:
    return sa.Column(name, JSON, **options)


def _sequence(name: str) -> sa.Column[Any]:
    return sa.Column(name, SEQUENCE, autoincrement=True, nullable=False)


def _create_item_table(name: str) -> None:
    own = {
        "projects": [_text("short_name")],
        "files": [_number("file_size")],
        "other_items": [_number("category")],
    }
    op.create_table(
        name,
        _text("guid", server_default=random_guid(), nullable=False),
        _number("id"),
        _text("title"),
        _text("message"),
        _text("parent_guid"),
        _flag("completed"),
        _number("color"),
        _text("color_value"),
        _number("assignee_id"),
        _json("participants"),
        _json("tags"),
        _moment("start_date"),
        _moment("end_date"),
        _moment("due_date"),
        _flag("is_all_day"),
        _number("recurring"),
        _number("recurring_interval"),
        _moment("recurring_end_date"),
        _json("alerts"),
        _number("priority"),
        _flag("starred"),
        _flag("time_track"),
        _number("time_est_minutes"),
        _number("time_spent_minutes"),
        _json("location"),
        _json("permissions"),
        _flag("archived"),
        *own.get(name, []),
        _text("issue_id"),
        _number("owner_id"),
        _number("permission"),
        _flag("shared"),
        _number("unread"),
        _number("version"),
        _moment("time_create"),
        _moment("time_last_update"),
        _number("last_comment_id"),
        _json("extra"),
        sa.PrimaryKeyConstraint("guid", name=f"pk_{name}"),
    )
    op.create_index(f"ix_{name}_id", name, ["id"])
    op.create_index(f"ix_{name}_parent_guid", name, ["parent_guid"])


def _create_people_tables() -> None:
    op.create_table(
        "change_log",
        _sequence("seq"),
        _text("table_name", nullable=False),
        _text("row_guid", nullable=False),
        _text("op", nullable=False),
        _json("old_values"),
        _json("new_values"),
        _moment("changed_at", nullable=False),
        _text("state", server_default="pending", nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        _text("error"),
        _moment("finished_at"),
        sa.PrimaryKeyConstraint("seq", name="pk_change_log"),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_change_log_unfinished",
        "change_log",
        ["row_guid"],
        sqlite_where=sa.text("finished_at IS NULL"),
        postgresql_where=sa.text("finished_at IS NULL"),
    )
    op.create_index("ix_change_log_state", "change_log", ["state"])
    op.create_table(
        "conflicts",
        _sequence("id"),
        _text("table_name", nullable=False),
        _text("row_guid", nullable=False),
        _text("field"),
        _text("base_value"),
        _text("local_value"),
        _text("remote_value"),
        _text("resolution"),
        _text("policy", nullable=False),
        _moment("detected_at", nullable=False),
        _moment("resolved_at"),
        sa.PrimaryKeyConstraint("id", name="pk_conflicts"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_conflicts_row_guid", "conflicts", ["row_guid"])
    op.create_table(
        "removed_rows",
        _sequence("seq"),
        _text("table_name", nullable=False),
        _text("row_guid", nullable=False),
        _number("id"),
        _json("last_values", nullable=False),
        _moment("removed_at", nullable=False),
        _text("reason", nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_removed_rows"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_removed_rows_row_guid", "removed_rows", ["row_guid"])


def _create_engine_tables() -> None:
    op.create_table(
        "sync_state",
        _text("key", nullable=False),
        _json("value"),
        sa.PrimaryKeyConstraint("key", name="pk_sync_state"),
    )
    op.create_table(
        "sync_base",
        _text("guid", nullable=False),
        _text("table_name", nullable=False),
        _number("id", nullable=False),
        _text("remote_guid"),
        _number("version"),
        _json("dirty"),
        sa.Column("missed", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("guid", name="pk_sync_base"),
        sa.UniqueConstraint("id", name="uq_sync_base_id"),
    )
    op.create_index(
        "ix_sync_base_remote_guid",
        "sync_base",
        ["remote_guid"],
        sqlite_where=sa.text("remote_guid IS NOT NULL"),
        postgresql_where=sa.text("remote_guid IS NOT NULL"),
    )
    op.create_index(
        "ix_sync_base_dirty",
        "sync_base",
        ["guid"],
        sqlite_where=sa.text("dirty IS NOT NULL"),
        postgresql_where=sa.text("dirty IS NOT NULL"),
    )
    op.create_index(
        "ix_sync_base_missed",
        "sync_base",
        ["missed"],
        sqlite_where=sa.text("missed > 0"),
        postgresql_where=sa.text("missed > 0"),
    )
    op.create_table(
        "sync_intents",
        _text("guid", nullable=False),
        _text("table_name", nullable=False),
        _text("op", nullable=False),
        _json("sent", nullable=False),
        _number("last_seq", nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        _moment("started_at", nullable=False),
        sa.PrimaryKeyConstraint("guid", name="pk_sync_intents"),
    )
    op.create_table(
        "sync_requests",
        _sequence("id"),
        sa.Column("granted_at", sa.Float(), nullable=False),
        sa.Column("requests", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_sync_requests"),
        sqlite_autoincrement=True,
    )
    if op.get_bind().dialect.name == "sqlite":
        _create_scratch_of_triggers()


def _create_scratch_of_triggers() -> None:
    op.create_table(
        "sync_doomed",
        _text("table_name", nullable=False),
        _text("row_guid", nullable=False),
        _json("old_values"),
        sa.PrimaryKeyConstraint("table_name", "row_guid", name="pk_sync_doomed"),
    )
    op.create_table(
        "sync_mark",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("owner", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["owner"],
            ["sync_mark.id"],
            name="fk_sync_mark_owner",
            initially="DEFERRED",
            deferrable=True,
        ),
        sa.PrimaryKeyConstraint("id", name="pk_sync_mark"),
    )
