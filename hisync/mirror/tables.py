"""The mirror's tables as this version declares them.

The migrations build the same tables step by step; a test holds the two equal. Public: `metadata`,
the tables, `ITEM_TABLES`, `EDITED_TABLES`, `SHOWN_TABLES`.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Date,
    DateTime,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    false,
    text,
)
from sqlalchemy.types import TypeEngine

from hisync.items import TABLES, Field, FieldType, fields_of
from hisync.mirror.dialects.documents import Document
from hisync.mirror.dialects.guids import random_guid
from hisync.mirror.meanings import column_meaning, table_meaning

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)


# SQLite counts rows up only in a column of exactly this type.
SEQUENCE: Final = BigInteger().with_variant(Integer(), "sqlite")

_TYPES: Final[dict[FieldType, TypeEngine[Any]]] = {
    FieldType.TEXT: Text(),
    FieldType.INT: BigInteger(),
    FieldType.ID: BigInteger(),
    FieldType.MINUTES: BigInteger(),
    FieldType.BOOL: Boolean(),
    FieldType.INSTANT: DateTime(),
    FieldType.START_DATE: DateTime(),
    FieldType.END_DATE: DateTime(),
    FieldType.SET: Document(),
    FieldType.JSON: Document(),
}


def _column(field: Field) -> Column[Any]:
    if field.type is FieldType.BOOL:
        return Column(field.column, Boolean(), nullable=False, server_default=false())
    return Column(field.column, _TYPES[field.type])


def _guid() -> Column[Any]:
    return Column("guid", Text(), primary_key=True, server_default=random_guid())


def _partial_index(name: str, *columns: Column[Any], where: ColumnElement[bool]) -> None:
    """An index of the rows for which something holds, which only the migrations have to know.

    The engines' own arguments for it would load both of their dialects, in every command.
    """
    Index(name, *columns, info={"where": where})


def _item_table(name: str) -> Table:
    return Table(
        name,
        metadata,
        _guid(),
        Column("id", BigInteger(), index=True),
        *(_column(field) for field in fields_of(name).values()),
        Index(None, "parent_guid"),
    )


ITEM_TABLES: Final = {name: _item_table(name) for name in TABLES}

comments = Table(
    "comments",
    metadata,
    _guid(),
    Column("id", BigInteger(), index=True),
    Column("item_guid", Text(), index=True),
    Column("user_id", BigInteger()),
    Column("message", Text()),
    Column("time_create", DateTime()),
)

# Of an entry that someone writes, the engine fills in who, when and for which day.
time_entries = Table(
    "time_entries",
    metadata,
    _guid(),
    Column("item_guid", Text(), index=True),
    Column("user_id", BigInteger()),
    Column("minutes", BigInteger()),
    Column("spent_on", Date()),
    Column("note", Text()),
    Column("source", Text(), nullable=False, server_default="local"),
    Column("time_create", DateTime()),
)

EDITED_TABLES: Final = ITEM_TABLES | {"comments": comments, "time_entries": time_entries}
"""What people edit: every change there is captured."""

users = Table(
    "users",
    metadata,
    Column("id", BigInteger(), primary_key=True, autoincrement=False),
    Column("login", Text()),
    Column("first_name", Text()),
    Column("last_name", Text()),
    Column("full_name", Text()),
    Column("email", Text()),
    Column("account_type", Text()),
    Column("business_level", BigInteger()),
    Column("is_self", Boolean(), nullable=False, server_default=false()),
)

groups = Table(
    "groups",
    metadata,
    Column("id", Text(), primary_key=True),
    Column("name", Text()),
    Column("code", Text()),
    Column("color", BigInteger()),
    Column("type", BigInteger()),
    Column("members", Document()),
)

tags = Table(
    "tags",
    metadata,
    Column("id", BigInteger(), primary_key=True, autoincrement=False),
    Column("name", Text()),
    Column("shared", Boolean()),
)

SHOWN_TABLES: Final = {"users": users, "groups": groups, "tags": tags}
"""What people read only: hiTask's word, and nobody else's."""

change_log = Table(
    "change_log",
    metadata,
    Column("seq", SEQUENCE, primary_key=True, autoincrement=True),
    Column("table_name", Text(), nullable=False),
    Column("row_guid", Text(), nullable=False),
    Column("op", Text(), nullable=False),
    Column("old_values", Document()),
    Column("new_values", Document()),
    Column("changed_at", DateTime(), nullable=False),
    Column("state", Text(), nullable=False, server_default="pending"),
    Column("attempts", Integer(), nullable=False, server_default=text("0")),
    Column("error", Text()),
    Column("finished_at", DateTime()),
    sqlite_autoincrement=True,  # a number is never used twice, not even after pruning
)
# What is unfinished is few, and looked for in every cycle; what has ended, by how it did. No row
# is in both: a person's statement that changes many writes one index for each.
_partial_index(
    "ix_change_log_unfinished", change_log.c.row_guid, where=change_log.c.finished_at.is_(None)
)
_partial_index(
    "ix_change_log_ended",
    change_log.c.state,
    change_log.c.finished_at,  # else SQLite looks it up in the row, each time
    where=change_log.c.finished_at.is_not(None),
)

conflicts = Table(
    "conflicts",
    metadata,
    Column("id", SEQUENCE, primary_key=True, autoincrement=True),
    Column("table_name", Text(), nullable=False),
    Column("row_guid", Text(), nullable=False),
    Column("field", Text()),
    Column("base_value", Text()),
    Column("local_value", Text()),
    Column("remote_value", Text()),
    Column("resolution", Text()),
    Column("policy", Text(), nullable=False),
    Column("detected_at", DateTime(), nullable=False),
    Column("resolved_at", DateTime()),
    Index(None, "row_guid"),
    sqlite_autoincrement=True,
)

removed_rows = Table(
    "removed_rows",
    metadata,
    Column("seq", SEQUENCE, primary_key=True, autoincrement=True),
    Column("table_name", Text(), nullable=False),
    Column("row_guid", Text(), nullable=False),
    Column("id", BigInteger()),
    Column("last_values", Document(), nullable=False),
    Column("removed_at", DateTime(), nullable=False),
    Column("reason", Text(), nullable=False),
    Index(None, "row_guid"),
    sqlite_autoincrement=True,
)

# What the engine has to remember: one JSON value a key.
sync_state = Table(
    "sync_state",
    metadata,
    Column("key", Text(), primary_key=True),
    Column("value", Document()),
)

# What a row can't say of itself. A row without unsent changes is its own base; `dirty` holds the
# base value of each column that people have changed since, or of every column when they deleted
# the row. `remote_guid` is set where hiTask knows the item by another guid. `missed` counts the
# complete answers in a row that lacked the item.
sync_base = Table(
    "sync_base",
    metadata,
    Column("guid", Text(), primary_key=True),
    Column("table_name", Text(), nullable=False),
    Column("id", BigInteger(), nullable=False, unique=True),
    Column("remote_guid", Text()),
    Column("version", BigInteger()),
    Column("dirty", Document()),
    Column("missed", Integer(), nullable=False, server_default=text("0")),
)
_partial_index(
    "ix_sync_base_remote_guid", sync_base.c.remote_guid, where=sync_base.c.remote_guid.is_not(None)
)
_partial_index("ix_sync_base_dirty", sync_base.c.guid, where=sync_base.c.dirty.is_not(None))
_partial_index("ix_sync_base_missed", sync_base.c.missed, where=sync_base.c.missed > 0)

# What was about to be sent, committed before it was: after a crash or a lost answer, the outcome
# of each is looked up.
sync_intents = Table(
    "sync_intents",
    metadata,
    Column("guid", Text(), primary_key=True),
    Column("table_name", Text(), nullable=False),
    Column("op", Text(), nullable=False),
    Column("sent", Document(), nullable=False),
    Column("last_seq", BigInteger(), nullable=False),
    Column("attempt", Integer(), nullable=False),
    Column("started_at", DateTime(), nullable=False),
)

# What was read of each item's history: `seen_comment_id` is the item's `last_comment_id` at that
# time, `complete` whether the history reached back to the item's creation.
sync_comments = Table(
    "sync_comments",
    metadata,
    Column("item_guid", Text(), primary_key=True),
    Column("seen_comment_id", BigInteger()),
    Column("read_at", Float(), index=True),  # seconds since the epoch
    Column("complete", Boolean(), nullable=False, server_default=false()),
)

# Requests booked lately, so that the budget holds across restarts: each may be made until its lease
# ends, and counts for a minute from then.
sync_requests = Table(
    "sync_requests",
    metadata,
    Column("id", SEQUENCE, primary_key=True, autoincrement=True),
    Column("granted_at", Float(), nullable=False),
    Column("requests", Integer(), nullable=False),
    Column("lease_ends", Float(), nullable=False, server_default=text("0")),
    sqlite_autoincrement=True,
)

# What the requests of the last hour were for and what became of them, by the minute.
sync_usage = Table(
    "sync_usage",
    metadata,
    Column("minute", BigInteger(), primary_key=True, autoincrement=False),
    Column("cause", Text(), primary_key=True),
    Column("outcome", Text(), primary_key=True),
    Column("requests", Integer(), nullable=False),
)

# Scratch of the capture triggers: the row that a REPLACE is about to overwrite.
sync_doomed = Table(
    "sync_doomed",
    metadata,
    Column("table_name", Text(), primary_key=True),
    Column("row_guid", Text(), primary_key=True),
    Column("old_values", Document()),
)

# The engine's mark: while its own transaction holds a row here, nothing is captured. The row
# points at an owner that can't exist, so a transaction that keeps it can't be committed.
sync_mark = Table(
    "sync_mark",
    metadata,
    Column("id", Integer(), primary_key=True),
    Column(
        "owner",
        Integer(),
        ForeignKey("sync_mark.id", deferrable=True, initially="DEFERRED"),
        nullable=False,
    ),
)


def _explain() -> None:
    """Say of each table and column what it means, as engines that keep comments show it."""
    for name, table in metadata.tables.items():
        table.comment = table_meaning(name)
        for column in table.c:
            meaning = column_meaning(name, column.name, is_items=name in ITEM_TABLES)
            instant = meaning and isinstance(column.type, DateTime)
            column.comment = f"{meaning} In UTC." if instant else meaning


_explain()
