"""The decision: three copies of one row in, actions out. Pure: no I/O, no clock, no chance.

Per row there is a base (the last state both sides agreed on), the local state (the mirror) and
the remote state (what the API just said). Local against base is what people did here, remote
against base what they did there; `plan_row` is the table of what follows from each pair.

Public: `plan_row`, `changed_columns`, `Row`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from functools import cache

from hisync.items import (
    DATE_TYPES,
    Access,
    Field,
    FieldType,
    Value,
    Values,
    as_set,
    fields_of,
    same_value,
    says_nothing,
)
from hisync.plan.actions import (
    Action,
    Forget,
    InsertRow,
    Policy,
    PolicyName,
    RecordConflict,
    RemoveRow,
    Resolution,
    SendArchive,
    SendCreate,
    SendDelete,
    SendUpdate,
    UpdateRow,
)


class State(Enum):
    """What became of one side of a row since the base."""

    NEVER = "never"  # neither the base nor this side has it
    NEW = "new"
    SAME = "same"
    CHANGED = "changed"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Row:
    """The three copies of one row; None where a side has no such row.

    Attributes:
        table: the item table.
        base: the last state that both sides agreed on.
        local: the mirror's state.
        remote: what the API said last.
        edited_at: when people last wrote each column here (UTC), for the policy `newest`.
    """

    table: str
    base: Values | None
    local: Values | None
    remote: Values | None
    edited_at: Mapping[str, datetime] = field(default_factory=dict)


def plan_row(row: Row, policy: Policy) -> tuple[Action, ...]:
    """What has to happen to one row, on either side.

    After the actions on the mirror are applied, the base is the remote state; what then still
    differs locally is what the actions on hiTask will send.
    """
    if row.local is not None and row.remote is not None:
        return tuple(_merge(row, policy))  # same, changed or new on each: field by field
    local = _state(row.table, row.base, row.local)
    remote = _state(row.table, row.base, row.remote)
    match local, remote:
        case State.NEVER, State.NEVER:
            return ()
        case State.NEVER, State.NEW:
            return (InsertRow(_values(row.remote)),)
        case State.NEW, State.NEVER:
            return _create(_values(row.local))
        case State.GONE, State.GONE:
            return (Forget(),)
        case State.GONE, State.SAME:
            return (SendDelete(),)
        case State.GONE, State.CHANGED:
            return _revive(row, policy)
        case State.SAME, State.GONE:
            return (RemoveRow(),)
        case _:  # changed here, gone there
            return _bury(row, policy)


def changed_columns(table: str, before: Values, after: Values) -> dict[str, Value]:
    """The columns that both sides may write and that differ, with their values afterwards."""
    return {
        column: after.get(column)
        for column, f in fields_of(table).items()
        if f.sendable
        # Nearly all are equal: not worth a call.
        and (old := before.get(column, f.empty)) != (new := after.get(column, f.empty))
        and not same_value(f, old, new)
        and not (f.never_empty and says_nothing(after.get(column)))
    }


def _state(table: str, base: Values | None, side: Values | None) -> State:
    if base is None:
        return State.NEVER if side is None else State.NEW
    if side is None:
        return State.GONE
    if side is base:
        return State.SAME
    return State.CHANGED if changed_columns(table, base, side) else State.SAME


def _create(values: Values) -> tuple[Action, ...]:
    """A new row is created with what it says, and archived afterwards if it says so."""
    create = SendCreate({c: v for c, v in values.items() if c != "archived"})
    return (create, SendArchive()) if values.get("archived") else (create,)


def _revive(row: Row, policy: Policy) -> tuple[Action, ...]:
    """Deleted here, edited there: the edit survives and the row comes back."""
    base, remote = _values(row.base), _values(row.remote)
    edit = changed_columns(row.table, base, remote)
    before = {column: base.get(column) for column in edit}
    conflict = RecordConflict(None, before, None, edit, "remote", policy.default)
    return (InsertRow(remote), conflict)


def _bury(row: Row, policy: Policy) -> tuple[Action, ...]:
    """Edited here, gone there: the edit survives in the records, or makes a new item.

    When it vanished there is not known, so the policy `newest` decides as `remote` does.
    """
    base, local = _values(row.base), _values(row.local)
    edit = changed_columns(row.table, base, local)
    edit.pop("archived", None)  # out of sight there as here: both wanted the same
    keep = any(policy.of(column) == "local" for column in edit)
    winner: Resolution = "local" if keep else "remote"
    conflicts = tuple(
        RecordConflict(column, base.get(column), value, None, winner, policy.of(column))
        for column, value in edit.items()
    )
    return (*conflicts, *(_create(local) if keep else (RemoveRow(),)))


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What becomes of one field: the value both sides end with, and what to do for it."""

    value: Value
    take: bool = False  # the mirror must change
    send: bool = False  # hiTask must change
    conflict: RecordConflict | None = None


