"""Dropping changes: a rejected one is put aside, one that waits is taken back.

What a waiting change wrote goes back to what it would be without it: to hiTask's value, to that
of an earlier edit that still waits, or it stays where a later edit stands on top. A row that was
deleted or put in is taken back whole. Comments and time entries have a module of their own for
that, `taking_back`. Public: `discard_changes`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime
from operator import attrgetter
from typing import Any

from hisync.change import Change
from hisync.comment import COMMENTS
from hisync.deciding.decisions import (
    IN_FLIGHT,
    Decided,
    Subject,
    along,
    choose,
    decode_logged,
    refuse_in_flight,
    same_as_logged,
    undone_together,
)
from hisync.deciding.taking_back import take_back, take_out_comment
from hisync.items import SPENT, TABLES, FieldType, Value, Values, as_set, fields_of, same_value
from hisync.mirror import base as bases
from hisync.mirror import changes, records, rows, state
from hisync.mirror.base import Base
from hisync.mirror.cells import UnreadableCellError
from hisync.mirror.records import RemovedRow
from hisync.mirror.rows import LocalRow
from hisync.mirror.store import Mirror
from hisync.timekeeping.ledger import minutes_to_send

_REFUSED = {
    **{state: f"it {what}: wait for the next cycle" for state, what in IN_FLIGHT.items()},
    "done": "hiTask has it; make another edit to change it back",
    "merged": "there is nothing left of it",
    "discarded": "there is nothing left of it",
}


def discard_changes(mirror: Mirror, seqs: Sequence[int] | None, now: datetime) -> list[Decided]:
    """Drop changes that were rejected, and take back changes that wait.

    Args:
        mirror: the open mirror.
        seqs: their numbers; None for all that stand rejected.
        now: the time, UTC.

    Raises:
        DecisionError: if one is not there, over, or on its way; nothing was changed then.
    """
    with mirror.writing() as connection:
        return [
            Decided(change.seq, True, "discarded, with the rest of its row")
            if change.state == "discarded"
            else _discard(subject, change, seqs or ())
            for subject, change in choose(connection, seqs, now, _REFUSED)
        ]


def _discard(subject: Subject, change: Change, chosen: Collection[int]) -> Decided:
    if subject.table not in TABLES:
        return _unsay(subject, change, chosen)
    base, local = subject.base, subject.local
    if change.op == "update" and local is not None and _stands_alone(subject, change):
        return _take_out(subject, change, local, [change])
    if change.state != "rejected":
        if change.op == "update":
            text = _take_back_cells(subject, change, base, local)
        else:
            return _take_back_row(subject, change, base, local)
    elif base is not None or local is None or change.op == "delete":
        text = "its row is gone" if local is None else "the row stays as it is"
    elif change.op == "update":
        text = _take_back_cells(subject, change, None, local)  # the row still has what was refused
    elif subject.unfinished:
        text = f"the row stays, since change {subject.unfinished[-1].seq} is to send it"
    else:
        return _take_out(subject, change, local, [])
    subject.discard([change])
    return Decided(change.seq, True, f"discarded: {text}")


def _stands_alone(subject: Subject, change: Change) -> bool:
    """Whether hiTask has no item of the row, and no other change is to make one or says why not."""
    open_ = [*subject.unfinished, *(c for c in subject.log if c.state == "rejected")]
    return subject.item is None and all(c.seq == change.seq for c in open_)


def _unsay(subject: Subject, change: Change, chosen: Collection[int]) -> Decided:
    """A comment or a time entry: what was refused is given up, what waits is taken back."""
    if change.state != "rejected":
        return take_back(subject, change, chosen)
    # A refused entry is out already; a comment may have the same key.
    if change.op == "insert" and subject.table == COMMENTS and not subject.unfinished:
        take_out_comment(subject)
    subject.discard([change])
    return Decided(change.seq, True, "discarded")


def _take_back_cells(
    subject: Subject, change: Change, base: Base | None, local: LocalRow | None
) -> str:
    """Undo an update column by column; what became of each, for people."""
    if local is None:
        return "its row is deleted"
    known = bases.base_values(base, local.values) if base else {}
    ours = fields_of(subject.table).keys() if base is None else (base.dirty or {}).keys()
    restored: dict[str, Value] = {}
    told: list[str] = []
    for column in change.new_values:
        if column not in fields_of(subject.table):  # its item was of another kind then
            told.append(f"{subject.table} has no {column}")
            continue
        others = [c.seq for c in _standing(subject, change, base) if c.touches(column)]
        if column not in ours or (base is not None and not others):
            restored[column] = known.get(column)
            told.append(f"{column} is hiTask's again")
        elif others and others[-1] > change.seq:
            told.append(f"{column} stays as it is (change {others[-1]} is newer)")
        else:
            told.append(f"{column} {_step_back(subject, change, column, local)}")
    if SPENT in restored:
        restored |= _total(subject, known)
    rows.set_cells(subject.connection, subject.table, subject.guid, restored)
    _note_what_differs(subject, base, known)
    return ", ".join(told)


def _standing(subject: Subject, change: Change, base: Base | None) -> list[Change]:
    """The other changes that the row shows; one that hiTask never had shows the refused, too."""
    refused = [c for c in subject.log if c.state == "rejected"] if base is None else []
    shown = sorted([*subject.in_effect, *refused], key=attrgetter("seq"))
    return [c for c in shown if c.seq != change.seq]


def _note_what_differs(subject: Subject, base: Base | None, known: Values) -> None:
    """Keep as dirty what still differs from hiTask; the rest becomes hiTask's to the letter."""
    local = subject.local
    if base is None or local is None:
        return
    fields, dirty = fields_of(base.table), dict(base.dirty or {})
    # Of a total that someone wrote over, what is left to send can't be seen.
    waits = {SPENT} if _waiting(subject, known) else set()
    same = [
        column
        for column in dirty
        if column not in local.unreadable
        and column not in waits
        and same_value(fields[column], local.values[column], known.get(column))
    ]
    cells = {column: known.get(column) for column in same}
    rows.set_cells(subject.connection, subject.table, subject.guid, cells)
    left = {column: cell for column, cell in dirty.items() if column not in same}
    bases.save_bases(subject.connection, [replace(base, dirty=left)])


