"""Rows of one mirror as another engine takes them, cell by cell.

What people wrote is read raw, since SQLite stores whatever a client gives it, and decoded as the
engine decodes it before it sends it: so it means the same on the other side. What can't be held
there is named if it is still to be sent, and kept as nearly as can be where it is only history.
Public: `Carrier`, `BATCH`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime
from functools import cache
from math import isfinite
from typing import Any, Final

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Date,
    DateTime,
    Integer,
    Table,
    select,
)

from hisync.items import TABLES, Field, FieldType, fields_of
from hisync.mirror import dialects
from hisync.mirror.cells import UnreadableCellError, decode_cell
from hisync.mirror.dialects.documents import Document
from hisync.mirror.tables import EDITED_TABLES, change_log
from hisync.mirror.time_entries import read_day

BATCH: Final = 2000
"""Rows that are in memory at a time."""

_STILL_MEANT: Final = {"sync_base", "sync_intents", "sync_state"}
"""Tables of the machinery whose every value is still needed as it is."""

_PLAIN: Final = {int, bool, datetime, date}
"""What every engine can hold as it is."""

_OWN_KEYS: Final = ("guid", "id", "seq", "key", "item_guid", "minute")


class Carrier:
    """Reads the rows of a mirror for another one.

    Args:
        connection: the transaction on the mirror that they come from.
        backend: SQLAlchemy's name of the engine that they go to.

    Attributes:
        faults: cells that can't be carried, each in a sentence.
        altered: how many cells of what is only history or shown are not quite the same there.
    """

    def __init__(self, connection: Connection, backend: str) -> None:
        self._connection = connection
        self._holds_nul = dialects.named(backend).HOLDS_NUL
        query = select(change_log.c.table_name, change_log.c.row_guid)
        query = query.where(change_log.c.finished_at.is_(None)).distinct()
        self._unsent = {(table, guid) for table, guid in connection.execute(query)}
        self.faults: list[str] = []
        self.altered = 0

    def batches(self, table: Table) -> Iterator[list[dict[str, Any]]]:
        """The rows of a table, in the order in which they were put in, some at a time."""
        dialect = dialects.of(self._connection)
        peoples = table.name in EDITED_TABLES
        columns = [dialect.raw(c).label(c.name) if peoples else c for c in table.c]
        order = dialect.row_order(table) if peoples else next(iter(table.primary_key))
        query = select(*columns).order_by(order).execution_options(yield_per=BATCH)
        names = [column.name for column in table.c]
        with self._connection.execute(query) as result:
            for part in result.partitions(BATCH):
                cells = (dict(zip(names, row, strict=True)) for row in part)
                yield [self._row(table, each, decoded=not peoples) for each in cells]

    def _row(self, table: Table, cells: Mapping[str, Any], *, decoded: bool) -> dict[str, Any]:
        values: dict[str, Any] = {}
        # Dates are read in the light of is_all_day.
        all_day = "is_all_day" in cells and bool(
            self._decode(table, table.c.is_all_day, cells, all_day=False)
        )
        for column in table.c:
            name = column.name
            value = cells[name]
            if value is None and column.nullable:
                values[name] = None
                continue
            if not decoded:
                value = self._decode(table, column, cells, all_day=all_day)
            values[name] = (
                value if type(value) in _PLAIN else self._kept(table, column, cells, value)
            )
        return values

    def _kept(self, table: Table, column: Column[Any], cells: Mapping[str, Any], value: Any) -> Any:
        """A value as the other engine can hold it; told of if that is not quite the same."""
        kept = _portable(value, nul=self._holds_nul)
        if kept is not value:
            self.altered += 1
            if self._matters(table, cells):
                self._blame(table, column, cells, "the other engine can't hold it")
        return kept

    def _decode(
        self, table: Table, column: Column[Any], cells: Mapping[str, Any], *, all_day: bool
    ) -> Any:
        cell = cells[column.name]
        if cell is None:
            if not column.nullable and not isinstance(column.type, Boolean):
                self._blame(table, column, cells, "it must not be empty")
            return None if column.nullable else False
        try:
            if isinstance(column.type, Date):
                return _day(column, cell)
            return decode_cell(_field(table.name, column.name), cell, all_day=all_day)
        except UnreadableCellError as error:
            self._blame(table, column, cells, str(error))
            return None

    def _matters(self, table: Table, cells: Mapping[str, Any]) -> bool:
        """Whether what a row says is still to be sent or compared."""
        if table is change_log:
            return cells["finished_at"] is None
        if table.name in EDITED_TABLES:
            new = "id" in table.c and cells["id"] is None
            return new or (table.name, cells["guid"]) in self._unsent
        return table.name in _STILL_MEANT

    def _blame(
        self, table: Table, column: Column[Any], cells: Mapping[str, Any], reason: str
    ) -> None:
        key = next(name for name in _OWN_KEYS if name in table.c)
        place = f"{table.name}.{column.name} where {key} = {cells[key]!r}"
        self.faults.append(f"{place}: {reason}")


def _day(column: Column[Any], cell: Any) -> date:
    day = read_day(cell)
    if day is None:
        reason = f"{column.name} = {cell!r} can't be read: give a day, YYYY-MM-DD"
        raise UnreadableCellError(reason)
    return day


@cache
def _field(table: str, column: str) -> Field:
    """How a column that people edit is read."""
    if table in TABLES and column in fields_of(table):
        return fields_of(table)[column]
    kind = EDITED_TABLES[table].c[column].type
    for types, meant in _KINDS:
        if isinstance(kind, types):
            return Field(column, "", meant)
    return Field(column, "", FieldType.TEXT)


_KINDS: Final = (
    (Boolean, FieldType.BOOL),
    (Integer, FieldType.INT),
    (DateTime, FieldType.INSTANT),
    (Document, FieldType.JSON),
)


def _portable(value: Any, *, nul: bool) -> Any:
    """A value as every engine can hold it, which is itself nearly always.

    Args:
        value: any, nested or not.
        nul: whether the character NUL may stay.
    """
    match value:
        case str():
            return _text(value, nul=nul)
        case float() if not isfinite(value):
            return str(value)
        case list():
            return _nested(value, lambda: [_portable(one, nul=nul) for one in value])
        case dict():
            return _nested(
                value,
                lambda: {_text(k, nul=nul): _portable(one, nul=nul) for k, one in value.items()},
            )
        case _:
            return value


def _nested(value: Any, made: Callable[[], Any]) -> Any:
    kept = made()
    return value if kept == value else kept  # of two equal ones the same


def _text(text: str, *, nul: bool) -> str:
    if not nul and "\0" in text:
        text = text.replace("\0", "\ufffd")
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode()
    return text
