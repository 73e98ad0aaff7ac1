"""What the arrival of our own write proves about the base, and how its changes end.

Pure. Public: `base_after_write`, `arrived_as`, `columns_edited_after`, `last_edits`,
`end_changes`, `refused_by_column`, `Ending`, `unsent_columns`, `was_deleted`, `VANISHED`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from hisync.change import Change
from hisync.items import Access, Field, FieldType, Value, Values, fields_of, same_value
from hisync.plan.actions import Action, SendArchive, SendCreate, SendDelete, SendUpdate


def base_after_write(
    table: str,
    base: Values | None,
    sent: Values,
    remote: Values,
    local: Values | None,
    edited_since: Collection[str],
    *,
    direct: bool,
    maybe_older: bool = False,
) -> dict[str, Value]:
    """The base to merge with, once `remote` shows what became of a write of ours.

    Merging then takes what hiTask made of our values, keeps what people wrote here since, and
    sees a conflict only where someone else wrote too.

    Args:
        table: the item table.
        base: the base before the write; None if the write created the item.
        sent: the values that went out.
        remote: the item as hiTask shows it now.
        local: the row as it is now, None if it was deleted since.
        edited_since: the columns that people wrote after the write was planned.
        direct: whether `remote` is the answer to the write itself, so that a value that differs
            from the sent one is what hiTask made of it, not someone else's edit.
        maybe_older: whether a direct answer may show an item that an earlier attempt made, so
            that a value that differs is not known to be what hiTask made of this one.
    """
    after: dict[str, Value] = {}
    for column, field in fields_of(table).items():
        before = (base or {}).get(column, field.empty)
        theirs = remote.get(column, field.empty)
        ours = theirs if local is None else local.get(column, field.empty)
        if column in sent:
            ours_there = direct or arrived_as(field, sent[column], theirs)
            arrived = same_value(field, sent[column], theirs)
            if arrived or (ours_there and (maybe_older or column in edited_since)):
                after[column] = theirs
            elif ours_there:
                after[column] = ours  # so that theirs is taken
            else:
                # A create that shows must have arrived whole; an update may not have.
                after[column] = sent[column] if base is None else before
        elif base is None and field.access is Access.COUNTED:
            after[column] = field.empty  # a new item starts without; what it has is to be added
        elif base is None:  # what the service filled in by itself is nobody's edit
            filled_in = direct or local is None or field.never_empty or not field.writable
            ours_since = theirs if filled_in else field.empty
            after[column] = ours_since if column in edited_since else ours
        else:
            after[column] = before
    return after


def arrived_as(field: Field, sent: Value, stored: Value) -> bool:
    """Whether a stored value can be what hiTask made of the sent one: texts get trimmed there."""
    if same_value(field, sent, stored):
        return True
    texts = isinstance(sent, str) and isinstance(stored, str)
    return texts and field.type is FieldType.TEXT and sent.split() == stored.split()


def columns_edited_after(table: str, changes: Iterable[Change], seq: int) -> frozenset[str]:
    """The columns that people wrote after the change `seq`."""
    later = [change for change in changes if change.seq > seq]
    return frozenset(c for c in fields_of(table) if any(change.touches(c) for change in later))


VANISHED = "its row was taken out unseen, by a unique index of your own and a REPLACE"
"""Why edits end of a row that is not there although nobody is known to have deleted it."""


def was_deleted(table: str, dirty: Collection[str], log: Sequence[Change]) -> bool:
    """Whether people deleted a row that is not there: absence alone is no deletion here either.

    Args:
        table: the item table.
        dirty: the columns that the base says people changed; all of them once a row is deleted.
        log: the row's unfinished changes, oldest first.
    """
    return log[-1].op == "delete" if log else fields_of(table).keys() <= set(dirty)


def last_edits(table: str, changes: Iterable[Change]) -> dict[str, datetime]:
    """When people last wrote each column, for those they wrote."""
    edited: dict[str, datetime] = {}
    for change in changes:
        edited.update((c, change.changed_at) for c in fields_of(table) if change.touches(c))
    return edited


def unsent_columns(table: str, actions: Iterable[Action]) -> frozenset[str]:
    """The columns that a plan still has to send."""
    unsent: set[str] = set()
    for action in actions:
        match action:
            case SendUpdate(changes):
                unsent |= changes.keys()
            case SendArchive():
                unsent.add("archived")
            case SendCreate() | SendDelete():
                unsent |= fields_of(table).keys()
            case _:
                pass
    return frozenset(unsent)


@dataclass(frozen=True, slots=True)
class Ending:
    """How one change ends; `state` is one of the contract's final states."""

    seq: int
    state: str
    error: str | None = None


def refused_by_column(changes: Iterable[Change], refused: Mapping[str, str]) -> list[Ending]:
    """How the changes end that wrote a refused column; `refused` has the reason by column."""
    endings = []
    for change in changes:
        reasons = [why for column, why in refused.items() if change.touches(column)]
        if reasons:
            endings.append(Ending(change.seq, "rejected", "; ".join(reasons)))
    return endings


def end_changes(
    changes: Iterable[Change],
    *,
    unsent: Collection[str] = (),
    refused: Mapping[str, str] | None = None,
    sent: bool = False,
    note: str | None = None,
) -> list[Ending]:
    """How the changes of one row end; those with something left to send are not among them.

    Args:
        changes: the row's unfinished changes, oldest first.
        unsent: the columns that still differ from hiTask.
        refused: the reason, by column, why hiTask's value came back.
        sent: whether the rest went out just now: the last one is done, the others merged into
            it. Otherwise they cancelled out, or hiTask had the same already.
        note: what there is to say of one that is done.
    """
    changes = list(changes)
    endings = refused_by_column(changes, refused or {})
    seen = {ending.seq for ending in endings}
    over = [
        change
        for change in changes
        if change.seq not in seen and not any(change.touches(column) for column in unsent)
    ]
    for change in over:
        done = sent and change is over[-1]
        endings.append(Ending(change.seq, "done", note) if done else Ending(change.seq, "merged"))
    return endings
