"""What an item is: its kinds, its fields, and when two values of a field are the same.

Everything on hiTask is an item; its `category` tells the kind, and each kind has a table of one
shape in the mirror. `FIELDS` is the single list from which the wire format, the tables, the
capture triggers and the plan are made. Values are canonical Python: `str`, `int`, `bool`, naive
`datetime` (a UTC instant, or a day at 00:00 for the dates of an all-day item), lists and dicts
for JSON, and `None`.

Public: `Field`, `FieldType`, `Access`, `FIELDS`, `SPENT`, `MOST_MINUTES`, `fields_of`, `Item`,
`Value`, `Values`, `same_value`, `says_nothing`, `as_set`, `on_the_wire`, `derived_guid`, `TABLES`,
`table_of_category`, `category_of_table`, `Level`, `DATE_TYPES`, `JSON_TYPES`.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, IntEnum
from functools import cache, cached_property
from types import MappingProxyType
from typing import Any, Final, TypeAlias

Value: TypeAlias = Any
"""One canonical value of a field; its Python type follows the field's `FieldType`."""

Values: TypeAlias = Mapping[str, Value]
"""Canonical values by column name."""


class FieldType(Enum):
    """How a field's value is written, compared and merged."""

    TEXT = "text"
    INT = "int"
    BOOL = "bool"
    INSTANT = "instant"  # always a UTC instant
    START_DATE = "start_date"  # an instant, or a day when the item is all-day
    END_DATE = "end_date"  # likewise, but a pushed day is written as 23:59
    ID = "id"  # an int where the wire's 0 means nobody
    MINUTES = "minutes"  # minutes here, minutes or hours on the wire
    SET = "set"  # a JSON list that merges as a set
    JSON = "json"


DATE_TYPES: Final = frozenset({FieldType.START_DATE, FieldType.END_DATE})
JSON_TYPES: Final = frozenset({FieldType.SET, FieldType.JSON})


class Access(Enum):
    """Who may write a field: people, people in a new row only, both sides in turn, or hiTask."""

    WRITABLE = "writable"
    ON_CREATE = "on create"
    COUNTED = "counted"  # a total: people write what it adds up, colleagues the total itself
    READ_ONLY = "read-only"


class Level(IntEnum):
    """hiTask's permission levels of the current user on an item (API documentation, Items)."""

    VIEW = 10
    COMMENT = 20
    ADD_CHILDREN = 30
    ASSIGN = 40
    COMPLETE = 50
    MODIFY = 60
    SHARE = 70
    ARCHIVE = 80
    DELETE = 100


TABLES: Final[Mapping[str, int | None]] = MappingProxyType(
    {"projects": 0, "tasks": 1, "events": 2, "notes": 4, "files": 5, "other_items": None}
)
"""Item tables and the wire's `category` of each; `other_items` holds every other category."""

_TABLE_OF_CATEGORY: Final = {number: table for table, number in TABLES.items()}


def table_of_category(category: int) -> str:
    """The table that mirrors items of this category."""
    return _TABLE_OF_CATEGORY.get(category, "other_items")


def category_of_table(table: str) -> int | None:
    """The category that a table holds, or None for `other_items`, whose rows say their own."""
    return TABLES[table]


@dataclass(frozen=True)
class Field:
    """One field of an item.

    Attributes:
        column: its name in the mirror.
        wire: its name in the API.
        type: how it is written, compared and merged.
        access: who may write it.
        level: the permission that a change of it needs on the item.
        tables: the tables that have the column; empty for all.
        zero_is_none: whether hiTask's 0 says the same as nothing.
        never_empty: whether hiTask always has a value, so that an empty cell says nothing.
    """

    column: str
    wire: str
    type: FieldType
    access: Access = Access.WRITABLE
    level: Level = Level.MODIFY
    tables: frozenset[str] = frozenset()
    zero_is_none: bool = False
    never_empty: bool = False

    @property
    def writable(self) -> bool:
        """Whether people may change it in an existing row."""
        return self.access is Access.WRITABLE

    @property
    def hitasks_own(self) -> bool:
        """Whether people can't set it, in a new row either."""
        return self.access in {Access.READ_ONLY, Access.COUNTED}

    @cached_property
    def sendable(self) -> bool:
        """Whether a change of it here goes to hiTask, and one there is more than news."""
        return self.access in {Access.WRITABLE, Access.COUNTED}

    @cached_property
    def empty(self) -> Value:
        """The value of a row that says nothing about this field."""
        return False if self.type is FieldType.BOOL else None


_T = FieldType
_RO = Access.READ_ONLY

