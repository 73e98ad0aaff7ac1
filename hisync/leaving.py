"""How a row leaves the mirror: by our own deletion or archiving, or because hiTask lost it.

Its last state goes to `removed_rows`, its base is forgotten, and its changes end. Public: `Leaver`,
`load_leavers`, `leave_by_own_write`, `leave_by_absence`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from hisync.change import Change
from hisync.comments.leaving import leave_with_items
from hisync.endings import end, reject
from hisync.engine import Engine
from hisync.items import Access, Value, Values, fields_of
from hisync.mirror import base as bases
from hisync.mirror import changes, intents, rows
from hisync.mirror.base import Base
from hisync.mirror.intents import Intent
from hisync.mirror.places import load_raw, log_insert
from hisync.mirror.records import RemovedRow
from hisync.mirror.rows import LocalRow
from hisync.plan.actions import Forget, RecordConflict, RemoveRow, SendCreate
from hisync.plan.merge import Row, plan_row
from hisync.plan.proof import Ending, end_changes, last_edits, refused_by_column
from hisync.timekeeping.entries import carried_entries, reject_entries
from hisync.writes import Writes, report_conflicts

GONE = "gone from hiTask"
_PERHAPS = "its item is gone; the answer was lost, so the minutes may have been added there before"
_OUT_OF_SIGHT = "the item was being archived by then: it is in hiTask's archive, not deleted"
_REASONS = {"delete": "deleted here", "archive": "archived here"}


@dataclass(frozen=True, slots=True)
class Leaver:
    """An item that is, or may be, gone.

    Attributes:
        base: its base.
        local: its row, None when people deleted it.
        intent: a write of ours with an unknown outcome.
        log: its unfinished changes, oldest first.
    """

    base: Base
    local: LocalRow | None
    intent: Intent | None
    log: Sequence[Change]

    @property
    def by_own_write(self) -> bool:
        """Whether a deletion or archiving of ours was under way, which explains its absence."""
        return self.intent is not None and self.intent.op in _REASONS

    @property
    def counts(self) -> bool:
        """Whether its removal is the other side's doing: our own don't trip the guard."""
        return self.local is not None and not self.by_own_write


def load_leavers(connection: Connection, known: Iterable[Base]) -> list[Leaver]:
    """Put together what is known of these items."""
    known = list(known)
    local = rows.load_every(connection, [(base.table, base.guid) for base in known])
    pending = intents.load_intents(connection)
    busy = [base.guid for base in known if base.dirty or base.guid in pending]
    log = changes.unfinished(connection, busy) if busy else {}
    return [
        Leaver(
            base,
            local.get((base.table, base.guid)),
            pending.get(base.guid),
            log.get((base.table, base.guid), ()),
        )
        for base in known
    ]


def leave_by_own_write(
    engine: Engine, connection: Connection, leaver: Leaver, intent: Intent
) -> None:
    """hiTask carried out our deletion or archiving."""
    base, local, writes = leaver.base, leaver.local, Writes()
    carried = [change for change in leaver.log if change.seq <= intent.last_seq]
    later = [change for change in leaver.log if change.seq > intent.last_seq]
    values = local.values if local else None
    if values is None or intent.op == "delete":  # what was put in again since is not what left
        values = bases.base_values(base, values)
    writes.forgotten.append(base.guid)
    writes.removed.append(RemovedRow(base.table, base.guid, base.id, values, _REASONS[intent.op]))
    if local is not None and intent.op == "delete":
        writes.set(base.table, base.guid, _as_new(base.table))  # put in again since
    elif local is not None:
        writes.take_out(base.table, base.guid)
        reject(engine, connection, base.guid, later, "the item is archived: restore it first")
    elif intent.op == "archive":
        over = [Ending(change.seq, "merged", _OUT_OF_SIGHT) for change in later]
        end(engine, connection, base.guid, over)
    stays = local is not None and intent.op == "delete"
    stays = stays or base.guid in _put_in_elsewhere(connection, [leaver])
    leave_with_items(engine, connection, {base.guid: stays}, _REASONS[intent.op])
    writes.flush(connection, engine.clock.now())
    end(engine, connection, base.guid, end_changes(carried, sent=True))
    intents.forget_intents(connection, [base.guid])


def leave_by_absence(
    engine: Engine, connection: Connection, leavers: Iterable[Leaver]
) -> tuple[int, int]:
    """It is proven that hiTask shows these items no more.

    Returns:
        How many rows left the mirror, and how many conflicts were recorded.
    """
    writes = Writes()
    again: list[Base] = []
    items: dict[str, bool] = {}
    leavers = list(leavers)
    elsewhere = _put_in_elsewhere(connection, leavers)
    for leaver in leavers:
        if leaver.intent is not None and leaver.by_own_write:
            leave_by_own_write(engine, connection, leaver, leaver.intent)
            continue
        created_anew = _plan_leaving(engine, leaver, writes)
        again += [leaver.base] if created_anew else []
        items[leaver.base.guid] = created_anew or leaver.base.guid in elsewhere
        if leaver.intent is not None:
            if not items[leaver.base.guid]:
                carried = carried_entries(connection, leaver.intent)
                reject_entries(engine, connection, carried, _PERHAPS)
            intents.forget_intents(connection, [leaver.base.guid])
        endings = [Ending(change.seq, "pending") for change in leaver.log]
        if not created_anew:
            endings = _endings(leaver)
        end(engine, connection, leaver.base.guid, endings)
    leave_with_items(engine, connection, items, GONE)
    writes.flush(connection, engine.clock.now())
    _leave_lost_parents(connection, again)
    _log_unlogged(engine, connection, again)
    report_conflicts(engine.log, writes.conflicts)
    return len(writes.removed), len(writes.conflicts)


def _endings(leaver: Leaver) -> list[Ending]:
    """How the changes of a row end that hiTask shows no more.

    What can't be read is in no record of what left: its change is refused, and keeps it.
    """
    unreadable = leaver.local.unreadable if leaver.local is not None else {}
    refused = refused_by_column(leaver.log, unreadable)
    seen = {ending.seq for ending in refused}
    return [*refused, *(Ending(c.seq, "merged", GONE) for c in leaver.log if c.seq not in seen)]


def _put_in_elsewhere(connection: Connection, leavers: Iterable[Leaver]) -> set[str]:
    """The rows that people moved to another table, to be created anew as items of that kind."""
    deleted = {leaver.base.guid for leaver in leavers if leaver.local is None}
    return deleted & rows.parents_of(connection, deleted).keys()


def _leave_lost_parents(connection: Connection, again: Iterable[Base]) -> None:
    """What is created anew can't be under a parent that vanished with it."""
    local = rows.load_every(connection, [(base.table, base.guid) for base in again])
    parents = {key: str(row.values["parent_guid"] or "") for key, row in local.items()}
    there = rows.parents_of(connection, set(parents.values()) - {""})
    for (table, guid), parent in parents.items():
        if parent and parent not in there:
            rows.set_cells(connection, table, guid, {"parent_guid": None})


