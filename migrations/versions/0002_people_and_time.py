"""Comments and time entries, the people, groups and tags, and what was read of the histories.

Only adds tables: rows, people's own columns and unsent changes stay as they are.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from hisync.mirror.dialects.guids import random_guid

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

JSON = sa.JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")


def upgrade() -> None:
    _create_edited_tables()
    _create_shown_tables()
    op.create_table(
        "sync_comments",
        _text("item_guid", nullable=False),
        _number("seen_comment_id"),
        sa.Column("read_at", sa.Float()),
        _flag("complete"),
        sa.PrimaryKeyConstraint("item_guid", name="pk_sync_comments"),
    )
    op.create_index("ix_sync_comments_read_at", "sync_comments", ["read_at"])


def _text(name: str, **options: Any) -> sa.Column[Any]:
    return sa.Column(name, sa.Text(), **options)


def _number(name: str, **options: Any) -> sa.Column[Any]:
    return sa.Column(name, sa.BigInteger(), **options)


def _flag(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Boolean(), nullable=False, server_default=sa.false())


def _guid() -> sa.Column[Any]:
    return _text("guid", server_default=random_guid(), nullable=False)


def _create_edited_tables() -> None:
    op.create_table(
        "comments",
        _guid(),
        _number("id"),
        _text("item_guid"),
        _number("user_id"),
        _text("message"),
        sa.Column("time_create", sa.DateTime()),
        sa.PrimaryKeyConstraint("guid", name="pk_comments"),
    )
    op.create_index("ix_comments_id", "comments", ["id"])
    op.create_index("ix_comments_item_guid", "comments", ["item_guid"])
    op.create_table(
        "time_entries",
        _guid(),
        _text("item_guid"),
        _number("user_id"),
        _number("minutes"),
        sa.Column("spent_on", sa.Date()),
        _text("note"),
        _text("source", server_default="local", nullable=False),
        sa.Column("time_create", sa.DateTime()),
        sa.PrimaryKeyConstraint("guid", name="pk_time_entries"),
    )
    op.create_index("ix_time_entries_item_guid", "time_entries", ["item_guid"])


def _create_shown_tables() -> None:
    op.create_table(
        "users",
        _number("id", autoincrement=False, nullable=False),
        _text("login"),
        _text("first_name"),
        _text("last_name"),
        _text("full_name"),
        _text("email"),
        _text("account_type"),
        _number("business_level"),
        _flag("is_self"),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
    )
    op.create_table(
        "groups",
        _text("id", nullable=False),
        _text("name"),
        _text("code"),
        _number("color"),
        _number("type"),
        sa.Column("members", JSON),
        sa.PrimaryKeyConstraint("id", name="pk_groups"),
    )
    op.create_table(
        "tags",
        _number("id", autoincrement=False, nullable=False),
        _text("name"),
        sa.Column("shared", sa.Boolean()),
        sa.PrimaryKeyConstraint("id", name="pk_tags"),
    )
