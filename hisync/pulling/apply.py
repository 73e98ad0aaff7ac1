"""Apply items that hiTask showed to the mirror, inside the transaction that proves them.

The one way in which anything that hiTask says reaches a row: an item of a full read or a delta,
and the answer to a write of ours. The three copies are put side by side, the plan decides, what
it decides for the mirror is written in sets, and what it decides for hiTask stays in the base as
unsent changes. Public: `apply_items`, `Applied`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

from sqlalchemy import Connection

from hisync.api import size_of
from hisync.endings import reject
from hisync.engine import Engine
from hisync.items import SPENT, Item, Level, fields_of, same_value
from hisync.mirror import changes, intents, rows, state
from hisync.mirror.intents import Intent
from hisync.mirror.records import ConflictRecord
from hisync.mirror.rows import LocalRow
from hisync.plan.proof import VANISHED, was_deleted
from hisync.pulling import bulk
from hisync.pulling.adoption import adopt, learn_guid_habit
from hisync.pulling.first import put_first
from hisync.pulling.identity import Identities, identify
from hisync.pulling.intruders import settle_intruders
from hisync.pulling.merging import merge_row
from hisync.pulling.shown import Key, Shown, View
from hisync.timekeeping.ledger import load_totals, unsent_minutes, with_totals
from hisync.timekeeping.observed import settle
from hisync.writes import Writes, report_conflicts


@dataclass(slots=True)
class Applied:
    """What was done to the mirror: rows changed, conflicts recorded."""

    changed: int = 0
    conflicts: int = 0


def apply_items(
    engine: Engine,
    connection: Connection,
    items: Collection[Item],
    *,
    live: Collection[int] | None,
    answering: Mapping[int, Intent] | None = None,
    spent: Mapping[int, bool] | None = None,
) -> Applied:
    """Bring the rows of these items to what hiTask says, unsent changes kept.

    Args:
        engine: the rules and the clock.
        connection: the engine's write transaction.
        items: whole items.
        live: the ids of all items of the account where they are known, None where not.
        answering: the writes that `items` answer, by the item's id; None when they were read.
        spent: what was looked up about totals with lost answers, by the item's id.
    """
    size = size_of(items)
    many = size is None or size > bulk.BATCH
    blank = size != 0 and not answering and rows.is_blank(connection)
    adopted = {}
    if not answering and not blank:
        adopted = adopt(connection, items, intents.load_intents(connection))
    applied = Applied()
    done = 0

    def tell(count: int) -> None:
        nonlocal done
        done += count
        if not answering:
            engine.progress("applying", done, size)

    def left_by_first() -> Iterator[Sequence[Item]]:
        for part in bulk.in_parts(items, bulk.BATCH_AT_FIRST):
            put, left = put_first(engine, connection, part)
            applied.changed += put
            tell(put)
            yield left

    with bulk.cheaply(connection, blank=blank) if many else nullcontext():
        parts = left_by_first() if blank else map(list, bulk.in_parts(items, bulk.BATCH))
        for batch in bulk.parents_first(connection, parts, items, live) if many else parts:
            if batch:
                found = identify(connection, batch, live, answering, adopted)
                _report_duplicates(engine, found)
                shown = _put_beside(connection, batch, found, answering or {})
                direct = bool(answering)
                view = _load_view(engine, connection, shown, direct=direct, spent=spent or {})
                _apply_batch(engine, connection, shown, view, applied)
                tell(len(batch))
    return applied


def _put_beside(
    connection: Connection,
    items: Sequence[Item],
    found: Identities,
    answering: Mapping[int, Intent],
) -> list[Shown]:
    """The items with the rows that they are."""
    pending = intents.load_intents(connection)
    for item in items:
        intent = answering.get(item.id)
        if intent is not None and intent.op == "create":
            learn_guid_habit(connection, intent, item)
    return [
        Shown(
            item,
            found.guids[item.id],
            found.values_of(item),
            found.bases.get(item.id),
            pending.get(found.guids[item.id]),
        )
        for item in items
    ]


def _apply_batch(
    engine: Engine, connection: Connection, shown: Sequence[Shown], view: View, applied: Applied
) -> None:
    for one in shown:
        _apply_one(engine, connection, one, view)
    view.writes.flush(connection, engine.clock.now())
    by_table: dict[str, list[str]] = {}
    for one in shown:
        by_table.setdefault(one.item.table, []).append(one.guid)
    settle(engine, connection, by_table, {one.guid for one in shown if one.base is not None})
    report_conflicts(engine.log, view.writes.conflicts)
    applied.changed += view.writes.rows_touched
    applied.conflicts += len(view.writes.conflicts)


def _report_duplicates(engine: Engine, found: Identities) -> None:
    for guid, ids in found.duplicates.items():
        engine.log.warning("duplicate_guid", guid=guid, ids=ids)


def _load_view(
    engine: Engine,
    connection: Connection,
    shown: Sequence[Shown],
    *,
    direct: bool,
    spent: Mapping[int, bool],
) -> View:
    keys = {(s.table_before, s.guid) for s in shown}
    local = rows.load_every(connection, keys)
    moving = [s for s in shown if s.table_before != s.table]
    if moving:
        settle_intruders(engine, connection, moving, local)
    # Only what is dirty or in flight has changes to look at.
    unsettled = [s for s in shown if s.base is None or s.base.dirty or s.intent]
    busy = [s.guid for s in unsettled]
    written = {(s.table_before, s.guid) for s in unsettled} & local.keys()
    overwritten: list[Key] = []
    if written:
        known = {s.guid: s.base for s in unsettled if s.base is not None}
        totals = load_totals(engine, connection, busy)
        counted = with_totals({key: local[key] for key in written}, totals, known)
        overwritten = [key for key, row in counted.items() if not _same_total(row, local[key])]
        local |= counted
    memory = state.load(connection)
    return View(
        rows=local,
        overwritten=overwritten,
        changes=changes.unfinished(connection, busy) if busy else {},
        direct=direct,
        had_holes=memory.had_holes,
        accepted=(memory.accepted or {}).keys(),
        spent=spent,
        waiting={} if keys <= local.keys() else unsent_minutes(connection),
    )


def _same_total(one: LocalRow, other: LocalRow) -> bool:
    if SPENT in other.unreadable:
        return False
    return (one.values[SPENT] or 0) == (other.values[SPENT] or 0)


def _apply_one(engine: Engine, connection: Connection, shown: Shown, view: View) -> None:
    local = view.rows.get((shown.table_before, shown.guid))
    dirty = bool(shown.base and shown.base.dirty)
    if dirty and local is None and shown.intent is None and _has_vanished(shown, view):
        reject(engine, connection, shown.guid, view.log_of(shown), VANISHED)
        dirty = False
    if shown.intent is not None or (dirty if shown.base else local is not None):
        merge_row(engine, connection, shown, local, view)
    elif local is None:
        # New or back here, where time may wait for it; or it left the table behind the triggers'
        # back, which deletes nothing there.
        _put_whole(shown, view.writes, waiting=view.waiting.get(shown.guid, 0))
    else:
        _apply_to_clean(shown, local, view.writes, had_holes=view.had_holes)


def _has_vanished(shown: Shown, view: View) -> bool:
    """Whether an edited row is not there without having been deleted."""
    return not was_deleted(shown.table_before, shown.dirty, view.log_of(shown))


def _apply_to_clean(shown: Shown, local: LocalRow, writes: Writes, *, had_holes: bool) -> None:
    """Nobody changed the row here: it becomes what hiTask says, if it isn't already."""
    moved = local.table != shown.item.table
    differs = local.id != shown.item.id or any(
        not same_value(f, local.values[column], shown.values.get(column, f.empty))
        for column, f in fields_of(local.table).items()
    )
    if moved:
        writes.take_out(local.table, local.guid)
    if had_holes:
        writes.conflicts += _unseen_edits(shown, local)
    if moved or differs or local.unreadable:
        _put_whole(shown, writes)
    elif shown.base is not None and shown.base.missed:
        writes.bases.append(shown.base_after({}))


def _unseen_edits(shown: Shown, local: LocalRow) -> list[ConflictRecord]:
    """What differs although hiTask has not changed: written while a trigger was missing."""
    base, columns = shown.base, ("version", "time_last_update")
    if base is None or base.version is None or local.table != shown.item.table:
        return []
    seen = (base.version, local.values["time_last_update"])
    if seen != tuple(shown.values.get(column) for column in columns):
        return []
    return [
        ConflictRecord(
            *(local.table, shown.guid, column, theirs, local.values[column], theirs),
            resolution="remote",
            policy="remote",
        )
        for column, f in fields_of(local.table).items()
        # A star is each user's own, and hiTask may not count it as a change.
        if f.writable
        and f.level is not Level.VIEW
        and column not in {*local.unreadable, "archived"}
        if not same_value(f, local.values[column], theirs := shown.values.get(column, f.empty))
    ]


def _put_whole(shown: Shown, writes: Writes, *, waiting: int = 0) -> None:
    writes.put(shown.item.table, shown.row_with(waiting))
    writes.bases.append(shown.base_after({SPENT} if waiting else {}))
