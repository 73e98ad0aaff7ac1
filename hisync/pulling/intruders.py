"""Rows that stand where an item is to go that became one of another kind.

A guid is a row's key in its table only, so that someone may have put a row with the guid of an
item into another table, the very one that the item goes to now. Public: `settle_intruders`.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection

from hisync.change import Change
from hisync.endings import reject
from hisync.engine import Engine
from hisync.mirror import changes, records, rows
from hisync.mirror.places import load_raw
from hisync.mirror.records import RemovedRow
from hisync.mirror.rows import LocalRow
from hisync.plan.proof import was_deleted
from hisync.pulling.shown import Key, Shown


def settle_intruders(
    engine: Engine,
    connection: Connection,
    moving: Iterable[Shown],
    local: dict[Key, LocalRow],
) -> None:
    """Make room for items that change tables.

    Who deleted the item's own row and put one in over there did here what was done on hiTask: that
    is the item's row, with all changes of either, and is added to `local` as such. Any other can't
    stay: it is refused as it would have been beside the item, and kept in `removed_rows`.

    Args:
        engine: the rules and the clock.
        connection: the engine's write transaction.
        moving: items whose tables change.
        local: the rows as they are, by the table that they leave and their guid.
    """
    moving = list(moving)
    there = rows.load_every(connection, [(item.table, item.guid) for item in moving])
    if not there:
        return
    log = changes.unfinished(connection, {guid for _, guid in there})
    for item in moving:
        row = there.get((item.table, item.guid))
        if row is None:
            continue
        key, own = (item.table_before, item.guid), log.get((item.table_before, item.guid), [])
        if key not in local and own and was_deleted(item.table_before, item.dirty, own):
            local[key] = row
            changes.move(connection, item.guid, item.table, to=item.table_before)
        else:
            _refuse(engine, connection, row, log.get((item.table, item.guid), ()))


def _refuse(engine: Engine, connection: Connection, row: LocalRow, log: Iterable[Change]) -> None:
    reason = f"its guid belongs to an item that came to {row.table}"
    values = {**row.values, **load_raw(connection, row)}
    left = RemovedRow(row.table, row.guid, None, values, reason)
    records.record_removed(connection, [left], engine.clock.now())
    reject(engine, connection, row.guid, log, f"{reason}: leave it out to get one of its own")
