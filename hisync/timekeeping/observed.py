"""Time that was seen on hiTask: what a total says and no entry explains is an entry, `observed`.

Public: `settle`, `catch_up`, `add_again`, `take_back`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection

from hisync.engine import Engine
from hisync.items import SPENT, TABLES
from hisync.mirror import base as bases
from hisync.mirror import histories, rows, state, time_entries
from hisync.mirror.base import Base
from hisync.mirror.rows import LocalRow
from hisync.mirror.time_entries import Entry
from hisync.timekeeping.ledger import day_of, unsent_minutes, unsent_minutes_of


def settle(
    engine: Engine,
    connection: Connection,
    guids: Mapping[str, Sequence[str]],
    known: Collection[str],
) -> None:
    """Write down as observed what the totals of these items say and no entry explains.

    Who spent the time, only an item's history can tell: it is to be read for items that were
    known before, not for each that comes with a total.

    Args:
        engine: the rules and the clock.
        connection: the engine's write transaction, in which the totals were just written.
        guids: the items by table.
        known: those that the mirror had already.
    """
    if not engine.rules.time_entries:
        return
    unsettled = [
        item
        for table, wanted in guids.items()
        for item in time_entries.unsettled(connection, table, wanted)
    ]
    if not unsettled:
        return
    memory, entries = state.load(connection), []
    for item in unsettled:
        entries.append(_observed(engine, memory, item.guid, item.missing, item.time_last_update))
        if item.guid in known and engine.rules.comments:
            histories.read_again(connection, item.guid)
    time_entries.insert_entries(connection, entries)


def catch_up(engine: Engine, connection: Connection) -> None:
    """Time entries are kept again: what totals came to meanwhile is written down as observed.

    Before anything is planned: a total counted from entries that lack it would go out as if people
    had taken that time back.
    """
    dirty = bases.load_bases(connection, bases.dirty_guids(connection))
    unsettled = {
        guid for table in TABLES for guid in time_entries.unsettled_guids(connection, table)
    }
    known = bases.load_bases(connection, unsettled) | dirty
    local = rows.load_every(connection, [(base.table, base.guid) for base in known.values()])
    sums, unsent = time_entries.sums(connection, known), unsent_minutes(connection)
    memory, entries = state.load(connection), []
    for base in known.values():
        row = local.get((base.table, base.guid))
        told = sums.get(base.guid, 0) - unsent.get(base.guid, 0)
        if missing := _agreed_total(base, row) - told:
            seen = bases.base_values(base, row.values if row else None).get("time_last_update")
            entries.append(_observed(engine, memory, base.guid, missing, seen))
    time_entries.insert_entries(connection, entries)


def add_again(engine: Engine, connection: Connection, guid: str, minutes: int) -> None:
    """Add to an item what someone's total had and ours went over; the next push sends it."""
    base = bases.load_bases(connection, [guid]).get(guid)
    if base is None:
        return
    # A row that was deleted here may come back: then they are to be sent, too.
    row = rows.load_rows(connection, base.table, [guid]).get(guid)
    entry = _observed(engine, state.load(connection), guid, minutes, None)
    dirty = {SPENT: _agreed_total(base, row), **(base.dirty or {})}
    time_entries.insert_entries(connection, [entry])
    time_entries.move_total(connection, guid, minutes)
    bases.save_bases(connection, [replace(base, dirty=dirty)])
    engine.log.warning("time_added_again", guid=guid, minutes=minutes)


def take_back(engine: Engine, connection: Connection, guid: str) -> None:
    """hiTask refused minutes of nobody's edit, which were added again: they count no more."""
    base = bases.load_bases(connection, [guid]).get(guid)
    row = rows.load_rows(connection, base.table, [guid]).get(guid) if base else None
    if base is None or row is None or not engine.rules.time_entries:
        return
    sums = time_entries.sums(connection, [guid])
    told = sums.get(guid, 0) - unsent_minutes_of(connection, guid)
    if missing := _agreed_total(base, row) - told:
        entry = _observed(engine, state.load(connection), guid, missing, None)
        time_entries.insert_entries(connection, [entry])
        time_entries.move_total(connection, guid, missing)


def _agreed_total(base: Base, row: LocalRow | None) -> int:
    """The total of an item that both sides last agreed on."""
    total: int | None = bases.base_values(base, row.values if row else None).get(SPENT)
    return total or 0


def _observed(
    engine: Engine, memory: state.EngineState, guid: str, minutes: int, at: datetime | None
) -> Entry:
    """An entry for time seen on hiTask, now where it is not known when."""
    when = at or engine.clock.now()
    return Entry(guid, minutes, day_of(engine, memory, when), when)
