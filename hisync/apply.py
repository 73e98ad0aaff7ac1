"""Apply items that hiTask showed to the mirror, inside the transaction that proves them.

The one way in which anything that hiTask says reaches a row: an item of a full read or a delta,
and the answer to a write of ours. The three copies are put side by side, the plan decides, what
it decides for the mirror is written in sets, and what it decides for hiTask stays in the base as
unsent changes. Public: `apply_items`, `Shown`, `Applied`.
"""

from __future__ import annotations

import gc
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final, TypeAlias

from sqlalchemy import Connection

from hisync.adoption import adopt, learn_guid_habit
from hisync.arrival import Arrival, finish_write
from hisync.change import Change
from hisync.endings import end, reject
from hisync.engine import Engine
from hisync.identity import Identities, identify
from hisync.intruders import settle_intruders
from hisync.items import DATE_TYPES, SPENT, Item, Level, Values, fields_of, same_value
from hisync.ledger import (
    carried_entries,
    load_totals,
    reject_entries,
    settle,
    unsent_minutes,
    with_totals,
)
from hisync.mirror import changes, dialects, intents, rows, state
from hisync.mirror.base import Base, base_values, load_bases_by_id
from hisync.mirror.cells import to_json
from hisync.mirror.intents import Intent
from hisync.mirror.records import ConflictRecord
from hisync.mirror.rows import LocalRow
from hisync.plan.actions import Action, InsertRow, RecordConflict, UpdateRow
from hisync.plan.merge import Row, plan_row
from hisync.plan.proof import (
    VANISHED,
    base_after_write,
    columns_edited_after,
    last_edits,
    refused_by_column,
    unsent_columns,
    was_deleted,
)
from hisync.totals import total_arrived
from hisync.writes import Writes, report_conflicts

BATCH: Final = 1000
"""Items that are applied at a time, and held in memory."""

_DATES: Final = {column for column, f in fields_of("tasks").items() if f.type in DATE_TYPES}

Key: TypeAlias = tuple[str, str]
"""Table and guid of a row."""


@dataclass(frozen=True, slots=True)
class Shown:
    """One item that hiTask showed, and the row that it is.

    Attributes:
        item: as decoded.
        guid: the row's key.
        values: its values with the parent named by the row's key.
        base: the row's base, None for one that the mirror did not know.
        intent: a write of ours whose outcome it shows, None if there is none.
    """

    item: Item
    guid: str
    values: Values
    base: Base | None
    intent: Intent | None

    @property
    def table_before(self) -> str:
        """The table that has the row, which an item converted to another kind leaves."""
        if self.base is not None:
            return self.base.table
        return self.intent.table if self.intent is not None else self.item.table

    @property
    def table(self) -> str:
        """The table that it belongs to."""
        return self.item.table

    @property
    def dirty(self) -> Mapping[str, Any]:
        """The base cells of what people changed."""
        return (self.base.dirty if self.base else None) or {}

    @property
    def row(self) -> Values:
        """The whole row as hiTask says it is."""
        return {"guid": self.guid, "id": self.item.id, "archived": False, **self.values}

    def base_after(self, dirty: Collection[str]) -> Base:
        """The base once this is applied and these columns still differ here."""
        fields = fields_of(self.item.table) if dirty else {}
        return Base(
            guid=self.guid,
            table=self.item.table,
            id=self.item.id,
            version=self.values.get("version"),
            dirty={
                column: to_json(self.values.get(column, f.empty))
                for column, f in fields.items()
                if column in dirty
            },
            remote_guid=self.item.guid if self.item.guid != self.guid else None,
        )


@dataclass(slots=True)
class Applied:
    """What was done to the mirror: rows changed, conflicts recorded."""

    changed: int = 0
    conflicts: int = 0