def _total(subject: Subject, known: Values) -> Values:
    """hiTask's total, with the minutes of entries that wait: they are no part of what is undone."""
    return {SPENT: (known.get(SPENT) or 0) + _waiting(subject, known) or None}


def _waiting(subject: Subject, known: Values) -> int:
    agreed = known if subject.base is not None else None
    kept = not state.load(subject.connection).entries_off
    return minutes_to_send(subject.connection, subject.guid, agreed, kept=kept)


def _step_back(subject: Subject, change: Change, column: str, local: LocalRow) -> str:
    """Give a column the value that it had before a change, as far as the change's own stands.

    hiTask may have changed it since: then its value stays, and of a list what the change added or
    took away is undone.
    """
    field, all_day = fields_of(subject.table)[column], bool(local.values["is_all_day"])
    old, new = change.old_values.get(column), change.new_values[column]
    unreadable = column in local.unreadable
    if unreadable or same_as_logged(field, local.values[column], [new], all_day):
        changes.write_logged(subject.connection, subject.table, subject.guid, {column: old})
        return "is what it was before"
    if field.type is not FieldType.SET:
        return "stays as it is, since hiTask changed it"
    try:
        before, after = (as_set(decode_logged(field, c, all_day=all_day)) for c in (old, new))
    except UnreadableCellError:
        return "stays as it is, since hiTask changed it"
    kept = [value for value in local.values[column] or () if value not in after - before]
    kept += [value for value in sorted(before - after) if value not in kept]
    rows.set_cells(subject.connection, subject.table, subject.guid, {column: kept})
    return "is as it would be without it"


def _take_back_row(
    subject: Subject, change: Change, base: Base | None, local: LocalRow | None
) -> Decided:
    """Undo an insert or a delete, and with it what was edited on top of it."""
    shown = subject.in_effect
    if change not in shown:
        subject.discard([change])
        return Decided(change.seq, True, "discarded: the row stays, as hiTask has brought it back")
    moved = local is not None and shown[-1].op == "delete"  # put in there, deleted here: one act
    ended = shown if moved else undone_together(shown, change)
    refuse_in_flight(change, ended)
    start = ended[0]
    if base is None and start.op == "insert":
        return _take_out(subject, change, local, ended)
    _put_back(subject, start, [c for c in shown if c.seq < start.seq], base, local)
    subject.discard(ended)
    return Decided(change.seq, True, f"discarded{along(change, ended)}: the row is back")


def _put_back(
    subject: Subject,
    start: Change,
    earlier: Sequence[Change],
    base: Base | None,
    local: LocalRow | None,
) -> None:
    """Put a row back as it was before it was deleted, edits included that still wait."""
    known = bases.base_values(base, local.values if local else None) if base else {}
    own = {"guid": subject.guid, "id": base.id if base else None}
    row: dict[str, Any] = {**known, **_total(subject, known), **own}
    rows.upsert_rows(subject.connection, subject.table, [row])
    if start.op == "delete":
        edited = [
            column
            for column in (fields_of(subject.table) if base is None else base.dirty or {})
            if column != SPENT and (base is None or any(c.touches(column) for c in earlier))
        ]
        before = {column: start.old_values.get(column) for column in edited}
        changes.write_logged(subject.connection, subject.table, subject.guid, before)
    _note_what_differs(subject, base, known)


def _take_out(
    subject: Subject, change: Change, local: LocalRow | None, ended: Sequence[Change]
) -> Decided:
    """Take out a row that hiTask never had; it is kept in `removed_rows`."""
    ended = [*ended, *(c for c in subject.log if c.state == "rejected" and c not in ended)]
    if local is not None:
        unread = {
            column: _legible(c.new_values[column])
            for c in ended
            for column in local.unreadable
            if column in c.new_values
        }
        last = RemovedRow(
            subject.table, subject.guid, None, {**local.values, **unread}, "discarded here"
        )
        records.record_removed(subject.connection, [last], subject.now)
        rows.delete_rows(subject.connection, subject.table, [subject.guid])
    subject.discard(ended)
    text = f"discarded{along(change, ended)}: the row is kept in removed_rows"
    children = rows.children_of(subject.connection, [subject.guid]).get(subject.guid, [])
    if children:
        text += (
            f"; it was the parent of {len(children)} rows here: give them another parent_guid, "
            "or they are refused"
        )
    return Decided(change.seq, True, text)


def _legible(cell: Any) -> Any:
    """What a client wrote, by its bytes where it is no text."""
    return cell.encode("utf-8", "backslashreplace").decode() if isinstance(cell, str) else cell
