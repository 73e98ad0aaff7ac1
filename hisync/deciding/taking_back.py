"""Taking back what waits of a comment or a time entry: its row becomes what it was before.

What hiTask has of such a row is told by its unfinished changes alone, read from the newest back.
So an edit is not dropped from under a newer one of the same cells: both go, or neither.
Public: `take_back`, `take_out_comment`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from hisync.change import Change
from hisync.comment import COMMENTS
from hisync.deciding.decisions import Decided, Subject, along, refuse_in_flight, undone_together
from hisync.mirror import comments, edited, histories, intents, records, state
from hisync.mirror.records import RemovedRow
from hisync.mirror.time_entries import Cells, before_changes
from hisync.timekeeping.entries import undo_entry

_REASON = "discarded here"


def take_back(subject: Subject, change: Change, chosen: Collection[int]) -> Decided:
    """Undo a change of a comment or a time entry that waits.

    Args:
        subject: the row.
        change: the change.
        chosen: the numbers of all changes that are to be discarded.

    Raises:
        DecisionError: if what would have to go with it is on its way.
    """
    ended = _ended(subject.unfinished, change)
    refuse_in_flight(change, ended)
    if change.op == "update" and not {c.seq for c in ended} <= set(chosen):
        seqs = " ".join(str(c.seq) for c in ended)
        why = f"newer edits stand on it: `hisync changes discard {seqs}` takes them back together"
        return Decided(change.seq, False, f"stays {change.state}: {why}")
    now = edited.load_cells(subject.connection, subject.table, subject.guid)
    before: Cells | None = before_changes(now, ended)
    if subject.table == COMMENTS:
        before = _restore_comment(subject, now, before, ended)
    else:
        _restore_entry(subject, now, before)
    subject.discard(ended)
    if before is None:
        text = "its row is gone" if now is None else "the row is kept in removed_rows"
    elif change.op == "update":
        text = ", ".join(f"{column} is what it was before" for column in change.new_values)
    else:
        text = "the row is back"
    return Decided(change.seq, True, f"discarded{along(change, ended)}: {text}")


def take_out_comment(subject: Subject) -> None:
    """Take a comment out that hiTask never had; it is kept in `removed_rows`."""
    now = edited.load_cells(subject.connection, COMMENTS, subject.guid)
    if now is not None and now["id"] is None:
        _take_out(subject, now)


def _ended(waiting: Sequence[Change], change: Change) -> list[Change]:
    """The changes that have to be undone together with one, oldest first."""
    if change.op != "update":
        return undone_together(waiting, change)
    ended, columns = [change], set(change.new_values)
    for later in waiting:
        if later.seq > change.seq and any(later.touches(column) for column in columns):
            ended.append(later)
            columns |= later.new_values.keys()
    return ended


def _restore_entry(subject: Subject, now: Cells | None, before: Cells | None) -> None:
    kept = not state.load(subject.connection).entries_off
    undo_entry(
        subject.connection, subject.guid, now, before, reason=_REASON, at=subject.now, kept=kept
    )


def _restore_comment(
    subject: Subject, now: Cells | None, before: Cells | None, ended: Sequence[Change]
) -> Cells | None:
    """Make a comment what it was, and return that; one that nothing would send does not stay."""
    if before is not None:
        before = {**before, **_given(subject, ended)}
        if before.get("id") is None and not _is_sent(subject, ended):
            before = None
    if before is not None:
        edited.restore_row(subject.connection, COMMENTS, subject.guid, before)
        if before.get("id") is not None and any(c.op == "delete" for c in ended):
            # While it was to go, nobody looked whether hiTask still has it.
            histories.read_again(subject.connection, before["item_guid"])
    elif now is not None:
        _take_out(subject, now)
    return before


def _is_sent(subject: Subject, ended: Sequence[Change]) -> bool:
    """Whether another change is to send the row, or says why not."""
    seqs = {change.seq for change in ended}
    open_ = [*subject.unfinished, *(c for c in subject.log if c.state == "rejected")]
    return any(change.seq not in seqs for change in open_)


def _given(subject: Subject, ended: Sequence[Change]) -> dict[str, Any]:
    """What hiTask gave a comment that was deleted here while it was posted: an intent knows it."""
    intent = comments.load_intents(subject.connection).get(subject.guid)
    if intent is None or intent.op != "delete" or ended[0].seq > intent.last_seq:
        return {}
    intents.forget_intents(subject.connection, [subject.guid])
    return {column: intent.sent[column] for column in ("id", "user_id", "time_create")}


def _take_out(subject: Subject, now: Cells) -> None:
    values = {c: v for c, v in now.items() if c not in {"guid", "id"}}
    gone = RemovedRow(COMMENTS, subject.guid, None, values, _REASON)
    records.record_removed(subject.connection, [gone], subject.now)
    edited.restore_row(subject.connection, COMMENTS, subject.guid, None)