@dataclass(frozen=True, slots=True)
class _View:
    """What the transaction sees of the rows at hand.

    Attributes:
        rows: the rows, with the totals that count.
        overwritten: those of them in which another total stands: someone wrote over it.
        changes: their unfinished changes, oldest first.
        direct: whether the items answer a write.
        had_holes: whether edits may have gone unseen.
        spent: what was looked up about totals with lost answers, by the item's id.
        writes: what is to be written.
    """

    rows: Mapping[Key, LocalRow]
    overwritten: Collection[Key]
    changes: Mapping[Key, Sequence[Change]]
    direct: bool
    had_holes: bool
    spent: Mapping[int, bool]
    writes: Writes = field(default_factory=Writes)


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
    adopted = {}
    if not answering:
        adopted = adopt(connection, items, intents.load_intents(connection))
    applied = Applied()
    done = 0
    with _in_bulk(connection) if len(items) > BATCH else nullcontext():
        for batch in _batches(connection, items, live):
            found = identify(connection, batch, live, answering, adopted)
            _report_duplicates(engine, found)
            _apply_batch(engine, connection, batch, found, answering or {}, spent or {}, applied)
            done += len(batch)
            if not answering:
                engine.progress("applying", done, len(items))
    return applied


@contextmanager
def _in_bulk(connection: Connection) -> Iterator[None]:
    """What makes it cheaper to apply a great many items."""
    pausing = gc.isenabled()
    gc.disable()  # items hold no cycles, and to look for some in each takes a twelfth of the time
    try:
        with dialects.of(connection).many_rows(connection):
            yield
    finally:
        if pausing:
            gc.enable()


def _batches(
    connection: Connection, items: Collection[Item], live: Collection[int] | None
) -> Iterator[Sequence[Item]]:
    """The items in parts that memory holds easily, children that name a parent by id behind it."""
    if len(items) <= BATCH:
        yield list(items)
        return
    if live is None:
        live = {item.id for item in items}
    late: list[Item] = []
    rest = iter(items)
    while part := list(islice(rest, BATCH)):
        children = {
            item.id: item.parent_id
            for item in part
            if item.parent_id is not None
            and item.parent_id in live
            and item.values.get("parent_guid") is None
        }
        # A parent that the mirror knows, from before or from an earlier part, can be found.
        known = load_bases_by_id(connection, set(children.values())) if children else {}
        behind = {number for number, parent in children.items() if parent not in known}
        late += [item for item in part if item.id in behind]
        yield [item for item in part if item.id not in behind]
    while late:
        behind = {item.id for item in late}
        ready = [item for item in late if item.parent_id not in behind] or late
        for start in range(0, len(ready), BATCH):
            yield ready[start : start + BATCH]
        done = {item.id for item in ready}
        late = [item for item in late if item.id not in done]


def _apply_batch(
    engine: Engine,
    connection: Connection,
    items: Sequence[Item],
    found: Identities,
    answering: Mapping[int, Intent],
    spent: Mapping[int, bool],
    applied: Applied,
) -> None:
    pending = intents.load_intents(connection)
    shown = [
        Shown(
            item,
            found.guids[item.id],
            found.values_of(item),
            found.bases.get(item.id),
            pending.get(found.guids[item.id]),
        )
        for item in items
    ]
    for item in items:
        intent = answering.get(item.id)
        if intent is not None and intent.op == "create":
            learn_guid_habit(connection, intent, item)
    view = _load_view(engine, connection, shown, direct=bool(answering), spent=spent)
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
) -> _View:
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
    return _View(
        rows=local,
        overwritten=overwritten,
        changes=changes.unfinished(connection, busy) if busy else {},
        direct=direct,
        had_holes=state.load(connection).had_holes,
        spent=spent,
    )


def _same_total(one: LocalRow, other: LocalRow) -> bool:
    if SPENT in other.unreadable:
        return False
    return (one.values[SPENT] or 0) == (other.values[SPENT] or 0)


