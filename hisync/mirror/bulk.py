"""Whole rows put into a table, as many as there are, at about the cost that the driver has.

SQLAlchemy makes the statement; what it does for each row of an `executemany` (names, types,
processors) would be a third of a first mirror. Public: `put_rows`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from operator import itemgetter
from typing import Any

import orjson
from sqlalchemy import JSON, Boolean, Column, Connection, DateTime, Dialect, Table
from sqlalchemy.dialects.sqlite import insert


@dataclass(frozen=True, slots=True)
class _Upsert:
    """How rows get into one table.

    Attributes:
        statement: takes the cells of one row by position.
        empty: what a row has that says nothing.
        pick: the values of a row in the order of the statement.
        converters: where a value is not stored as it is, and what makes a cell of it.
    """

    statement: str
    empty: Mapping[str, Any]
    pick: Callable[[Mapping[str, Any]], tuple[Any, ...]]
    converters: Sequence[tuple[int, Callable[[Any], str]]]


def put_rows(connection: Connection, table: Table, rows: Iterable[Mapping[str, Any]]) -> None:
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


def _cells(upsert: _Upsert, row: Mapping[str, Any]) -> tuple[Any, ...]:
    cells = list(upsert.pick({**upsert.empty, **row}))
    for place, convert in upsert.converters:
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
    converters = ((place, _converter(table.c[name])) for place, name in enumerate(names))
    return _Upsert(
        str(compiled),
        {c.name: False if isinstance(c.type, Boolean) else None for c in table.c},
        itemgetter(*names),
        [(place, convert) for place, convert in converters if convert is not None],
    )


def _converter(column: Column[Any]) -> Callable[[Any], str] | None:
    if isinstance(column.type, JSON):
        return _dump
    return _stored_date if isinstance(column.type, DateTime) else None


def _dump(value: Any) -> str:
    return orjson.dumps(value).decode()


def _stored_date(value: datetime) -> str:
    return value.isoformat(" ", "microseconds")
