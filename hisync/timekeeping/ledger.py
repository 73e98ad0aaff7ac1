"""The ledger of time: what the entries of an item add up to is its total, whatever happens.

hiTask only takes totals. People write entries; triggers move the item's total with them, and the
total then travels like any other field of the item, except that what both sides added counts.
What becomes of an entry's own changes is told by `entries`. Public: `load_totals`, `with_totals`,
`unsent_minutes`, `unsent_minutes_of`, `minutes_to_send`, `added_minutes`, `minutes_in`,
`log_of_item`, `log_of_entries`, `by_entry`, `day_of`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime

from sqlalchemy import Connection

from hisync.change import Change
from hisync.engine import Engine
from hisync.items import SPENT, Values
from hisync.mirror import base as bases
from hisync.mirror import changes, state, time_entries
from hisync.mirror.base import Base
from hisync.mirror.rows import LocalRow
from hisync.mirror.time_entries import Cells, before_changes, counted


def load_totals(
    engine: Engine, connection: Connection, guids: Iterable[str]
) -> dict[str, int] | None:
    """What the entries of these items add up to; None where time entries are not kept."""
    return time_entries.sums(connection, guids) if engine.rules.time_entries else None


def with_totals(
    local: Mapping[tuple[str, str], LocalRow],
    totals: Mapping[str, int] | None,
    known: Mapping[str, Base],
) -> dict[tuple[str, str], LocalRow]:
    """The rows with the totals that count, whatever someone wrote over them.

    Args:
        local: rows by (table, guid).
        totals: what the entries of each add up to; None takes hiTask's word.
        known: their bases by guid.
    """
    counted_rows = {}
    for (table, guid), row in local.items():
        if totals is not None:
            total: int | None = totals.get(guid, 0)
        else:
            base = known.get(guid)
            total = None if base is None else bases.base_values(base, row.values).get(SPENT)
        if not row.unreadable and row.values[SPENT] == (total or None):
            counted_rows[table, guid] = row
            continue
        unreadable = {c: why for c, why in row.unreadable.items() if c != SPENT}
        values = {**row.values, SPENT: total or None}
        counted_rows[table, guid] = replace(row, values=values, unreadable=unreadable)
    return counted_rows


def unsent_minutes(connection: Connection) -> dict[str, int]:
    """What unfinished changes of entries add to each item."""
    return added_minutes(connection, changes.unfinished_where(connection, time_entries.of_any()))


def unsent_minutes_of(connection: Connection, item_guid: str, *, after: int = 0) -> int:
    """What unfinished changes of its entries add to an item; only of those after `after`."""
    log = [change for change in log_of_item(connection, item_guid) if change.seq > after]
    return added_minutes(connection, log).get(item_guid, 0)


def minutes_to_send(
    connection: Connection, item_guid: str, agreed: Values | None, *, kept: bool, after: int = 0
) -> int:
    """The minutes by which what an item's entries add up to is ahead of hiTask's total.

    Args:
        connection: the engine's write transaction.
        item_guid: the item.
        agreed: its base's values, None where it has none: then only the log tells.
        kept: whether time entries are kept; the log alone tells where they are not, too.
        after: the last change that is part of hiTask's total already.
    """
    if agreed is None or not kept:
        return unsent_minutes_of(connection, item_guid, after=after)
    # Minutes that are to be added again are in no change.
    return time_entries.sums(connection, [item_guid]).get(item_guid, 0) - (agreed.get(SPENT) or 0)


def added_minutes(connection: Connection, log: Iterable[Change]) -> dict[str, int]:
    """What changes of entries, the newest of each among them, add to each item."""
    log_of = by_entry(log)
    now, added = time_entries.load_entries(connection, log_of), dict[str, int]()
    for guid, entry_log in log_of.items():
        before = before_changes(now.get(guid), entry_log)
        for cells, sign in ((now.get(guid), 1), (before, -1)):
            item = str((cells or {}).get("item_guid"))
            added[item] = added.get(item, 0) + sign * minutes_in(cells)
    return added


def minutes_in(cells: Cells | None) -> int:
    """What an entry in this state counts; none counts nothing."""
    return counted((cells or {}).get("minutes"))


def log_of_item(connection: Connection, item_guid: str) -> list[Change]:
    """The unfinished changes of an item's entries, oldest first."""
    found = changes.unfinished_where(connection, time_entries.of_item(item_guid))
    # An update's own log line does not name the item: by the entry, all of its changes.
    return log_of_entries(connection, {change.guid for change in found})


def log_of_entries(connection: Connection, guids: Iterable[str]) -> list[Change]:
    """The unfinished changes of these entries, oldest first; other rows may have the same keys."""
    log = changes.unfinished(connection, guids)
    every = [c for (table, _), cs in log.items() if table == time_entries.TABLE for c in cs]
    return sorted(every, key=lambda change: change.seq)


def by_entry(log: Iterable[Change]) -> dict[str, list[Change]]:
    """Changes of entries by the guid of the entry, in their order."""
    found: dict[str, list[Change]] = {}
    for change in log:
        found.setdefault(change.guid, []).append(change)
    return found


def day_of(engine: Engine, memory: state.EngineState, moment: datetime) -> date:
    """The day that a UTC instant is on, in the account's time zone."""
    zone = engine.rules.zone or memory.zone
    try:
        return moment.replace(tzinfo=UTC).astimezone(zone).date()
    except OverflowError:
        return moment.date()  # the first and the last day of the calendar
