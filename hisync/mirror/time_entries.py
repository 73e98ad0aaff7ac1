"""Time entries as the engine reads and writes them, and the totals that they add up to.

Public: `Entry`, `load_entries`, `load_ledger`, `of_any`, `of_item`, `insert_entries`,
`set_entry`, `sums`, `unsettled`, `unsettled_guids`, `Unsettled`, `move_total`, `counted`,
`counted_total`, `before_changes`, `read_day`, `literal_or`, `TABLE`, `Cells`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    LargeBinary,
    Select,
    Text,
    cast,
    func,
    insert,
    literal,
    literal_column,
    or_,
    select,
    type_coerce,
    update,
)
from sqlalchemy.types import NullType

from hisync.change import Change
from hisync.items import MOST_MINUTES, SPENT, fields_of
from hisync.mirror import dialects
from hisync.mirror.base import rows_among
from hisync.mirror.cells import UnreadableCellError, decode_cell
from hisync.mirror.tables import ITEM_TABLES, change_log, time_entries

TABLE: Final = time_entries.name
_CHANGED: Final = fields_of("tasks")["time_last_update"]

Cells = Mapping[str, Any]
"""The raw cells of an entry, by column."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A new entry of the ledger: time seen on hiTask, by nobody known.

    Attributes:
        item_guid: the item whose total it is part of.
        minutes: how many; below zero for time that was taken back.
        spent_on: the day, in the account's zone.
        time_create: when, in UTC.
    """

    item_guid: str
    minutes: int
    spent_on: date
    time_create: datetime


@dataclass(frozen=True, slots=True)
class Unsettled:
    """An item whose total is not what its entries add up to."""

    guid: str
    missing: int
    time_last_update: datetime | None


def read_day(cell: Any) -> date | None:
    """The day that a raw cell of `spent_on` means, with a time behind it or not; None for none."""
    text = str(cell).strip()
    try:
        return None if text.endswith("BC") else date.fromisoformat(text[:10])
    except ValueError:
        return None


def counted(minutes: Any) -> int:
    """What a raw cell of `minutes` counts: 0 where it is no number of minutes."""
    number = counted_total(minutes)
    return number if abs(number) <= MOST_MINUTES else 0


def counted_total(total: Any) -> int:
    """The same of a total: many entries together may be more than one can be."""
    return total if isinstance(total, int) and not isinstance(total, bool) else 0


def load_entries(connection: Connection, guids: Iterable[str]) -> dict[str, Cells]:
    """The raw cells of these entries, those that are there."""
    query = _raw(connection.dialect.name)
    return {
        row["guid"]: {str(column): cell for column, cell in row.items()}
        for row in rows_among(connection, query, time_entries.c.guid, guids)
    }


def load_ledger(connection: Connection, item_guid: str) -> list[Cells]:
    """The raw cells of an item's entries, in the order in which they were made."""
    query = _raw(connection.dialect.name).where(time_entries.c.item_guid == item_guid)
    query = query.order_by(
        time_entries.c.time_create, dialects.of(connection).row_order(time_entries)
    )
    return [{str(k): v for k, v in row.items()} for row in connection.execute(query).mappings()]


@cache
def _raw(dialect: str) -> Select[*tuple[Any, ...]]:
    raw = dialects.named(dialect).raw
    return select(*(raw(column).label(column.name) for column in time_entries.c))


def of_any() -> ColumnElement[bool]:
    """The condition on `change_log` for the changes of entries."""
    return change_log.c.table_name == TABLE


def of_item(item_guid: str) -> ColumnElement[bool]:
    """The condition on `change_log` for the changes of one item's entries."""
    own = select(time_entries.c.guid).where(time_entries.c.item_guid == item_guid)
    log = change_log.c
    return of_any() & or_(
        log.row_guid.in_(own),
        log.old_values["item_guid"].as_string() == item_guid,
        log.new_values["item_guid"].as_string() == item_guid,
    )


