"""Rows and keys by the thousand, and cells as they are stored, in SQLite's way.

Rows go in at about the cost that the driver has: SQLAlchemy makes the statement, but what it does
for each row of an `executemany` (names, types, processors) would be a third of a first mirror.
Public: `insert`, `upsert_rows`, `insert_rows`, `many_rows`, `fill`, `last_number`, `count_on`,
`count_singly`, `is_listed`, `as_list`, `as_one_cell`, `raw`, `logged_cell`, `row_order`,
`HOLDS_NUL`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from operator import itemgetter
from typing import Any, Final, TypeAlias

import orjson
from sqlalchemy import (
    BindParameter,
    Boolean,
    Column,
    ColumnElement,
    Connection,
    DateTime,
    Dialect,
    Table,
    Text,
    cast,
    func,
    literal,
    literal_column,
    select,
    type_coerce,
)
from sqlalchemy.dialects.sqlite import Insert
from sqlalchemy.types import NullType

from hisync.mirror.cells import stored_date
from hisync.mirror.dialects.documents import Document

HOLDS_NUL: Final = True

_USUAL_CACHE: Final = 2000
"""KiB of pages that a connection keeps: SQLite's own choice, and as much as a daemon should."""

_LARGE_CACHE: Final = 16000


_Converters: TypeAlias = Sequence[tuple[int, Callable[[Any], str]]]
"""Where a value is not stored as it is, and what makes a cell of it."""


@dataclass(frozen=True, slots=True)
class _Upsert:
    """How rows get into one table.

    Attributes:
        statement: takes the cells of one row by position.
        empty: what a row has that says nothing.
        pick: the values of a row in the order of the statement.
        converters: what makes cells of values.
    """

    statement: str
    empty: Mapping[str, Any]
    pick: Callable[[Mapping[str, Any]], tuple[Any, ...]]
    converters: _Converters


def insert(table: Table) -> Insert:
    """An INSERT that can say what happens where the key is there already."""
    return Insert(table)


def upsert_rows(connection: Connection, table: Table, rows: Iterable[Mapping[str, Any]]) -> None:
    """Put rows in, over whatever has their key; columns that are not ours stay as they are.

    Args:
        connection: the engine's write transaction.
        table: one whose key is `guid`.
        rows: their values by column; one that is left out is empty.
    """
    upsert = _upsert(table, connection.dialect)
    cells = [_cells(upsert, row) for row in rows]
    if cells:
        connection.exec_driver_sql(upsert.statement, cells)


def insert_rows(
    connection: Connection, table: Table, columns: tuple[str, ...], rows: Iterable[list[Any]]
) -> None:
    """Put rows in none of which is there yet: values for these columns, defaults for the others."""
    statement, converters = _insertion(table, columns)
    cells = [_stored(row, converters) for row in rows]
    if cells:
        connection.exec_driver_sql(statement, cells)


@cache
def _insertion(table: Table, columns: tuple[str, ...]) -> tuple[str, _Converters]:
    """The statement that takes these cells of one row, and what makes a cell of a value."""
    places = ", ".join("?" * len(columns))
    statement = f"INSERT INTO {table.name} ({', '.join(columns)}) VALUES ({places})"
    return statement, _converters(table, columns)


def _cells(upsert: _Upsert, row: Mapping[str, Any]) -> tuple[Any, ...]:
    whole = row if len(row) == len(upsert.empty) else {**upsert.empty, **row}
    return _stored(list(upsert.pick(whole)), upsert.converters)


def _stored(cells: list[Any], converters: _Converters) -> tuple[Any, ...]:
    """The values of a row as its cells, in place."""
    for place, convert in converters:
        if cells[place] is not None:
            cells[place] = convert(cells[place])
    return tuple(cells)