FIELDS: Final[tuple[Field, ...]] = (
    Field("title", "title", _T.TEXT),
    Field("message", "message", _T.TEXT),
    Field("parent_guid", "parentGuid", _T.TEXT),
    Field("completed", "completed", _T.BOOL, level=Level.COMPLETE),
    Field("color", "color", _T.INT, zero_is_none=True),
    Field("color_value", "color_value", _T.TEXT, never_empty=True),
    Field("assignee_id", "assignee", _T.ID, level=Level.ASSIGN),
    Field("participants", "participants", _T.SET),
    Field("tags", "tags", _T.SET),
    Field("start_date", "start_date", _T.START_DATE),
    Field("end_date", "end_date", _T.END_DATE),
    Field("due_date", "due_date", _T.END_DATE),
    Field("is_all_day", "is_all_day", _T.BOOL),
    Field("recurring", "recurring", _T.INT, zero_is_none=True),
    Field("recurring_interval", "recurring_interval", _T.INT),
    Field("recurring_end_date", "recurring_end_date", _T.START_DATE),
    Field("alerts", "alerts", _T.JSON),
    Field("priority", "priority", _T.INT, never_empty=True),
    # The documentation leaves open whether a star is the user's own, so seeing the item is enough.
    Field("starred", "starred", _T.BOOL, level=Level.VIEW),
    Field("time_track", "time_track", _T.BOOL),
    Field("time_est_minutes", "time_est", _T.MINUTES),
    Field(
        *("time_spent_minutes", "time_spent", _T.MINUTES, Access.COUNTED),
        level=Level.COMPLETE,
        zero_is_none=True,
    ),
    Field("location", "location", _T.JSON),
    Field("permissions", "permissions", _T.JSON, level=Level.SHARE, never_empty=True),
    Field("archived", "", _T.BOOL, level=Level.ARCHIVE),
    Field("short_name", "short_name", _T.TEXT, tables=frozenset({"projects"})),
    Field("file_size", "file_size", _T.INT, _RO, tables=frozenset({"files"})),
    Field("category", "category", _T.INT, Access.ON_CREATE, tables=frozenset({"other_items"})),
    Field("issue_id", "issue_id", _T.TEXT, _RO),
    Field("owner_id", "user_id", _T.ID, _RO),
    Field("permission", "permission", _T.INT, _RO),
    Field("shared", "shared", _T.BOOL, _RO),
    Field("unread", "unread", _T.INT, _RO),
    Field("version", "version", _T.INT, _RO),
    Field("time_create", "time_create", _T.INSTANT, _RO),
    Field("time_last_update", "time_last_update", _T.INSTANT, _RO),
    Field("last_comment_id", "last_comment_id", _T.INT, _RO),
    Field("extra", "", _T.JSON, _RO),
)


SPENT: Final = "time_spent_minutes"
"""The total of an item's time entries: the one field that is counted."""

MOST_MINUTES: Final = 10**9
"""More in one entry, up or down, is no time that anyone spent (nineteen centuries)."""


@cache
def fields_of(table: str) -> Mapping[str, Field]:
    """The fields of a table by column name, in the order of the columns."""
    return MappingProxyType({f.column: f for f in FIELDS if not f.tables or table in f.tables})


@dataclass(slots=True)  # frozen, to make one takes thrice as long, and they are many
class Item:
    """One item as the API just said it is.

    Attributes:
        id: hiTask's number, the identity there.
        guid: the item's guid, lower case; derived from the id when the wire has none.
        category: the wire's kind.
        values: every column of the item's table but `guid`, `id` and `archived`.
        parent_id: the parent's number, for a wire that names no `parentGuid`; None for none.
    """

    id: int
    guid: str
    category: int
    values: Values
    parent_id: int | None = None

    @property
    def table(self) -> str:
        """The table that mirrors it."""
        return table_of_category(self.category)


def derived_guid(kind: str, key: int | str) -> str:
    """The guid of a thing without one of its own, made of its number or of what it belongs to.

    It is the same on every mirror, and at every try.
    """
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"https://hitask.com/{kind}/{key}"))


def same_value(field: Field, one: Value, other: Value) -> bool:
    """Whether two values of a field mean the same.

    Null, the empty text and the empty list are one ("lossless" is equality after decoding), lists
    that merge as sets have no order, and dates count as the wire has them.
    """
    if one == other:
        # True == 1 in Python: a bool field compares by meaning, the others by value.
        return True
    match field.type:
        case FieldType.SET:
            return as_set(one) == as_set(other)
        case FieldType.BOOL:
            return bool(one) == bool(other)
        case FieldType.TEXT | FieldType.JSON:
            return not one and not other
        case FieldType.INT | FieldType.MINUTES if field.zero_is_none:
            return not one and not other
        case FieldType.START_DATE | FieldType.END_DATE | FieldType.INSTANT:
            return bool(on_the_wire(one) == on_the_wire(other))
        case _:
            return False


def says_nothing(value: Value) -> bool:
    """Whether a value is null, the empty text or an empty list; 0 and false say something."""
    return value is None or value == "" or value == []


def as_set(value: Iterable[Value] | None) -> frozenset[Value]:
    """A list that merges as a set, as one; null is empty."""
    return frozenset(value or ())


def on_the_wire(value: Value) -> Value:
    """What is left of a value after a trip over the wire, whose dates have milliseconds."""
    if isinstance(value, datetime):
        return value.replace(microsecond=value.microsecond // 1000 * 1000)
    return value
