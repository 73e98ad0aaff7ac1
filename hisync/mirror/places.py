"""Where rows stand, whatever their cells say, and the few writes that only mending needs.

Public: `Place`, `load_places`, `load_raw`, `last_states`, `log_insert`, `log_unseen_rows`,
`rename_row`, `move_changes`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    RowMapping,
    Table,
    bindparam,
    insert,
    select,
    update,
)

from hisync.mirror import dialects
from hisync.mirror.base import rows_among, write_among
from hisync.mirror.cells import cell_text, to_json
from hisync.mirror.rows import LocalRow, load_rows
from hisync.mirror.tables import ITEM_TABLES, change_log, comments, sync_base, time_entries
from hisync.mirror.time_entries import counted, move_total

_STATES: Final = select(
    change_log.c.table_name, change_log.c.row_guid, change_log.c.state
).order_by(change_log.c.seq)
_MOVING: Final = update(change_log).values(
    table_name=bindparam("new_table"), row_guid=bindparam("new_guid")
)


@dataclass(frozen=True, slots=True)
class Place:
    """One row of an item table: its key, and what its `id` cell says, which may be anything."""

    table: str
    guid: str
    id: Any


def load_places(connection: Connection) -> list[Place]:
    """Every row of the item tables."""
    return [
        Place(name, guid, number)
        for name, table in ITEM_TABLES.items()
        for guid, number in connection.execute(
            select(table.c.guid, dialects.of(connection).raw(table.c.id))
        )
    ]


def load_raw(connection: Connection, row: LocalRow) -> dict[str, str | None]:
    """What the cells of a row hold that can't be read, as text."""
    if not row.unreadable:
        return {}
    target = ITEM_TABLES[row.table]
    columns = [dialects.of(connection).raw(target.c[c]).label(c) for c in row.unreadable]
    found = connection.execute(select(*columns).where(target.c.guid == row.guid)).mappings().one()
    return {column: _text(found[column]) for column in row.unreadable}


def _text(cell: Any) -> str | None:
    if isinstance(cell, bytes):
        return cell.hex()
    text = cell_text(cell)
    # Bytes that are no UTF-8 come as half surrogates, which can't be written again.
    return text and text.encode("utf-8", "backslashreplace").decode()


def last_states(connection: Connection, guids: Iterable[str]) -> dict[tuple[str, str], str]:
    """How the newest change of each of these rows stands, by (table, guid)."""
    newest_last = rows_among(connection, _STATES, change_log.c.row_guid, guids)
    return {(row["table_name"], row["row_guid"]): row["state"] for row in newest_last}


def log_insert(
    connection: Connection, row: LocalRow, raw: Mapping[str, Any], now: datetime
) -> None:
    """Log a row as inserted just now, as the triggers do it: what it says, without the rest."""
    said = {c: to_json(v) for c, v in row.values.items() if v is not None and v is not False}
    _log_cells(connection, row.table, row.guid, {**said, **raw}, now)


def _log_cells(
    connection: Connection, table: str, guid: str, cells: Mapping[str, Any], now: datetime
) -> None:
    connection.execute(
        insert(change_log).values(
            table_name=table, row_guid=guid, op="insert", new_values=cells, changed_at=now
        )
    )


def log_unseen_rows(connection: Connection, now: datetime) -> None:
    """Log each row that hiTask does not know and that no trigger has ever seen as inserted.

    What was changed or deleted unseen shows when hiTask's side is read.
    """
    log = change_log.c
    for name, table in ITEM_TABLES.items():
        seen = select(log.row_guid).where(log.table_name == name)
        known = select(sync_base.c.guid)
        query = select(table.c.guid).where(table.c.guid.not_in(known), table.c.guid.not_in(seen))
        unseen = list(connection.execute(query).scalars())
        for row in load_rows(connection, name, unseen).values():
            log_insert(connection, row, load_raw(connection, row), now)
    # Of these hiTask knows no guid: only what the engine fills in once they are sent tells what is
    # new.
    _log_unseen(connection, comments, comments.c.id.is_(None), now)
    for entry in _log_unseen(connection, time_entries, time_entries.c.time_create.is_(None), now):
        move_total(connection, entry["item_guid"], counted(entry["minutes"]))


def _log_unseen(
    connection: Connection, table: Table, is_new: ColumnElement[bool], now: datetime
) -> list[RowMapping]:
    """Log the new rows of a table that no trigger has ever seen, and return them."""
    log, raw = change_log.c, dialects.of(connection).raw
    seen = select(log.row_guid).where(log.table_name == table.name)
    query = select(*(raw(column).label(column.name) for column in table.c))
    query = query.where(is_new, table.c.guid.not_in(seen))
    unseen = list(connection.execute(query).mappings())
    for row in unseen:
        cells = {str(c): v for c, v in row.items() if c != "guid" and v is not None}
        said = {c: v if isinstance(v, int) else _text(v) for c, v in cells.items()}
        _log_cells(connection, table.name, row["guid"], said, now)
    return unseen


def rename_row(connection: Connection, place: Place, guid: str) -> None:
    """Give a row another key."""
    target = ITEM_TABLES[place.table]
    connection.execute(update(target).where(target.c.guid == place.guid).values(guid=guid))


def move_changes(connection: Connection, seqs: Iterable[int], table: str, guid: str) -> None:
    """Let these changes be of this row."""
    values = {"new_table": table, "new_guid": guid}
    write_among(connection, _MOVING, change_log.c.seq, seqs, values)