@cache
def _upsert(table: Table, dialect: Dialect) -> _Upsert:
    upsert = insert(table).values({column.name: None for column in table.c})
    compiled = upsert.on_conflict_do_update(
        index_elements=[table.c.guid],
        set_={c.name: upsert.excluded[c.name] for c in table.c if c.name != "guid"},
    ).compile(dialect=dialect)
    names = list(compiled.positiontup or ())
    return _Upsert(
        str(compiled),
        {c.name: False if isinstance(c.type, Boolean) else None for c in table.c},
        itemgetter(*names),
        _converters(table, names),
    )


def _converters(table: Table, names: Sequence[str]) -> _Converters:
    each = ((place, _converter(table.c[name])) for place, name in enumerate(names))
    return [(place, convert) for place, convert in each if convert is not None]


def _converter(column: Column[Any]) -> Callable[[Any], str] | None:
    if isinstance(column.type, Document):
        return _dump
    return stored_date if isinstance(column.type, DateTime) else None


def _dump(value: Any) -> str:
    return orjson.dumps(value).decode()


def is_listed(column: ColumnElement[Any], keys: BindParameter[Any]) -> ColumnElement[bool]:
    """The condition that a column is in a list, which comes as one parameter."""
    each = func.json_each(keys).table_valued("value")
    return column.in_(select(each.c.value))


@contextmanager
def many_rows(connection: Connection) -> Iterator[None]:
    """Room for the indexes of a great many rows, which have none in the usual page cache."""
    connection.exec_driver_sql(f"PRAGMA cache_size = {-_LARGE_CACHE}")
    try:
        yield
    finally:
        connection.exec_driver_sql(f"PRAGMA cache_size = {-_USUAL_CACHE}")


def fill(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Put rows into any table, none of which is there yet."""
    if rows:  # of none, SQLAlchemy makes one row of defaults
        connection.execute(insert(table), list(map(dict, rows)))


def last_number(connection: Connection, column: Column[Any]) -> int:
    """The highest number that a column which counts up ever gave, 0 for none."""
    query = "SELECT seq FROM sqlite_sequence WHERE name = ?"
    row = connection.exec_driver_sql(query, (column.table.name,)).first()
    return int(row[0]) if row else 0


def count_on(connection: Connection, column: Column[Any], last: int) -> None:
    """Let a column that counts up give only numbers above one."""
    name = column.table.name
    connection.exec_driver_sql("DELETE FROM sqlite_sequence WHERE name = ?", (name,))
    connection.exec_driver_sql("INSERT INTO sqlite_sequence VALUES (?, ?)", (name, last))


def count_singly(connection: Connection, column: Column[Any]) -> bool:
    """Nothing to do: here nobody has numbers in stock."""
    del connection, column
    return True


def as_list(keys: Sequence[Any]) -> str | None:
    """The parameter for `is_listed`, None where JSON has no form for one of the keys."""
    try:
        listed = orjson.dumps(list(keys)).decode()
    except TypeError:  # what people wrote into a key may be anything
        return None
    return None if "\\u0000" in listed else listed  # at which json_each ends a text


def as_one_cell(column: ColumnElement[int]) -> ColumnElement[str]:
    """All values of a column of whole numbers, as the text of a JSON list."""
    return func.json_group_array(column)


def raw(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """A cell as it is stored, not converted: clients store what they like."""
    return type_coerce(column, NullType())


def logged_cell(value: Any, *, is_json: bool, is_bool: bool) -> ColumnElement[Any]:
    """What `change_log` says of a cell, to be stored again, whatever type the column has."""
    if is_bool and (value is None or isinstance(value, bool)):
        return literal(int(value or False))
    if not isinstance(value, str):
        return literal(orjson.dumps(value).decode() if is_json and value is not None else value)
    try:
        value.encode()
    except UnicodeEncodeError:
        return cast(literal(value.encode("utf-8", "surrogateescape")), Text)
    return literal(value)


def row_order(table: Table) -> ColumnElement[Any]:
    """The order in which rows were put in."""
    del table
    return literal_column("rowid")
