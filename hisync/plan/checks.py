"""What hiTask will not take, found without spending a request. Pure.

Public: `Neighbours`, `Refusal`, `check`, `refused_edits`, `cells_said`, `read_only_cells`,
`read_only`.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal, TypeAlias

from hisync.change import Change
from hisync.items import (
    SPENT,
    Access,
    Field,
    Level,
    Values,
    fields_of,
    says_nothing,
    table_of_category,
)
from hisync.plan.actions import Send, SendArchive, SendCreate, SendDelete, SendUpdate

Standing: TypeAlias = Literal["none", "known", "coming", "waiting", "absent"]
"""A parent: none named, known to hiTask, created there before this row's turn comes, not created
there yet, or in no table."""


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The rows around one.

    Attributes:
        parent: how the row's parent stands.
        ancestors: the row's parent, its parent, and so on, as far as they go.
        children: rows in the mirror whose parent it is.
        unsettled: whether a write to one of the ancestors is still being looked up.
        level: the permission that this account has on the parent, None where it is not known.
    """

    parent: Standing = "none"
    ancestors: Sequence[str] = ()
    children: int = 0
    unsettled: bool = False
    level: int | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why something can't be sent.

    Attributes:
        whole: the reason why nothing of the row's changes can be sent, None if some can.
        columns: the reason for each column that can't.
        waits: why the row has to wait, None if it needn't.
    """

    whole: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    waits: str | None = None


def check(table: str, guid: str, send: Send, base: Values | None, around: Neighbours) -> Refusal:
    """Whether hiTask will take what is to be sent, as far as can be known here."""
    match send:
        case SendCreate(values):
            return _check_create(table, guid, values, around)
        case SendUpdate(changes):
            return _check_update(table, guid, changes, base or {}, around)
        case SendArchive():
            return Refusal(whole=_lacks(base, Level.ARCHIVE, "archiving"))
        case SendDelete():
            if around.children:
                return Refusal(
                    whole=f"it has {around.children} child items here: delete them too, or give "
                    "them another parent_guid first"
                )
            return Refusal(whole=_lacks(base, Level.DELETE, "deleting"))


def refused_edits(
    table: str, changes: Sequence[Change], base: Values | None, unreadable: Mapping[str, str]
) -> dict[str, str]:
    """The columns whose present value nobody but hiTask may write, or that can't be read.

    Args:
        table: the item table.
        changes: the row's unfinished changes.
        base: the row's base, None for a new row, whose read-only cells are overwritten anyway.
        unreadable: the reason for each cell of the row that can't be read.
    """
    refused = dict(unreadable)
    if base is None:
        return refused
    whole = any(change.op != "update" for change in changes)
    named = {column for change in changes for column in change.new_values}
    for f in _guarded(table):
        column = f.column
        if not whole and column not in named:  # as nearly always
            continue
        if f.never_empty and not says_nothing(base.get(column)) and _emptied(changes, column):
            refused[column] = f"{column} can't be empty on hiTask"
        if f.access is Access.WRITABLE:
            continue
        written = [change for change in changes if _writes(change, column)]
        if written and not _reverted(changes, written[-1], column):
            refused[column] = read_only(column)
    return refused


def cells_said(changes: Iterable[Change]) -> dict[str, Any]:
    """What a new row says in the end, by column."""
    said: dict[str, Any] = {}
    for change in changes:
        said = said if change.op == "update" else {}
        said |= change.new_values
    return said


def read_only_cells(table: str, changes: Iterable[Change]) -> dict[str, Any]:
    """What a new row says in the end of columns that hiTask alone sets, by column."""
    said = cells_said(changes)
    return {c: said[c] for c, f in fields_of(table).items() if c in said and f.hitasks_own}


def read_only(column: str) -> str:
    """Why a column is not sent."""
    instead = "; log time in time_entries" if column == SPENT else ""
    return f"{column} is read-only: only hiTask sets it{instead}"


@cache
def _guarded(table: str) -> tuple[Field, ...]:
    """The columns that not every edit may set."""
    return tuple(
        f for f in fields_of(table).values() if f.never_empty or f.access is not Access.WRITABLE
    )


def _writes(change: Change, column: str) -> bool:
    """Whether someone set the column; a new row that says nothing of it did not."""
    if change.op == "update":
        return column in change.new_values
    return change.op == "insert" and change.new_values.get(column) is not None


def _emptied(changes: Sequence[Change], column: str) -> bool:
    """Whether the last word on a column was to empty it, by name and not by a new row's silence."""
    said = [change for change in changes if change.touches(column)]
    last = said[-1] if said else None
    return last is not None and last.op == "update" and says_nothing(last.new_values.get(column))


def _reverted(changes: Sequence[Change], last: Change, column: str) -> bool:
    """Whether the cell ends as it was before; a REPLACE deletes a row and inserts it again."""
    first = next(change for change in changes if change.touches(column))
    # Whole rows leave out what says nothing: null and false.
    return first.op != "insert" and (
        _said(first.old_values, column) == _said(last.new_values, column)
    )


def _said(cells: Mapping[str, object], column: str) -> object:
    cell = cells.get(column)
    return None if cell is False else cell


def _check_create(table: str, guid: str, values: Values, around: Neighbours) -> Refusal:
    if table == "files":
        return Refusal(whole="rows of files come from hiTask only: upload the file there")
    if not str(values.get("title") or "").strip():
        return Refusal(whole="title is empty: hiTask needs one")
    if table == "other_items" and values.get("category") is None:
        return Refusal(whole="category is empty: say which kind of item it is, such as 6 or 7")
    named = values.get("category")
    if table == "other_items" and named is not None and table_of_category(named) != table:
        return Refusal(
            whole=f"category {named} has a table: insert into {table_of_category(named)}"
        )
    if not _is_uuid(guid):
        return Refusal(whole=f"guid {guid!r} is not a UUID: leave it out to get one")
    if around.parent == "waiting":
        return Refusal(waits="its parent is not on hiTask yet")
    return Refusal(whole=_bad_parent(guid, values.get("parent_guid"), around))


def _check_update(
    table: str, guid: str, changes: Values, base: Values, around: Neighbours
) -> Refusal:
    columns: dict[str, str] = {}
    for column in changes:
        f = fields_of(table)[column]
        lacks = _lacks(base, f.level, f"changing {column}")
        if lacks:
            columns[column] = lacks
    if "title" in changes and not str(changes["title"] or "").strip():
        columns["title"] = "title is empty: hiTask needs one"
    if "parent_guid" in changes and "parent_guid" not in columns:
        if around.parent == "waiting":
            return Refusal(columns=columns, waits="its new parent is not on hiTask yet")
        if around.unsettled and changes["parent_guid"] is not None:
            return Refusal(columns=columns, waits="a change of a row above it is being looked up")
        bad = _bad_parent(guid, changes["parent_guid"], around)
        if bad:
            columns["parent_guid"] = bad
    return Refusal(columns=columns)


def _bad_parent(guid: str, parent: object, around: Neighbours) -> str | None:
    if around.parent == "absent":
        return f"parent_guid {parent!r} is no item of this account"
    if guid in around.ancestors:
        return "parent_guid makes the item its own ancestor"
    if parent is not None:
        return _lacks({"permission": around.level}, Level.ADD_CHILDREN, "adding to its parent")
    return None


def _lacks(base: Values | None, needed: Level, what: str) -> str | None:
    has = (base or {}).get("permission")
    if has is None or has >= needed:
        return None
    return f"{what} needs permission {int(needed)} on the item, this account has {has}"


def _is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False
