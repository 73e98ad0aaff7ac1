"""Rows of the item tables: read raw and decoded cell by cell, written in sets.

Public: `LocalRow`, `load_rows`, `load_every`, `upsert_rows`, `insert_rows`, `set_cells`,
`delete_rows`, `children_of`, `parents_of`, `permissions_of`, `is_blank`, `count_rows`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from operator import itemgetter
from typing import Any, Final

from sqlalchemy import (
    Connection,
    Select,
    Table,
    Update,
    bindparam,
    exists,
    func,
    or_,
    select,
    type_coerce,
    union_all,
    update,
)
from sqlalchemy.types import NullType

from hisync.items import Item, Value, Values, fields_of
from hisync.mirror import dialects
from hisync.mirror.base import delete_among, rows_among
from hisync.mirror.cells import UnreadableCellError, decode_cell, decode_row
from hisync.mirror.tables import (
    ITEM_TABLES,
    change_log,
    removed_rows,
    sync_base,
    sync_intents,
    time_entries,
)

_PARENT: Final = fields_of("tasks")["parent_guid"]

# The rows of all item tables, as far as one needs to know to find the way between them.
_ALL: Final = union_all(
    *(
        select(
            t.c.guid, t.c.parent_guid, type_coerce(t.c.permission, NullType()).label("permission")
        )
        for t in ITEM_TABLES.values()
    )
).subquery()
_ANYTHING: Final = select(
    or_(
        *(
            exists(select(1).select_from(t))
            for t in (
                *ITEM_TABLES.values(),
                *(time_entries, removed_rows, change_log, sync_base, sync_intents),
            )
        )
    )
)
_KINSHIP: Final = select(_ALL.c.guid, _ALL.c.parent_guid)
_PERMISSIONS: Final = select(_ALL.c.guid, _ALL.c.permission)


@dataclass(slots=True)  # as `Item`
class LocalRow:
    """One row as people see it.

    Attributes:
        table: its item table.
        guid: its key.
        id: what its `id` cell says, which for a row that people wrote may be anything.
        values: its decoded values, empty where a cell can't be read.
        unreadable: why, by column.
    """

    table: str
    guid: str
    id: Any
    values: Values
    unreadable: Mapping[str, str]


def load_rows(connection: Connection, table: str, guids: Iterable[str]) -> dict[str, LocalRow]:
    """These rows of a table by guid, those that are there."""
    column = ITEM_TABLES[table].c.guid
    query = _raw(connection.dialect.name, table)
    found: dict[str, LocalRow] = {}
    names = ITEM_TABLES[table].c.keys()
    for row in rows_among(connection, query, column, guids):
        # A mapping of SQLAlchemy's would look up each cell once more.
        cells: dict[str, Any] = dict(zip(names, row.values(), strict=True))
        values, unreadable = decode_row(table, cells)
        found[cells["guid"]] = LocalRow(table, cells["guid"], cells["id"], values, unreadable)
    return found


def load_every(
    connection: Connection, keys: Iterable[tuple[str, str]]
) -> dict[tuple[str, str], LocalRow]:
    """The rows at these (table, guid), those that are there."""
    by_table: dict[str, set[str]] = {}
    for table, guid in keys:
        by_table.setdefault(table, set()).add(guid)
    return {
        (table, guid): row
        for table, guids in by_table.items()
        for guid, row in load_rows(connection, table, guids).items()
    }


@cache
def _raw(dialect: str, table: str) -> Select[*tuple[Any, ...]]:
    """All of our columns of a table, not converted: clients store what they like."""
    columns = ITEM_TABLES[table].c
    raw = dialects.named(dialect).raw
    return select(*(raw(column).label(column.name) for column in columns))


def upsert_rows(connection: Connection, table: str, rows: Sequence[Mapping[str, Value]]) -> None:
    """Put whole rows in, over whatever has their guid; users' own columns stay as they are.

    Args:
        connection: the engine's write transaction.
        table: the item table.
        rows: each with `guid`, `id` and every column of the table.
    """
    dialects.of(connection).upsert_rows(connection, ITEM_TABLES[table], rows)


def insert_rows(connection: Connection, table: str, items: Iterable[Item]) -> None:
    """Put the rows of items in that are in no table yet.

    Raises:
        IntegrityError: if one of them is.
    """
    columns, pick = _picking(table)
    cells = ([item.guid, item.id, False, *pick(item.values)] for item in items)
    dialects.of(connection).insert_rows(connection, ITEM_TABLES[table], columns, cells)


@cache
def _picking(table: str) -> tuple[tuple[str, ...], Callable[[Values], tuple[Value, ...]]]:
    """The columns of an item's row, and what picks those of its values out of them."""
    values = [column for column in fields_of(table) if column != "archived"]
    return ("guid", "id", "archived", *values), itemgetter(*values)


def set_cells(connection: Connection, table: str, guid: str, values: Mapping[str, Value]) -> None:
    """Set some columns of one row."""
    if values:
        places = {f"new_{column}": value for column, value in values.items()}
        connection.execute(_setting(table, tuple(sorted(values))), {"key": guid, **places})


@lru_cache(maxsize=256)
def _setting(table: str, columns: tuple[str, ...]) -> Update:
    """The statement that sets these columns of a row; made once, since few sets are ever set."""
    target = ITEM_TABLES[table]
    places = {column: bindparam(f"new_{column}", type_=target.c[column].type) for column in columns}
    return update(target).where(target.c.guid == bindparam("key")).values(places)


def delete_rows(connection: Connection, table: str, guids: Iterable[str]) -> None:
    """Take rows out of a table."""
    delete_among(connection, ITEM_TABLES[table].c.guid, guids)


def children_of(connection: Connection, guids: Iterable[str]) -> dict[str, list[str]]:
    """The guids of the rows whose parent each of these is, by parent."""
    found: dict[str, list[str]] = {}
    for row in rows_among(connection, _KINSHIP, _ALL.c.parent_guid, guids):
        found.setdefault(row["parent_guid"], []).append(row["guid"])
    return found


def parents_of(connection: Connection, guids: Iterable[str]) -> dict[str, str | None]:
    """The parent of each of these rows, and of those in turn, up to the roots.

    A guid that is in no table is not among the keys.
    """
    known: dict[str, str | None] = {}
    wanted = set(guids)
    while wanted:
        found = rows_among(connection, _KINSHIP, _ALL.c.guid, wanted)
        known.update((row["guid"], _key(row["parent_guid"])) for row in found)
        wanted = {parent for parent in known.values() if parent} - known.keys() - wanted
    return known


def permissions_of(connection: Connection, guids: Iterable[str]) -> dict[str, int | None]:
    """The permission that this account has on each of these rows, None where it is not known."""
    return {
        row["guid"]: row["permission"] if isinstance(row["permission"], int) else None
        for row in rows_among(connection, _PERMISSIONS, _ALL.c.guid, guids)
    }


def _key(parent: Any) -> str | None:
    """The guid that a raw `parent_guid` cell names; one that can't be read names none."""
    try:
        key: str | None = decode_cell(_PARENT, parent)
    except UnreadableCellError:
        return None
    return key


def is_blank(connection: Connection) -> bool:
    """Whether there is nothing yet that an item could be, belong to or meet: at a first mirror."""
    return not connection.execute(_ANYTHING).scalar_one()


def count_rows(connection: Connection, tables: Mapping[str, Table] = ITEM_TABLES) -> Counter[str]:
    """How many rows each item table has, or each of these tables."""
    return Counter(
        {
            name: connection.execute(select(func.count()).select_from(table)).scalar_one()
            for name, table in tables.items()
        }
    )
