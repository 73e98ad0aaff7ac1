"""Trying rejected changes again, as the person who made them would: by the same edit, once more.

A newer edit is never overwritten, whether it was made here or on hiTask: such columns are left
and named. Public: `retry_changes`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

from hisync.change import Change
from hisync.deciding.decisions import (
    Decided,
    Subject,
    choose,
    decode_logged,
    is_unused,
    same_as_logged,
    shows_use,
)
from hisync.items import TABLES, fields_of
from hisync.mirror import changes, edited, removed, rows, time_entries
from hisync.mirror.cells import UnreadableCellError, cell_text
from hisync.mirror.rows import LocalRow
from hisync.mirror.store import Mirror

_WAITS: Final = "it goes out by itself, `hisync sync` sends it now"
_REFUSED: Final = {
    "pending": _WAITS,
    "blocked": "it goes out by itself once what it waits for is there",
    "held": "`hisync sync --allow-deletes N` lets it go",
    "sending": "wait for the next cycle",
    "unknown": "wait for the next cycle",
    "done": "hiTask has it",
    "merged": "there is nothing left to try",
    "discarded": "only what is rejected can be tried again; make the edit anew",
}


def retry_changes(mirror: Mirror, seqs: Sequence[int] | None, now: datetime) -> list[Decided]:
    """Try rejected changes again.

    Args:
        mirror: the open mirror.
        seqs: their numbers; None for all that stand rejected.
        now: the time, UTC.

    Raises:
        DecisionError: if one is not there or not rejected; nothing was changed then.
    """
    with mirror.writing() as connection:
        return [
            _retry(subject, change) if change.state == "rejected" else _carried(change)
            for subject, change in choose(connection, seqs, now, _REFUSED)
        ]


def _retry(subject: Subject, change: Change) -> Decided:
    if subject.table not in TABLES:
        return _say_again(subject, change)
    local = subject.local
    if change.op == "delete":
        return _delete_again(subject, change, local)
    if local is None:
        return _left(change, [_where_it_went(subject)])
    if subject.base is None:
        return _send_new_row(subject, change)
    if change.op == "insert":
        return _insert_again(subject, change, local)
    return _update_again(subject, change, local)


def _say_again(subject: Subject, change: Change) -> Decided:
    """A comment or a time entry: written, or deleted, once more."""
    connection, table, guid = subject.connection, subject.table, subject.guid
    there = edited.is_there(connection, table, guid)
    later = subject.later(change)
    if change.op == "insert" and there and any(c.state == "done" for c in later):
        # Sent once more, a comment would be said twice.
        return _settled(subject, change, "hiTask has the row by now")
    if change.op == "insert":
        newer = [c.seq for c in later if c.op != "update"]  # put in anew, or taken out
    else:
        newer = [c.seq for c in later if c.state != "rejected"]
    if newer and (there or change.op == "insert"):
        return _left(change, [f"change {newer[-1]} is newer"])
    if change.op == "insert" and there and table == time_entries.TABLE:
        # It was put in over the entry that stands again: pending, it would change nothing.
        return _left(change, ["the entry is what it was before: make the edit again in SQL"])
    if change.op == "insert" and there and edited.is_on_hitask(connection, guid):
        # So was a comment: pending, it would pass for a new one with a made-up number.
        return _left(change, ["hiTask has the comment as it stands: insert a new one in SQL"])
    if change.op == "insert" and there:
        subject.end([change], "pending", None)
        return Decided(change.seq, True, "waits to be sent again")
    if change.op == "insert":
        edited.write_again(connection, table, guid, {**_its_day(subject), **change.new_values})
    elif change.op == "delete" and there:
        edited.delete_again(connection, table, guid)
    else:
        return _left(change, ["make the edit again in SQL: change_log has its values"])
    subject.end([change], "merged", "tried again as a new change")
    return Decided(change.seq, True, "tried again as a new change")


def _its_day(subject: Subject) -> dict[str, Any]:
    """The day of a time entry that said none: that of the first time, not of this one."""
    if subject.table != time_entries.TABLE:
        return {}
    left = removed.latest_of(subject.connection, subject.guid, [subject.table])
    if left is None:
        return {}
    return {c: v for c, v in left.last_values.items() if c == "spent_on"}


def _send_new_row(subject: Subject, change: Change) -> Decided:
    """A row that hiTask never took stands as it was written: it goes out whole, as it is now."""
    waiting = subject.unfinished
    refused = [c for c in _since_put_in(subject.log) if c.state == "rejected"]
    subject.end(refused, "pending", None)
    newer = f", with the newer change {waiting[-1].seq}" if waiting else ""
    return Decided(change.seq, True, f"waits to be sent again, as the row is now{newer}")


def _since_put_in(log: Sequence[Change]) -> Sequence[Change]:
    """The changes of a row that hiTask never took, without those of rows that had its guid before.

    Put in again over itself, by a REPLACE, it is the same row still.
    """
    lasting = [c for c in log if c.state != "discarded"]
    for number in range(len(lasting) - 1, 0, -1):
        before = lasting[number - 1]
        replaced = before.op == "delete" and before.state not in {"done", "merged"}
        if lasting[number].op == "insert" and not replaced:
            return lasting[number:]
    return lasting


def _carried(change: Change) -> Decided:
    return Decided(change.seq, True, "waits to be sent again, with the rest of its row")


def _insert_again(subject: Subject, change: Change, local: LocalRow) -> Decided:
    """A later change carried the row to hiTask, or it was put in over a known one."""
    later = subject.later(change)
    differing: list[str] = []
    left: list[str] = []
    for column, field in fields_of(subject.table).items():
        if not field.writable or column not in change.new_values:
            continue
        if _holds(local, column, [change.new_values[column]]):
            continue
        newer = next((c for c in later if c.touches(column)), None)
        if newer is None:
            differing.append(column)
        elif _said(newer.old_values.get(column)) != _said(change.new_values[column]):
            # Made to what hiTask has, not on top of this one.
            left.append(f"{column} is left: change {newer.seq} is newer")
    if differing:
        names = ", ".join(differing)
        return _left(change, [f"hiTask has the row, with another {names}: UPDATE it"])
    if left:
        return _left(change, left)
    return _settled(subject, change, "hiTask has the row by now")


def _update_again(subject: Subject, change: Change, local: LocalRow) -> Decided:
    wanted: dict[str, Any] = {}
    left: list[str] = []
    for column, cell in change.new_values.items():
        if column not in fields_of(subject.table):  # its item was of another kind then
            left.append(f"{column} is left: {subject.table} has no such column")
            continue
        if _holds(local, column, [cell]):
            continue
        why = _why_not(subject, change, column, local)
        if why is None:
            wanted[column] = cell
        else:
            left.append(f"{column} is left: {why}")
    if not wanted:
        return _left(change, left) if left else _settled(subject, change, "the row has it already")
    with changes.captured(subject.connection):
        changes.write_logged(subject.connection, subject.table, subject.guid, wanted)
    return _made_anew(subject, change, left)


def _why_not(subject: Subject, change: Change, column: str, local: LocalRow) -> str | None:
    """Why a column is not set again, None if it is."""
    field = fields_of(subject.table)[column]
    newer = [c.seq for c in subject.later(change) if c.touches(column)]
    if newer:
        return f"change {newer[-1]} is newer"
    # What the log shows of bytes and of what is no JSON looks like a text; the reason knows.
    reason = subject.reasons[change.seq]
    if re.search(rf"(^|; ){column} = .*can't be read", reason, re.DOTALL):
        return "what was written can't be read, write it in another form"
    try:
        decode_logged(field, change.new_values[column], all_day=bool(local.values["is_all_day"]))
    except UnreadableCellError as error:
        return str(error)
    if not field.writable:
        return "only hiTask sets it"
    if not _holds(local, column, _started_from(subject, change, column)):
        return f"it was changed on hiTask since, to {_shown(local, column)}"
    return None


def _delete_again(subject: Subject, change: Change, local: LocalRow | None) -> Decided:
    if local is None:
        if subject.item is not None and subject.base is None:
            return _left(change, [_where_it_went(subject)])
        return _settled(subject, change, "the row is gone already")
    later = subject.later(change)
    if later:
        return _left(change, [f"change {later[-1].seq} edited the row since"])
    differing = [
        column
        for column, field in fields_of(subject.table).items()
        if shows_use(field)
        and not _is_unused(local, column, _started_from(subject, change, column))
    ]
    if differing:
        return _left(change, [f"it was changed on hiTask since: {', '.join(differing)}"])
    with changes.captured(subject.connection):
        rows.delete_rows(subject.connection, subject.table, [subject.guid])
    return _made_anew(subject, change, [])


def _started_from(subject: Subject, change: Change, column: str) -> list[Any]:
    """The cells that a change found, and those found by the unsent edits that it followed.

    An edit on top of another one that never reached hiTask was made to hiTask's value before both.
    """
    origins = [change.old_values.get(column)]
    for earlier in reversed(subject.log):
        if earlier.seq >= change.seq or not earlier.touches(column):
            continue
        follows = earlier.op == "update" and _said(earlier.new_values[column]) == _said(origins[-1])
        if not follows or earlier.state not in {"rejected", "discarded"}:
            break
        origins.append(earlier.old_values.get(column))
    return origins


def _said(cell: Any) -> Any:
    return None if cell is False else cell  # whole rows leave out null and false


def _holds(local: LocalRow, column: str, cells: Iterable[Any]) -> bool:
    """Whether a cell of the row means one of these."""
    if column in local.unreadable:
        return False
    field, all_day = fields_of(local.table)[column], bool(local.values["is_all_day"])
    return same_as_logged(field, local.values[column], list(cells), all_day)


def _is_unused(local: LocalRow, column: str, cells: Sequence[Any]) -> bool:
    field, all_day = fields_of(local.table)[column], bool(local.values["is_all_day"])
    return column not in local.unreadable and is_unused(field, local.values[column], cells, all_day)


def _shown(local: LocalRow, column: str) -> str:
    if column in local.unreadable:
        return "something that can't be read"
    text = cell_text(local.values[column])
    return "nothing" if text is None else repr(text)


def _where_it_went(subject: Subject) -> str:
    if subject.table == "files":
        return "rows of files come from hiTask only: upload the file there"
    item = subject.item
    if item is not None and item.table != subject.table:
        return f"its item is in {item.table} now: edit it there"
    return f"its row is no longer in {subject.table}"


def _left(change: Change, why: Sequence[str]) -> Decided:
    return Decided(change.seq, False, f"stays rejected: {'; '.join(why)}")


def _settled(subject: Subject, change: Change, why: str) -> Decided:
    subject.end([change], "merged", why)
    return Decided(change.seq, True, f"nothing to do: {why}")


def _made_anew(subject: Subject, change: Change, left: Sequence[str]) -> Decided:
    seq = subject.newest()
    subject.end([change], "merged", f"tried again as change {seq}")
    return Decided(change.seq, not left, "; ".join([f"tried again as change {seq}", *left]))
