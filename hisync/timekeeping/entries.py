"""The changes of time entries: which are refused, and which a total carries to hiTask.

An entry has no request of its own: its item's total is what is sent. So a change of one ends when a
total that it is part of has arrived, or is refused here, and taken back, if no total can carry it.
Public: `check_entries`, `carried_entries`, `finish_entries`, `reject_entries`, `undo_entry`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection

from hisync.change import Change
from hisync.comment import COMMENTS
from hisync.endings import block, end, reject
from hisync.engine import Engine
from hisync.items import MOST_MINUTES, SPENT, derived_guid, fields_of
from hisync.mirror import base as bases
from hisync.mirror import changes, edited, intents, records, rows, state, time_entries
from hisync.mirror.cells import UnreadableCellError, decode_cell, stored_date
from hisync.mirror.intents import Intent
from hisync.mirror.records import RemovedRow
from hisync.mirror.time_entries import Cells, before_changes
from hisync.plan.checks import cells_said
from hisync.plan.proof import end_changes
from hisync.timekeeping.ledger import (
    added_minutes,
    by_entry,
    day_of,
    log_of_entries,
    log_of_item,
    minutes_in,
)

_READ_ONLY: Final = ("source", "time_create")
_WIRE: Final = fields_of("tasks")[SPENT].wire
_CREATED: Final = fields_of("tasks")["time_create"]
_NOT_THERE_YET: Final = "its item is not on hiTask yet"


def check_entries(
    engine: Engine, connection: Connection, item_guid: str | None = None
) -> dict[str, list[Change]]:
    """End the changes of entries that no request can carry.

    Args:
        engine: the rules and the clock.
        connection: the engine's write transaction.
        item_guid: only the entries of this item; None for all.

    Returns:
        The others by the guid of their item, which hiTask knows and no write is under way to.
    """
    found = (
        log_of_item(connection, item_guid)
        if item_guid is not None
        else changes.unfinished_where(connection, time_entries.of_any())
    )
    log = by_entry(_part_moved(connection, found))
    if not log:
        return {}
    now = time_entries.load_entries(connection, log)
    before = {guid: before_changes(now.get(guid), log[guid]) for guid in log}
    items = {guid: _item_of(now.get(guid), before[guid], log[guid]) for guid in log}
    named = {str(item) for item in items.values() if item is not None}
    standing = _Standing(engine, connection, named)
    left: dict[str, list[Change]] = {}
    for guid, entry_log in log.items():
        item = str(items[guid])
        if item in standing.pending:
            continue
        reason = standing.why_not(item, now.get(guid), before[guid], entry_log)
        if reason:
            _undo(engine, connection, guid, now.get(guid), before[guid])
            reject(engine, connection, guid, entry_log, reason)
        elif minutes_in(now.get(guid)) == minutes_in(before[guid]):
            _fill_in(engine, connection, now.get(guid), before[guid], entry_log)
            _finish(engine, connection, guid, entry_log, sent=guid in now)
        else:
            _fill_in(engine, connection, now.get(guid), before[guid], entry_log)
            if item in standing.known:
                left.setdefault(item, []).extend(entry_log)
            else:
                block(engine, connection, entry_log, _NOT_THERE_YET)
    return _within_bounds(engine, connection, left)


def _item_of(now: Cells | None, before: Cells | None, log: Sequence[Change]) -> str | None:
    """The item of an entry; of one that came and went, the log alone knows it."""
    return ((now or before or log[0].new_values) or {}).get("item_guid")


def _part_moved(connection: Connection, log: Sequence[Change]) -> list[Change]:
    """Give the past of an entry that was put in anew on another item a key of its own.

    What leaves one item and comes to another is part of two totals, and hiTask may take one and
    refuse the other: so these are two entries, one deleted and one new.
    """
    parted: list[Change] = []
    for guid, entry_log in by_entry(log).items():
        past: list[Change] = []
        for change in entry_log:
            left = past[-1].old_values if past and past[-1].op == "delete" else {}
            came = change.new_values.get("item_guid")
            if left and change.op == "insert" and came != left.get("item_guid"):
                key = derived_guid(f"moved-entry/{guid}", change.seq)
                changes.rename(connection, [earlier.seq for earlier in past], key)
                parted += [replace(earlier, guid=key) for earlier in past]
                past = []
            past.append(change)
        parted += past
    return parted


class _Standing:
    """What is known of the items that entries name."""

    def __init__(self, engine: Engine, connection: Connection, named: Collection[str]) -> None:
        self.known = bases.load_bases(connection, named)
        self.pending = intents.load_intents(connection).keys() & set(named)
        self._there = rows.parents_of(connection, named).keys()
        self._wanted = engine.rules.time_entries

    def why_not(
        self, item: str, now: Cells | None, before: Cells | None, log: Sequence[Change]
    ) -> str | None:
        """Why the present state of an entry can't be, None if it can."""
        if now is None and before is None:
            return None
        if not self._wanted:
            return "sync.time_entries is off"
        if item not in self._there:
            return f"item_guid {item!r} is no item here: give the guid of a task or another item"
        if now is None:
            return None
        return _why_unreadable(now) or _why_read_only(now, before, log)


