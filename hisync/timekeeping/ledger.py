"""The ledger of time: what the entries of an item add up to is its total, whatever happens.

hiTask only takes totals. People write entries; triggers move the item's total with them, and the
total then travels like any other field of the item, except that what both sides added counts.
What is left for here: to refuse entries that can't be, and to tell which changes of entries a total
carries. Public: `check_entries`, `carried_entries`, `finish_entries`, `reject_entries`,
`load_totals`, `with_totals`, `unsent_minutes`, `unsent_minutes_of`, `minutes_to_send`, `day_of`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any, Final

from sqlalchemy import Connection

from hisync.change import Change
from hisync.comment import COMMENTS
from hisync.endings import block, end, reject
from hisync.engine import Engine
from hisync.items import MOST_MINUTES, SPENT, Values, derived_guid, fields_of
from hisync.mirror import base as bases
from hisync.mirror import changes, edited, intents, records, rows, state, time_entries
from hisync.mirror.base import Base
from hisync.mirror.cells import stored_date
from hisync.mirror.intents import Intent
from hisync.mirror.records import RemovedRow
from hisync.mirror.rows import LocalRow
from hisync.mirror.time_entries import Cells, before_changes, counted
from hisync.plan.proof import end_changes

_READ_ONLY: Final = ("source", "time_create")
_WIRE: Final = fields_of("tasks")[SPENT].wire
_NOT_THERE_YET: Final = "its item is not on hiTask yet"


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
        _entries_of(connection, item_guid)
        if item_guid is not None
        else changes.unfinished_where(connection, time_entries.of_any())
    )
    log = _by_entry(_part(connection, found))
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
        elif _minutes(now.get(guid)) == _minutes(before[guid]):
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


def _part(connection: Connection, log: Sequence[Change]) -> list[Change]:
    """Give the past of an entry that was put in anew on another item a key of its own.

    What leaves one item and comes to another is part of two totals, and hiTask may take one and
    refuse the other: so these are two entries, one deleted and one new.
    """
    parted: list[Change] = []
    for guid, entry_log in _by_entry(log).items():
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
    return f"{written[0]} is read-only: only hisync sets it" if written else None


def _minutes(cells: Cells | None) -> int:
    return counted((cells or {}).get("minutes"))


def _undo(
    engine: Engine, connection: Connection, guid: str, now: Cells | None, before: Cells | None
) -> None:
    """Make an entry what it was, and the total of its item with it."""
    time_entries.restore_entry(connection, guid, before)
    if before is None and now is not None:
        values = {c: v for c, v in now.items() if c != "guid" and v is not None}
        gone = RemovedRow(time_entries.TABLE, guid, None, values, "rejected")
        records.record_removed(connection, [gone], engine.clock.now())
    for cells, minutes in ((before, _minutes(before)), (now, -_minutes(now))):
        item = (cells or {}).get("item_guid")
        if item is not None and minutes and not _is_put_back(engine, connection, str(item)):
            time_entries.move_total(connection, str(item), minutes)


def _is_put_back(engine: Engine, connection: Connection, item: str) -> bool:
    """Whether a total is hiTask's again already: without time entries, each pull makes it so."""
    if engine.rules.time_entries:
        return False
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
    """What a new entry says nothing of, and its source; a REPLACE leaves what was there."""
    memory = state.load(connection)
    written = log[-1].changed_at
    usual = {
        "user_id": memory.account_id,
        "spent_on": day_of(engine, memory, written).isoformat(),
        "time_create": stored_date(written),
        **{column: cell for column, cell in (before or {}).items() if cell is not None},
    }
    left_out = {c: usual[c] for c in ("user_id", "spent_on", "time_create") if now[c] is None}
    return {**left_out, "source": usual.get("source", "local")}


def day_of(engine: Engine, memory: state.EngineState, moment: datetime) -> date:
    """The day that a UTC instant is on, in the account's time zone."""
    zone = engine.rules.zone or memory.zone
    try:
        return moment.replace(tzinfo=UTC).astimezone(zone).date()
    except OverflowError:
        return moment.date()  # the first and the last day of the calendar


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
    by_entry = sorted(_by_entry(log).values(), key=lambda entry_log: entry_log[-1].seq)
    moves = [_added(connection, entry_log).get(item, 0) for entry_log in by_entry]
    total -= sum(moves)
    left: list[Change] = []
    for entry_log, minutes in zip(by_entry, moves, strict=True):
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


def _entries_of(connection: Connection, item_guid: str) -> list[Change]:
    """The unfinished changes of an item's entries, oldest first."""
    found = changes.unfinished_where(connection, time_entries.of_item(item_guid))
    # An update's own log line does not name the item: by the entry, all of its changes.
    return _of_entries(connection, {change.guid for change in found})


def _of_entries(connection: Connection, guids: Iterable[str]) -> list[Change]:
    """The unfinished changes of these entries, oldest first; other rows may have the same keys."""
    log = changes.unfinished(connection, guids)
    every = [c for (table, _), cs in log.items() if table == time_entries.TABLE for c in cs]
    return sorted(every, key=lambda change: change.seq)


def carried_entries(connection: Connection, intent: Intent) -> list[Change]:
    """The unfinished changes of entries that the total of a write carries, oldest first."""
    if SPENT not in intent.sent:
        return []
    log = _entries_of(connection, intent.guid)
    return [change for change in log if change.seq <= intent.last_seq]


def finish_entries(engine: Engine, connection: Connection, log: Iterable[Change]) -> None:
    """hiTask has the total that these changes are part of."""
    for guid, changed in _by_entry(log).items():
        _finish(engine, connection, guid, changed, sent=True)


def _finish(
    engine: Engine, connection: Connection, guid: str, log: Sequence[Change], *, sent: bool
) -> None:
    end(engine, connection, guid, end_changes(log, sent=sent))
    if engine.rules.time_entry_comments and log[0].op == "insert":
        _post_note(connection, guid)


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
    every = _of_entries(connection, _by_entry(log))
    # What has moved on to another item since is no part of this one's total.
    for guid, changed in _by_entry(_part(connection, every)).items():
        if refused.isdisjoint(change.seq for change in changed):
            continue
        now = time_entries.load_entries(connection, [guid]).get(guid)
        _undo(engine, connection, guid, now, before_changes(now, changed))
        reject(engine, connection, guid, changed, reason)


def _by_entry(log: Iterable[Change]) -> dict[str, list[Change]]:
    found: dict[str, list[Change]] = {}
    for change in log:
        found.setdefault(change.guid, []).append(change)
    return found


def unsent_minutes(connection: Connection) -> dict[str, int]:
    """What unfinished changes of entries add to each item."""
    return _added(connection, changes.unfinished_where(connection, time_entries.of_any()))


def unsent_minutes_of(connection: Connection, item_guid: str, *, after: int = 0) -> int:
    """What unfinished changes of its entries add to an item; only of those after `after`."""
    log = [change for change in _entries_of(connection, item_guid) if change.seq > after]
    return _added(connection, log).get(item_guid, 0)


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


def _added(connection: Connection, log: Iterable[Change]) -> dict[str, int]:
    """What changes of entries, the newest of each among them, add to each item."""
    log_of = _by_entry(log)
    now, added = time_entries.load_entries(connection, log_of), dict[str, int]()
    for guid, entry_log in log_of.items():
        before = before_changes(now.get(guid), entry_log)
        for cells, sign in ((now.get(guid), 1), (before, -1)):
            item = str((cells or {}).get("item_guid"))
            added[item] = added.get(item, 0) + sign * _minutes(cells)
    return added