def _log_unlogged(engine: Engine, connection: Connection, again: Iterable[Base]) -> None:
    """A row that only its time entries had changed has no change of its own to create it by."""
    keys = [(base.table, base.guid) for base in again]
    log = changes.unfinished(connection, [guid for _, guid in keys])
    for row in rows.load_every(connection, [key for key in keys if key not in log]).values():
        log_insert(connection, row, load_raw(connection, row), engine.clock.now())


def _plan_leaving(engine: Engine, leaver: Leaver, writes: Writes) -> bool:
    """Decide what becomes of one row; true if it is created anew on hiTask."""
    base, local = leaver.base, leaver.local
    ours = local.values if local else None
    before = bases.base_values(base, ours)
    if local is not None:
        ours = {**local.values, **{column: before.get(column) for column in local.unreadable}}
    row = Row(base.table, before, ours, None, last_edits(base.table, leaver.log))
    writes.forgotten.append(base.guid)
    created_anew = False
    for action in plan_row(row, engine.rules.policy):
        match action:
            case RemoveRow() | Forget():
                writes.take_out(base.table, base.guid)
                writes.removed.append(
                    RemovedRow(base.table, base.guid, base.id, ours or before, GONE)
                )
            case SendCreate():
                created_anew = True
                writes.set(base.table, base.guid, _as_new(base.table))
            case RecordConflict():
                writes.conflict(base.table, base.guid, action)
            case _:
                pass
    return created_anew


def _as_new(table: str) -> Values:
    """What makes a row one that hiTask has not seen: no id, nothing of what only it writes."""
    own: dict[str, Value] = {
        column: f.empty for column, f in fields_of(table).items() if f.access is Access.READ_ONLY
    }
    return {**own, "id": None}