def _why_unreadable(now: Cells) -> str | None:
    minutes, day = now["minutes"], now["spent_on"]
    if isinstance(minutes, bool) or not isinstance(minutes, int):
        return f"minutes = {minutes!r} can't be read: give a whole number of minutes"
    if abs(minutes) > MOST_MINUTES:
        return f"minutes = {minutes} is more than anyone can have spent"
    if day is not None and time_entries.read_day(day) is None:
        return f"spent_on = {day!r} can't be read: give a day, YYYY-MM-DD"
    user = now["user_id"]
    if user is not None and (isinstance(user, bool) or not isinstance(user, int)):
        return f"user_id = {user!r} can't be read: give a whole number"
    return None


def _why_read_only(now: Cells, before: Cells | None, log: Sequence[Change]) -> str | None:
    if before is None or any(change.op == "insert" for change in log):
        return None  # a REPLACE says nothing of what it leaves out
    written = [column for column in _READ_ONLY if now[column] != before.get(column)]
    return _own(written[0]) if written else None


def _own(column: str) -> str:
    return f"{column} is read-only: only hisync sets it"


def _undo(
    engine: Engine, connection: Connection, guid: str, now: Cells | None, before: Cells | None
) -> None:
    at, kept = engine.clock.now(), engine.rules.time_entries
    undo_entry(connection, guid, now, before, reason="rejected", at=at, kept=kept)


def undo_entry(
    connection: Connection,
    guid: str,
    now: Cells | None,
    before: Cells | None,
    *,
    reason: str,
    at: datetime,
    kept: bool,
) -> None:
    """Make an entry what it was, and the total of its item with it.

    Args:
        connection: a write transaction.
        guid: the entry.
        now: its cells, None if it is not there.
        before: what they were, None for an entry that was not there: what it said is kept.
        reason: why that one leaves.
        at: the time, UTC.
        kept: whether time entries are kept.
    """
    edited.restore_row(connection, time_entries.TABLE, guid, before)
    if before is None and now is not None:
        values = {c: v for c, v in now.items() if c != "guid" and v is not None}
        gone = RemovedRow(time_entries.TABLE, guid, None, values, reason)
        records.record_removed(connection, [gone], at)
    for cells, minutes in ((before, minutes_in(before)), (now, -minutes_in(now))):
        item = (cells or {}).get("item_guid")
        if item is None or not minutes:
            continue
        if kept or not _is_put_back(connection, str(item)):
            time_entries.move_total(connection, str(item), minutes)


def _is_put_back(connection: Connection, item: str) -> bool:
    """Whether a total is hiTask's again already: without time entries, each pull makes it so."""
    base = bases.load_bases(connection, [item]).get(item)
    return base is not None and SPENT not in (base.dirty or {})


def _fill_in(
    engine: Engine,
    connection: Connection,
    now: Cells | None,
    before: Cells | None,
    log: Sequence[Change],
) -> None:
    """Say of a written entry what its writer left out: who, when, for which day."""
    if now is None:
        return
    day = time_entries.read_day(now["spent_on"])
    filled = {} if day is None else {"spent_on": day.isoformat()}
    if any(change.op == "insert" for change in log):
        filled |= _left_out(engine, connection, now, before, log)
    changed = {column: cell for column, cell in filled.items() if cell != now[column]}
    time_entries.set_entry(connection, now["guid"], changed)


def _left_out(
    engine: Engine,
    connection: Connection,
    now: Cells,
    before: Cells | None,
    log: Sequence[Change],
) -> dict[str, Any]:
    """What a new entry says nothing of, or nothing that can be read, and its source.

    A REPLACE leaves what was there.
    """
    memory = state.load(connection)
    written = log[-1].changed_at
    usual = {
        "user_id": memory.account_id,
        "spent_on": day_of(engine, memory, written).isoformat(),
        "time_create": stored_date(written),
        **{column: cell for column, cell in (before or {}).items() if cell is not None},
    }
    left_out = {c: usual[c] for c in ("user_id", "spent_on", "time_create") if now[c] is None}
    if _why_no_moment(now["time_create"]):
        left_out["time_create"] = usual["time_create"]
    return {**left_out, "source": usual.get("source", "local")}


def _within_bounds(
    engine: Engine, connection: Connection, left: dict[str, list[Change]]
) -> dict[str, list[Change]]:
    """Refuse what takes more time from an item than it has, or brings it to more than there is.

    And what is to be added to a total that can't be read: sent, it would go over that one.
    """
    for item, total in _unread_totals(connection, left).items():
        reason = f"{_WIRE} = {total!r} of its item on hiTask can't be read, so nothing can be added"
        reject_entries(engine, connection, left.pop(item), reason)
    sums = time_entries.sums(connection, left)
    for item in [guid for guid in left if not _is_possible(sums.get(guid, 0))]:
        left[item] = _refuse_impossible(engine, connection, item, sums.get(item, 0), left[item])
    return {item: log for item, log in left.items() if log}