def before_changes(now: Cells | None, log: Sequence[Change]) -> dict[str, Any] | None:
    """The cells of an entry before these changes, the newest last; None before it was there."""
    cells = None if now is None else dict(now)
    for change in reversed(log):
        match change.op:
            case "insert":
                cells = None
            case "delete":
                cells = dict(change.old_values)
            case _:
                cells = {**(cells or {}), **change.old_values}
    return cells


def insert_entries(connection: Connection, entries: Sequence[Entry]) -> None:
    """Add entries; the database gives them their guids."""
    if entries:
        rows = [
            {
                "item_guid": entry.item_guid,
                "minutes": entry.minutes,
                "spent_on": entry.spent_on,
                "time_create": entry.time_create,
                "source": "observed",
            }
            for entry in entries
        ]
        connection.execute(insert(time_entries), rows)


def set_entry(connection: Connection, guid: str, cells: Cells) -> None:
    """Set some cells of an entry, as they are stored."""
    if cells:
        raw = {c: literal_or(value) for c, value in cells.items()}
        connection.execute(update(time_entries).where(time_entries.c.guid == guid).values(raw))


def literal_or(value: Any) -> Any:
    """A stored cell to be stored again as it is, whatever type its column converts to."""
    if isinstance(value, str) and not _is_utf8(value):
        return cast(literal(value.encode("utf-8", "surrogateescape"), LargeBinary), Text)
    return type_coerce(value, NullType()) if value is not None else None


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # SQLite lets a client store any bytes as a text
        return False
    return True


def sums(connection: Connection, guids: Iterable[str]) -> dict[str, int]:
    """What the entries of each of these items add up to, for those that have any."""
    query = _sums(connection.dialect.name)
    return {
        row["item_guid"]: int(row["total"] or 0)
        for row in rows_among(connection, query, time_entries.c.item_guid, guids)
    }


@cache
def _sums(dialect: str) -> Select[*tuple[Any, ...]]:
    item = time_entries.c.item_guid
    total: ColumnElement[Any] = func.sum(_counted_minutes(dialect))
    return select(item, total.label("total")).group_by(item)


def unsettled(connection: Connection, table: str, guids: Sequence[str]) -> list[Unsettled]:
    """Which of these items of a table have totals that their entries don't add up to."""
    query = _unsettled(connection.dialect.name, table)
    rows = rows_among(connection, query, ITEM_TABLES[table].c.guid, guids)
    return [Unsettled(row["guid"], row["missing"], _moment(row["changed"])) for row in rows]


def _moment(cell: Any) -> datetime | None:
    """When an item changed; people may have written anything there."""
    try:
        moment: datetime | None = decode_cell(_CHANGED, cell)
    except UnreadableCellError:
        return None
    return moment


def unsettled_guids(connection: Connection, table: str) -> list[str]:
    """All items of a table with totals that their entries don't add up to."""
    rows = connection.execute(_unsettled(connection.dialect.name, table)).mappings()
    return [row["guid"] for row in rows]


@cache
def _unsettled(dialect: str, table: str) -> Select[*tuple[Any, ...]]:
    item = ITEM_TABLES[table].c
    spent = func.coalesce(item[SPENT], 0)
    entries = (
        select(func.coalesce(func.sum(_counted_minutes(dialect)), 0))
        .where(time_entries.c.item_guid == item.guid)
        .correlate(ITEM_TABLES[table])
        .scalar_subquery()
    )
    changed = dialects.named(dialect).raw(item[_CHANGED.column]).label("changed")
    query = select(item.guid, (spent - entries).label("missing"), changed)
    return query.where(spent != entries)


def _counted_minutes(dialect: str) -> ColumnElement[Any]:
    """The minutes of an entry as they count, in SQL."""
    return literal_column(dialects.named(dialect).counted_minutes("minutes"))


def move_total(connection: Connection, item_guid: str, minutes: int) -> None:
    """Add minutes to the total of an item, in whichever table it is."""
    for table in ITEM_TABLES.values():
        total = table.c[SPENT]
        connection.execute(
            update(table)
            .where(table.c.guid == item_guid)
            .values({SPENT: func.coalesce(total, 0) + minutes})
        )
