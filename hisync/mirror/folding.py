"""What people changed since the last time, folded into the base before anything looks at it.

The first old value of a column wins: it is what both sides last agreed on. The total of an item's
time entries is no column that people write: what it was is found by going back through the log,
since an entry's own change moves it. Public: `fold_changes`, `mend_numbers`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any, Final

from sqlalchemy import Connection, RowMapping, Select, bindparam, func, select

from hisync.garbage import gc_paused
from hisync.items import SPENT, TABLES, fields_of
from hisync.mirror import dialects, state, time_entries
from hisync.mirror.base import Base, load_bases, rows_among, save_bases
from hisync.mirror.nesting import unnest
from hisync.mirror.tables import ITEM_TABLES, change_log
from hisync.mirror.time_entries import counted, counted_total

_log: Final = change_log.c
# What is finished was folded before; only a lost memory of that makes it look new.
_NEW: Final = (
    select(_log.seq, _log.table_name, _log.row_guid, _log.op, _log.old_values, _log.new_values)
    .where(_log.seq > bindparam("folded"), _log.finished_at.is_(None))
    .order_by(_log.seq)
)


@gc_paused()
def fold_changes(connection: Connection, folded: int) -> None:
    """Fold what was logged since the last time into the base.

    Args:
        connection: the engine's write transaction.
        folded: the newest change that was folded before, as `EngineState.folded_seq` keeps it.
    """
    rows = connection.execute(_NEW, {"folded": folded}).mappings().all()
    if not rows:
        return
    if unnest(connection, rows):
        rows = connection.execute(_NEW, {"folded": folded}).mappings().all()
    moves = _moves(connection, rows)
    items = {row["row_guid"] for row in rows if row["table_name"] in TABLES}
    bases = load_bases(connection, items | {item for item, _ in moves.values()})
    totals = _totals_before(connection, bases, rows, moves)
    changed: dict[str, dict[str, Any]] = {}
    for row in rows:
        guid, _ = moves.get(row["seq"], (row["row_guid"], 0))
        known = bases.get(guid)
        if known is None or (row["op"] == "insert" and row["seq"] not in moves):
            continue
        dirty = changed.setdefault(guid, dict(known.dirty or {}))
        for column, old in _old_cells(known, row, moves):
            dirty.setdefault(column, (totals[guid] or None) if column == SPENT else old)
    save_bases(connection, [replace(bases[guid], dirty=dirty) for guid, dirty in changed.items()])
    state.save(connection, folded_seq=rows[-1]["seq"])


def mend_numbers(connection: Connection, folded: int) -> None:
    """Let the log count on from where it was, and in order, whoever made its sequence.

    And let every other table count on that does.

    A database may have been restored without its sequences, or give numbers out in blocks.

    Args:
        connection: a write transaction.
        folded: as for `fold_changes`.

    Raises:
        SchemaError: if the server can't count in order.
    """
    newest = connection.execute(select(func.max(_log.seq))).scalar_one() or 0
    dialect, last = dialects.of(connection), max(newest, folded)
    in_order = dialect.count_singly(connection, _log.seq)
    if dialect.last_number(connection, _log.seq) < last:
        dialect.count_on(connection, _log.seq, last)
        in_order = False
    if not in_order:
        # What was logged by a low number since would pass for folded. To fold the rest once more
        # changes nothing: the first old value wins.
        state.save(connection, folded_seq=0)
    for table in dialect.tables().values():
        column = table.autoincrement_column
        if column is not None and column is not _log.seq:
            newest = connection.execute(select(func.max(column))).scalar_one() or 0
            if dialect.last_number(connection, column) < newest:
                dialect.count_on(connection, column, newest)


def _old_cells(
    known: Base, row: RowMapping, moves: Mapping[int, tuple[str, int]]
) -> Iterable[tuple[str, Any]]:
    """What one logged change tells of the base: old cells by column."""
    if row["seq"] in moves:
        return [(SPENT, None)]
    if row["table_name"] != known.table:
        return []
    old: Mapping[str, Any] = row["old_values"] or {}
    columns: Iterable[str] = fields_of(known.table) if row["op"] == "delete" else old
    return [(column, old.get(column)) for column in columns]


def _moves(connection: Connection, rows: Sequence[RowMapping]) -> dict[int, tuple[str, int]]:
    """The item whose total each change of an entry moved, and by how many minutes, by number."""
    entries = [row for row in rows if row["table_name"] == time_entries.TABLE]
    if not entries:
        return {}
    items: dict[str, Any] = {
        guid: cells["item_guid"]
        for guid, cells in time_entries.load_entries(
            connection, {row["row_guid"] for row in entries}
        ).items()
    }
    moves: dict[int, tuple[str, int]] = {}
    for row in reversed(entries):  # so that of an entry that is gone its deletion tells the item
        old, new = row["old_values"] or {}, row["new_values"] or {}
        item = old.get("item_guid") or new.get("item_guid") or items.get(row["row_guid"])
        items[row["row_guid"]] = item
        minutes = counted(new.get("minutes")) - counted(old.get("minutes"))
        if item is not None and minutes:
            moves[row["seq"]] = (item, minutes)
    return moves


def _totals_before(
    connection: Connection,
    bases: Mapping[str, Base],
    rows: Sequence[RowMapping],
    moves: Mapping[int, tuple[str, int]],
) -> dict[str, int]:
    """The total of each item before all of these changes."""
    totals = dict.fromkeys(bases, 0) | _totals_now(connection, bases.values())
    for row in reversed(rows):
        guid, minutes = moves.get(row["seq"], (row["row_guid"], 0))
        known = bases.get(guid)
        if known is None:
            continue
        if minutes:
            totals[guid] -= minutes
        elif row["table_name"] == known.table and SPENT in (row["old_values"] or {}):
            totals[guid] = counted_total(row["old_values"][SPENT])
        elif row["table_name"] == known.table and row["op"] != "update":
            totals[guid] = 0  # a REPLACE logs what it replaced right before
    return totals


def _totals_now(connection: Connection, bases: Iterable[Base]) -> dict[str, int]:
    by_table: dict[str, list[str]] = {}
    for base in bases:
        if base.table in ITEM_TABLES:  # damaged books may name another, which `verify` mends
            by_table.setdefault(base.table, []).append(base.guid)
    found: dict[str, int] = {}
    for table, guids in by_table.items():
        query = _spent(table)
        rows = rows_among(connection, query, ITEM_TABLES[table].c.guid, guids)
        found |= {row["guid"]: counted_total(row[SPENT]) for row in rows}
    return found


@cache
def _spent(table: str) -> Select[*tuple[Any, ...]]:
    columns = ITEM_TABLES[table].c
    return select(columns.guid, columns[SPENT])
