"""What a person decides about: changes by their numbers, each with its row and all that was logged.

Deciding needs no lock beside a running daemon: it is one write transaction, and the engine reads
everything again in each of its own. Public: `Subject`, `choose`, `Decided`, `DecisionError`,
`undone_together`, `refuse_in_flight`, `along`, `same_as_logged`, `shows_use`, `is_unused`,
`decode_logged`, `IN_FLIGHT`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection

from hisync.change import Change
from hisync.errors import HisyncError
from hisync.items import SPENT, Field, FieldType, Value, same_value
from hisync.mirror import base as bases
from hisync.mirror import changes, rows
from hisync.mirror.base import Base
from hisync.mirror.cells import UnreadableCellError, decode_cell
from hisync.mirror.changes import FINAL_STATES
from hisync.mirror.rows import LocalRow

IN_FLIGHT: Final = {"sending": "is being sent", "unknown": "was sent and is being looked up"}
"""States in which nobody can say what hiTask has."""


class DecisionError(HisyncError):
    """What was asked can't be done; the text says why, and what can. Nothing was changed."""


@dataclass(frozen=True, slots=True)
class Decided:
    """What became of one change; `done` is false if something was left as it is."""

    seq: int
    done: bool
    text: str


@dataclass(slots=True)
class Subject:
    """A row that changes are decided about, within one write transaction.

    Attributes:
        connection: the transaction.
        now: the time, UTC.
        table: the row's table when the changes were made.
        guid: its key.
        log: every change of it, oldest first, in the states that this run leaves them in.
        reasons: why changes were rejected, by their number.
    """

    connection: Connection
    now: datetime
    table: str
    guid: str
    log: list[Change]
    reasons: Mapping[int, str]

    @property
    def base(self) -> Base | None:
        """The row's base, None if hiTask doesn't know the row."""
        known = self.item
        return known if known is not None and known.table == self.table else None

    @property
    def item(self) -> Base | None:
        """The base of what has the row's guid, though it may be in another table by now."""
        return bases.load_bases(self.connection, [self.guid]).get(self.guid)

    @property
    def local(self) -> LocalRow | None:
        """The row as it is."""
        return rows.load_rows(self.connection, self.table, [self.guid]).get(self.guid)

    @property
    def unfinished(self) -> list[Change]:
        """The changes that wait or are on their way, oldest first."""
        return [change for change in self.log if change.state not in FINAL_STATES]

    @property
    def in_effect(self) -> list[Change]:
        """Those of them that the row still shows.

        A deleted row that hiTask has changed since comes back as hiTask has it, without anybody
        putting it in: the deletion and what was before it have no effect any more. One that people
        moved to the table that its item came to as well ends in a deletion, too, but differs.
        """
        shown: list[Change] = []
        for change in self.unfinished:
            if change.op != "insert" and shown and shown[-1].op == "delete":
                shown.clear()
            shown.append(change)
        came_back = shown and shown[-1].op == "delete" and self.local is not None
        return [] if came_back and not self._differs else shown

    @property
    def _differs(self) -> bool:
        """Whether the row has something to send besides the time spent on it."""
        return self.base is not None and bool((self.base.dirty or {}).keys() - {SPENT})

    def later(self, change: Change) -> list[Change]:
        """What was changed after it, unless that was taken back."""
        return [c for c in self.log if c.seq > change.seq and c.state != "discarded"]

    def end(self, ended: Iterable[Change], state: str, note: str | None) -> None:
        """Put changes of the row into a state."""
        seqs = {change.seq for change in ended}
        changes.set_state(self.connection, seqs, state, now=self.now, error=note)
        self.log = [replace(c, state=state) if c.seq in seqs else c for c in self.log]

    def discard(self, ended: Iterable[Change]) -> None:
        """Drop changes of the row; why some had been rejected stays to be read."""
        for change in ended:
            self.end([change], "discarded", self.reasons.get(change.seq))

    def newest(self) -> int:
        """The number of the row's newest unfinished change, after one was made."""
        log = changes.unfinished(self.connection, [self.guid])
        return log[self.table, self.guid][-1].seq