def _merge(row: Row, policy: Policy) -> Iterator[Action]:
    local, remote = _values(row.local), _values(row.remote)
    outcomes = {
        column: _merge_field(f, row, policy)
        for column, f, counted in _merged(row.table)
        # Nothing becomes of what is the same on both sides, but for what both may have added to.
        if counted or local.get(column) != remote.get(column)
    }
    yield from (o.conflict for o in outcomes.values() if o.conflict)
    take = {column: o.value for column, o in outcomes.items() if o.take}
    if take:
        yield UpdateRow(take)
    send = {column: o.value for column, o in outcomes.items() if o.send}
    if "is_all_day" in send:
        # The same cells now mean days instead of instants, or the reverse, on the wire too.
        send |= {
            f.column: value
            for f in fields_of(row.table).values()
            if f.type in DATE_TYPES
            and (value := _end_value(f.column, outcomes, remote)) is not None
        }
    if send:
        yield SendUpdate(send)
    if local.get("archived") and not remote.get("archived"):
        yield SendArchive()


@cache
def _merged(table: str) -> tuple[tuple[str, Field, bool], ...]:
    """The columns that merge, each with its field and whether both sides may add to it."""
    return tuple(
        (column, f, f.access is Access.COUNTED)
        for column, f in fields_of(table).items()
        # The API never shows an archived item, so only the mirror can say it.
        if column != "archived"
    )


def _end_value(column: str, outcomes: Mapping[str, _Outcome], remote: Values) -> Value:
    outcome = outcomes.get(column)
    return remote.get(column) if outcome is None else outcome.value


def _merge_field(field: Field, row: Row, policy: Policy) -> _Outcome:
    column = field.column
    before = _values(row.base).get(column, field.empty) if row.base else field.empty
    ours = _values(row.local).get(column, field.empty)
    theirs = _values(row.remote).get(column, field.empty)
    if field.access is Access.COUNTED:
        # What both sides added counts, also where they come to the same total. Of a row without
        # a base, ours is only what hiTask has not been sent.
        total = (theirs or 0) + (ours or 0) - (before or 0)
        take, send = (not same_value(field, total, side) for side in (ours, theirs))
        return _Outcome(total or None, take=take, send=send)
    if same_value(field, ours, theirs):
        return _Outcome(theirs)
    if not field.sendable or (field.never_empty and says_nothing(ours)):
        return _Outcome(theirs, take=True)  # nothing that people can say
    if same_value(field, before, ours):
        return _Outcome(theirs, take=True)  # changed there only
    if same_value(field, before, theirs):
        return _Outcome(ours, send=True)  # changed here only
    if field.type is FieldType.SET:
        merged = _merge_sets(before, ours, theirs)
        return _Outcome(
            merged,
            take=merged != ours,
            send=not same_value(field, merged, theirs),
        )
    decided = policy.of(column)  # two values for one field
    winner = _winner(row, column, decided)
    conflict = RecordConflict(column, before, ours, theirs, winner, decided)
    if winner == "local":
        return _Outcome(ours, send=True, conflict=conflict)
    return _Outcome(theirs, take=True, conflict=conflict)


def _merge_sets(before: Value, ours: Value, theirs: Value) -> list[Value]:
    """Both sides' additions and removals; in the order of theirs, then ours."""
    kept = (as_set(before) & as_set(ours) & as_set(theirs)) | (
        (as_set(ours) | as_set(theirs)) - as_set(before)
    )
    ordered = dict.fromkeys([*(theirs or ()), *(ours or ())])
    return [value for value in ordered if value in kept]


def _winner(row: Row, column: str, decided: PolicyName) -> Resolution:
    if decided != "newest":
        return decided
    edited = row.edited_at.get(column)
    updated = _values(row.remote).get("time_last_update")
    if edited is None or updated is None:
        return "remote"
    return "local" if edited > updated else "remote"


def _values(side: Values | None) -> Values:
    if side is None:  # the caller's cases exclude it
        raise ValueError("this side has no such row")
    return side