def _apply_one(engine: Engine, connection: Connection, shown: Shown, view: _View) -> None:
    local = view.rows.get((shown.table_before, shown.guid))
    dirty = bool(shown.base and shown.base.dirty)
    if dirty and local is None and shown.intent is None and _has_vanished(shown, view):
        log = view.changes.get((shown.table_before, shown.guid), ())
        reject(engine, connection, shown.guid, log, VANISHED)
        dirty = False
    if shown.intent is not None or (dirty if shown.base else local is not None):
        _apply_to_dirty(engine, connection, shown, local, view)
    elif local is None:
        # New here; or it left the table behind the triggers' back, which deletes nothing there.
        waiting = unsent_minutes(connection, shown.guid) if shown.base is not None else 0
        _put_whole(shown, view.writes, waiting=waiting)
    else:
        _apply_to_clean(shown, local, view.writes, had_holes=view.had_holes)


def _has_vanished(shown: Shown, view: _View) -> bool:
    """Whether an edited row is not there without having been deleted."""
    log = view.changes.get((shown.table_before, shown.guid), ())
    return not was_deleted(shown.table_before, shown.dirty, log)


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
    writes.put(shown.item.table, _with_waiting(shown, waiting))
    writes.bases.append(shown.base_after({SPENT} if waiting else {}))


def _with_waiting(shown: Shown, waiting: int) -> Values:
    """A row that comes back, with the minutes of entries that waited while it was gone.

    Without them, what the entries add up to would look like time taken back on hiTask.
    """
    if not waiting:
        return shown.row
    return {**shown.row, SPENT: (shown.values.get(SPENT) or 0) + waiting or None}


def _apply_to_dirty(
    engine: Engine, connection: Connection, shown: Shown, local: LocalRow | None, view: _View
) -> None:
    """People changed the row here, or a write of ours is under way: merge what meets."""
    table, intent = shown.item.table, shown.intent
    log = view.changes.get((shown.table_before, shown.guid), ())
    ours = local.values if local else None
    before = base_values(shown.base, ours) if shown.base else None
    if local is not None and ours is not None and before is not None:
        # What can't be read is no edit to merge; the push refuses it by name.
        ours = {**ours, **{column: before.get(column) for column in local.unreadable}}
    proven: Values | None = before
    spent = False
    if intent is not None:
        spent = _has_spent(shown, intent, before, view)
        if view.direct and SPENT in intent.sent and not spent:
            ours = _refuse_time(engine, connection, shown, intent, ours)
        # A row that has hiTask's number is no new one, even if what was known of it got lost.
        known = local is not None and local.id == shown.item.id
        older = shown.base is None and (known or _maybe_older(intent, shown.values))
        if view.direct or shown.base is not None or not known:
            proven = _proven(
                shown, intent, before, ours, log, direct=view.direct, spent=spent, maybe_older=older
            )
    row = Row(table, proven, ours, shown.values, last_edits(table, log))
    actions = plan_row(row, engine.rules.policy)
    unsent = unsent_columns(table, actions)
    moved = local is not None and local.table != table
    left = local.unreadable if local is not None and moved else {}
    unsent -= left.keys()
    if ours is not None and (shown.table_before, shown.guid) in view.overwritten:
        # Else what someone wrote into the total would be taken for time seen on hiTask.
        view.writes.set(table, shown.guid, {SPENT: ours[SPENT]})
    waiting = 0
    if local is None:
        carried = intent.last_seq if intent is not None and spent else 0
        waiting = unsent_minutes(connection, shown.guid, after=carried)
    _write_plan(connection, shown, local, actions, unsent, waiting, view.writes)
    if left:
        # What can't be read can't be taken along either: refused here as the push would.
        since = intent.last_seq if intent is not None else 0
        later = [change for change in log if change.seq > since]
        end(engine, connection, shown.guid, refused_by_column(later, left))
    if local is not None and local.table == table:
        settled = _agreed(shown, log) - unsent - local.unreadable.keys()
        view.writes.set(table, shown.guid, {c: shown.values[c] for c in settled})
    if intent is not None:
        arrival = Arrival(intent, before, shown.values, log, unsent, view.direct, spent)
        finish_write(engine, connection, arrival)


def _has_spent(shown: Shown, intent: Intent, before: Values | None, view: _View) -> bool:
    """Whether a total that a write sent is part of hiTask's now."""
    looked_up = view.spent.get(shown.item.id)
    return SPENT in intent.sent and total_arrived(
        intent, before, shown.values, direct=view.direct, looked_up=looked_up
    )