def choose(
    connection: Connection,
    seqs: Sequence[int] | None,
    now: datetime,
    refused: Mapping[str, str],
) -> Iterator[tuple[Subject, Change]]:
    """The chosen changes in the order in which they were made, each with its row.

    Args:
        connection: a write transaction.
        seqs: their numbers; None for all that stand rejected.
        now: the time, UTC.
        refused: the states in which they can't be decided about, each with the reason.

    Raises:
        DecisionError: naming every number that can't be decided about, before anything is done.
    """
    reasons = changes.rejected(connection)
    wanted = sorted(set(reasons if seqs is None else seqs))
    found = changes.load(connection, wanted)
    faults = [
        _fault(seq, found.get(seq), refused)
        for seq in wanted
        if seq not in found or found[seq].state in refused
    ]
    if faults:
        raise DecisionError("\n".join(faults))
    log = changes.history(connection, {change.guid for change in found.values()})
    subjects = {
        (table, guid): Subject(connection, now, table, guid, entries, reasons)
        for (table, guid), entries in log.items()
    }
    for seq in wanted:
        subject = subjects[found[seq].table, found[seq].guid]
        # As it is by now: an earlier decision may have ended it along with its own.
        yield subject, next(change for change in subject.log if change.seq == seq)


def _fault(seq: int, change: Change | None, refused: Mapping[str, str]) -> str:
    if change is None:
        return f"there is no change {seq}: see `hisync changes list --all`"
    return f"change {seq} is {change.state}: {refused[change.state]}"


def undone_together(shown: Sequence[Change], change: Change) -> list[Change]:
    """Those of a row's changes that are undone with an insert or a delete: what came on top of it.

    A REPLACE deletes a row and puts it in again: its insert is undone with its delete.
    """
    start = change
    if change.op == "insert":
        whole = [c for c in shown if c.seq < change.seq and c.op != "update"]
        if whole and whole[-1].op == "delete":
            start = whole[-1]
    return [c for c in shown if c.seq >= start.seq]


def refuse_in_flight(change: Change, ended: Iterable[Change]) -> None:
    """See that nothing of what has to be undone with a change is on its way.

    Raises:
        DecisionError: if something is.
    """
    for on_its_way in (c for c in ended if c.state in IN_FLIGHT):
        what = IN_FLIGHT[on_its_way.state]
        raise DecisionError(
            f"change {change.seq} can't be taken back: change {on_its_way.seq} of the same row "
            f"{what}: wait for the next cycle"
        )


def along(change: Change, ended: Iterable[Change]) -> str:
    """What else has ended with a change, for people."""
    others = [str(c.seq) for c in ended if c.seq != change.seq]
    return f" with {', '.join(others)} of the same row" if others else ""


def same_as_logged(field: Field, value: Value, logged: Collection[Any], all_day: bool) -> bool:
    """Whether a value is one of those that the change log holds for its cell."""
    for cell in logged:
        try:
            if same_value(field, value, decode_logged(field, cell, all_day=all_day)):
                return True
        except UnreadableCellError:
            continue
    return False


def shows_use(field: Field) -> bool:
    """Whether a change of it shows that somebody works on the item: by comments and time, too."""
    return field.sendable or field.column == "last_comment_id"


def is_unused(field: Field, value: Value, logged: Collection[Any], all_day: bool) -> bool:
    """Whether a cell shows no work since one of these; time that was taken back is none."""
    if field.column == SPENT:
        return any(isinstance(cell or 0, int) and (value or 0) <= (cell or 0) for cell in logged)
    return same_as_logged(field, value, logged, all_day)


def decode_logged(field: Field, cell: Any, *, all_day: bool) -> Value:
    """What a cell of the change log means; JSON that is a text is nested there as a text.

    Raises:
        UnreadableCellError: if it can't mean anything.
    """
    try:
        return decode_cell(field, cell, all_day=all_day)
    except UnreadableCellError:
        if field.type is FieldType.JSON and isinstance(cell, str):
            return cell
        raise
