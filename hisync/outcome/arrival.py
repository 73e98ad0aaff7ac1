"""How the changes that a write carried end, once hiTask has shown what became of it.

Public: `Arrival`, `finish_write`, `requeue`, `carried_by`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from hisync.change import Change
from hisync.endings import end
from hisync.engine import Engine
from hisync.items import SPENT, Values, fields_of, same_value
from hisync.mirror import changes, intents
from hisync.mirror.cells import UnreadableCellError, cell_text, decode_cell
from hisync.mirror.intents import Intent
from hisync.mirror.time_entries import sums
from hisync.plan.checks import read_only, read_only_cells
from hisync.plan.proof import Ending, columns_edited_after, end_changes
from hisync.timekeeping.entries import carried_entries, finish_entries


@dataclass(frozen=True, slots=True)
class Arrival:
    """A write of ours, and the item that shows what became of it.

    Attributes:
        intent: what was sent.
        before: the base before it, None if it created the item.
        remote: the item's values now.
        log: the row's unfinished changes, oldest first.
        unsent: the columns that still have to be sent after merging.
        direct: whether the item is the answer to the write itself.
        spent: whether a total of time entries that was sent is part of what hiTask has.
        other_id: what the row said its number is, if that is another one.
    """

    intent: Intent
    before: Values | None
    remote: Values
    log: Sequence[Change]
    unsent: Collection[str]
    direct: bool
    spent: bool = False
    other_id: Any = None


def finish_write(engine: Engine, connection: Connection, arrival: Arrival) -> None:
    """End the changes that the write carried; what did not arrive waits again."""
    intent = arrival.intent
    _finish_time(engine, connection, arrival)
    carried = [change for change in arrival.log if change.seq <= intent.last_seq]
    later = columns_edited_after(intent.table, arrival.log, intent.last_seq)
    # A total that is left to send is that of entries, which say themselves what becomes of it.
    waiting = {column for column in arrival.unsent if column not in later} - {SPENT}
    endings: list[Ending] = []
    if not waiting & intent.sent.keys() and intent.op in {"create", "update"}:
        refused, notes = _verify(arrival)
        if intent.op == "create":
            notes += _not_taken(connection, arrival, carried)
        note = "; ".join(notes) or None
        endings = end_changes(carried, unsent=waiting, refused=refused, sent=True, note=note)
    now = engine.clock.now()
    end(engine, connection, intent.guid, endings)
    left = {change.seq for change in carried} - {ending.seq for ending in endings}
    changes.set_state(connection, left, "pending", now=now)
    intents.forget_intents(connection, [intent.guid])


def _finish_time(engine: Engine, connection: Connection, arrival: Arrival) -> None:
    """End the changes of time entries that a total carried, or let them wait again."""
    carried = carried_entries(connection, arrival.intent)
    if arrival.spent:
        finish_entries(engine, connection, carried)
    else:
        now = engine.clock.now()
        changes.set_state(connection, [c.seq for c in carried], "pending", now=now)


def requeue(
    engine: Engine, connection: Connection, intent: Intent, *, error: str | None = None
) -> None:
    """It is known that the write did not happen: its changes wait again."""
    carried = carried_by(connection, intent)
    now = engine.clock.now()
    changes.set_state(connection, [c.seq for c in carried], "pending", now=now, error=error)
    intents.forget_intents(connection, [intent.guid])


def carried_by(connection: Connection, intent: Intent) -> list[Change]:
    """The unfinished changes that a write carries, those of time entries in its total included."""
    log = changes.unfinished(connection, [intent.guid]).get((intent.table, intent.guid), [])
    carried = [change for change in log if change.seq <= intent.last_seq]
    return [*carried, *carried_entries(connection, intent)]


def _verify(arrival: Arrival) -> tuple[dict[str, str], list[str]]:
    """Hold the answer against what was sent.

    Returns:
        The reason for each column that hiTask left as it was, and notes on those in which it
        stored something else.
    """
    if not arrival.direct:
        return {}, []
    refused: dict[str, str] = {}
    notes: list[str] = []
    for column, sent in arrival.intent.sent.items():
        field = fields_of(arrival.intent.table)[column]
        stored = arrival.remote.get(column, field.empty)
        if same_value(field, sent, stored):
            continue
        shown = cell_text(stored) or "nothing"
        if arrival.before is not None and same_value(
            field, stored, arrival.before.get(column, field.empty)
        ):
            refused[column] = f"{column}: hiTask answered OK but kept {shown!r}"
        else:
            notes.append(f"{column}: hiTask stored {shown!r}")
    return refused, notes


def _not_taken(connection: Connection, arrival: Arrival, carried: Iterable[Change]) -> list[str]:
    """Notes on what a new row says and hiTask alone sets, unless it is the same or nothing."""
    fields = fields_of(arrival.intent.table)
    notes = [] if arrival.other_id is None else [read_only("id")]
    for column, cell in read_only_cells(arrival.intent.table, carried).items():
        field = fields[column]
        with suppress(UnreadableCellError):
            given = decode_cell(field, cell)
            if not given or same_value(field, given, arrival.remote.get(column, field.empty)):
                continue
        if column == SPENT and sums(connection, [arrival.intent.guid]):
            continue  # it is that of entries, which are sent by themselves
        notes.append(read_only(column))
    return notes