def _proven(
    shown: Shown,
    intent: Intent,
    before: Values | None,
    ours: Values | None,
    log: Sequence[Change],
    *,
    direct: bool,
    spent: bool,
    maybe_older: bool,
) -> Values:
    """The base that the outcome of a write proves."""
    table = shown.item.table
    proven = base_after_write(
        table,
        before,
        intent.sent,
        shown.values,
        ours,
        columns_edited_after(table, log, intent.last_seq),
        direct=direct,
        maybe_older=maybe_older,
    )
    if SPENT in intent.sent:
        # Part of hiTask's total, or not: what else people added here is what is left to send.
        proven[SPENT] = (intent.sent if spent else before or {}).get(SPENT)
    return proven


def _agreed(shown: Shown, log: Sequence[Change]) -> set[str]:
    """The columns to be written as hiTask has them where nothing is left to send.

    People may have put the same in other words, or made a day of an instant.
    """
    columns = set(shown.values)
    if shown.intent is not None:
        return columns - columns_edited_after(shown.item.table, log, shown.intent.last_seq)
    said = set(shown.dirty)
    return columns & (said | (_DATES if "is_all_day" in said else set()))


def _refuse_time(
    engine: Engine, connection: Connection, shown: Shown, intent: Intent, ours: Values | None
) -> Values | None:
    """hiTask answered OK and kept the total as it was: the entries are refused, and say why."""
    stored = shown.values.get(SPENT) or 0
    reason = f"hiTask answered OK but kept {stored} minutes: it takes no time spent from outside"
    reject_entries(engine, connection, carried_entries(connection, intent), reason)
    if ours is None:
        return None
    totals = load_totals(engine, connection, [shown.guid]) or {}
    return {**ours, SPENT: totals.get(shown.guid)}


def _lost_columns(shown: Shown, local: LocalRow) -> list[ConflictRecord]:
    """Unsent edits of columns that the item's new kind does not have: kept, since they can't go."""
    dirty = shown.dirty
    homeless = dirty.keys() & fields_of(local.table).keys() - fields_of(shown.item.table).keys()
    homeless -= local.unreadable.keys()  # whose changes are refused, and keep what was written
    return [
        ConflictRecord(
            *(local.table, shown.guid, column, dirty[column], local.values[column], None),
            resolution="remote",
            policy="remote",
        )
        for column in sorted(homeless)
    ]


def _maybe_older(intent: Intent, answered: Values) -> bool:
    """Whether a create may have been answered with an item that was there already."""
    return intent.attempt > 1 or (answered.get("version") or 1) > 1


def _write_plan(
    connection: Connection,
    shown: Shown,
    local: LocalRow | None,
    actions: Sequence[Action],
    unsent: Collection[str],
    waiting: int,
    writes: Writes,
) -> None:
    """Carry out what a plan says about the mirror; the rest waits in the base."""
    table, guid = shown.item.table, shown.guid
    stays = local is not None and local.table == table
    kept = set(unsent) | (set(local.unreadable) if local is not None and stays else set())
    for action in actions:
        match action:
            case InsertRow():
                writes.put(table, _with_waiting(shown, waiting))
                kept |= {SPENT} if waiting else set()
            case UpdateRow(values):
                # A cell that can't be read stays until the push has refused it by name.
                unreadable = local.unreadable if local is not None else {}
                writes.set(table, guid, {c: v for c, v in values.items() if c not in unreadable})
            case RecordConflict():
                writes.conflict(table, guid, action)
            case _:
                pass
    if local is not None and local.id != shown.item.id:
        writes.set(table, guid, {"id": shown.item.id})
    if shown.table_before != table:  # also of a row that was deleted here
        changes.move(connection, guid, shown.table_before, to=table)
    if local is not None and local.table != table:
        writes.conflicts += _lost_columns(shown, local)
        ours = {c: local.values[c] for c in kept if c in local.values and c in fields_of(table)}
        writes.take_out(local.table, guid)
        writes.put(table, {**shown.row, **ours})
    writes.bases.append(shown.base_after(kept))