def _refuse_impossible(
    engine: Engine, connection: Connection, item: str, total: int, log: Sequence[Change]
) -> list[Change]:
    """Refuse the entries of an item that can't be, each after those before it; return the rest."""
    logs = sorted(by_entry(log).values(), key=lambda entry_log: entry_log[-1].seq)
    moves = [added_minutes(connection, entry_log).get(item, 0) for entry_log in logs]
    total -= sum(moves)
    left: list[Change] = []
    for entry_log, minutes in zip(logs, moves, strict=True):
        if _is_possible(total + minutes):
            total += minutes
            left += entry_log
        else:
            below = total + minutes < 0
            much = "less than no time" if below else "more time than anyone can have spent"
            reject_entries(engine, connection, entry_log, f"it would leave its item with {much}")
    return left


def _is_possible(total: int) -> bool:
    return 0 <= total <= MOST_MINUTES


def _unread_totals(connection: Connection, items: Iterable[str]) -> dict[str, Any]:
    """hiTask's totals of these items that are no amount of time."""
    known = bases.load_bases(connection, items)
    local = rows.load_every(connection, [(base.table, base.guid) for base in known.values()])
    unread = {}
    for base in known.values():
        row = local.get((base.table, base.guid))
        extra = bases.base_values(base, row.values if row else None).get("extra") or {}
        if extra.get(_WIRE):  # an empty text is no total
            unread[base.guid] = extra[_WIRE]
    return unread


def carried_entries(connection: Connection, intent: Intent) -> list[Change]:
    """The unfinished changes of entries that the total of a write carries, oldest first."""
    if SPENT not in intent.sent:
        return []
    log = log_of_item(connection, intent.guid)
    return [change for change in log if change.seq <= intent.last_seq]


def finish_entries(engine: Engine, connection: Connection, log: Iterable[Change]) -> None:
    """hiTask has the total that these changes are part of."""
    for guid, changed in by_entry(log).items():
        _finish(engine, connection, guid, changed, sent=True)


def _finish(
    engine: Engine, connection: Connection, guid: str, log: Sequence[Change], *, sent: bool
) -> None:
    note = "; ".join(_not_taken(connection, guid, log)) or None
    end(engine, connection, guid, end_changes(log, sent=sent, note=note))
    if engine.rules.time_entry_comments and log[0].op == "insert":
        _post_note(connection, guid)


def _not_taken(connection: Connection, guid: str, log: Sequence[Change]) -> list[str]:
    """Notes on what a new entry says of its source and its time, and is set otherwise."""
    if not any(change.op == "insert" for change in log):
        return []
    said, notes = cells_said(log), []
    if said.get("source") is not None:
        now = time_entries.load_entries(connection, [guid]).get(guid)
        if now is not None and now["source"] != said["source"]:
            notes.append(_own("source"))
    if why := _why_no_moment(said.get("time_create")):
        notes.append(why)
    return notes


def _why_no_moment(cell: Any) -> str | None:
    """Why a cell of `time_create` can't be read, None if it can."""
    try:
        decode_cell(_CREATED, cell)
    except UnreadableCellError as error:
        return str(error)
    return None


def _post_note(connection: Connection, guid: str) -> None:
    """Comment on an item with the note of an entry, as if the entry's writer had: but once."""
    entry = time_entries.load_entries(connection, [guid]).get(guid)
    note = (entry or {}).get("note")
    # Bytes are no text to say; what of a text is no UTF-8 is said by its bytes.
    note = "" if isinstance(note, bytes) else str(note or "").strip()
    note = note.encode("utf-8", "backslashreplace").decode()
    comment = derived_guid("time-entry-note", guid)
    if entry is None or not note or changes.history(connection, [comment]):
        return
    if edited.is_there(connection, COMMENTS, comment):
        return  # said so long ago that the log has forgotten it
    cells = {"item_guid": entry["item_guid"], "message": note}
    edited.write_again(connection, COMMENTS, comment, cells)


def reject_entries(
    engine: Engine, connection: Connection, log: Sequence[Change], reason: str
) -> None:
    """hiTask will not take the total that these changes are part of: they are taken back."""
    refused = {change.seq for change in log}
    every = log_of_entries(connection, by_entry(log))
    # What has moved on to another item since is no part of this one's total.
    for guid, changed in by_entry(_part_moved(connection, every)).items():
        if refused.isdisjoint(change.seq for change in changed):
            continue
        now = time_entries.load_entries(connection, [guid]).get(guid)
        _undo(engine, connection, guid, now, before_changes(now, changed))
        reject(engine, connection, guid, changed, reason)
