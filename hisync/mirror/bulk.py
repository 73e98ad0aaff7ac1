"""Whole rows put into a table, as many as there are, at about the cost that the driver has.

SQLAlchemy makes the statement; what it does for each row of an `executemany` (names, types,
processors) would be a third of a first mirror. Public: `put_rows`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, TypeAlias

import orjson
from sqlalchemy import JSON, Boolean, Column, Connection, DateTime, Dialect, Table
from sqlalchemy.dialects.sqlite import insert

_Column: TypeAlias = tuple[str, Callable[[Any], Any] | None, Any]
"""A column, what makes a cell of its value (None where they are the same), and its empty cell."""


def put_rows(connection: Connection, table: Table, rows: Iterable[Mapping[str, Any]]) -> None:
    """Put rows in, over whatever has their key; columns that are not ours stay as they are.

    Args:
        connection: the engine's write transaction.
        table: one whose key is `guid`.
        rows: their values by column; one that is left out is empty.
    """
    statement, columns = _upsert(table, connection.dialect)
    cells = [_cells(row, columns) for row in rows]
    if cells:
        connection.exec_driver_sql(statement, cells)


def _cells(row: Mapping[str, Any], columns: Sequence[_Column]) -> tuple[Any, ...]:
    get = row.get
    return tuple(
        [
            empty if (value := get(name)) is None else convert(value) if convert else value
            for name, convert, empty in columns
        ]
    )


@cache
def _upsert(table: Table, dialect: Dialect) -> tuple[str, Sequence[_Column]]:
    upsert = insert(table).values({column.name: None for column in table.c})
    compiled = upsert.on_conflict_do_update(
        index_elements=[table.c.guid],
        set_={c.name: upsert.excluded[c.name] for c in table.c if c.name != "guid"},
    ).compile(dialect=dialect)
    columns = [(table.c[name], name) for name in compiled.positiontup or ()]
    return str(compiled), [(name, _converter(column), _empty(column)) for column, name in columns]


def _converter(column: Column[Any]) -> Callable[[Any], Any] | None:
    if isinstance(column.type, JSON):
        return _dump
    return _stored_date if isinstance(column.type, DateTime) else None


def _empty(column: Column[Any]) -> Any:
    return 0 if isinstance(column.type, Boolean) else None


def _dump(value: Any) -> str:
    return orjson.dumps(value).decode()


def _stored_date(value: datetime) -> str:
    return value.isoformat(" ", "microseconds")
