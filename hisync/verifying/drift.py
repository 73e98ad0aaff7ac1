"""Rows held against the items that they mirror, cell by cell.

A cell that people have changed and that is not sent yet waits and does not drift; neither does a
row whose item was changed on hiTask since the last pull. What hiTask alone says of an item and
changes without a new version of it does not drift either. Public: `compare`, `Comparison`, `Drift`,
`Unreadable`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from sqlalchemy import Connection

from hisync.items import DATE_TYPES, SPENT, Item, Value, Values, fields_of, same_value
from hisync.mirror.base import Base, chunks
from hisync.mirror.places import load_raw
from hisync.mirror.rows import LocalRow, load_rows
from hisync.timekeeping.ledger import unsent_minutes
from hisync.verifying.misfits import Pair, Survey

UNVERSIONED: Final = frozenset({"permission", "shared", "unread", "last_comment_id", "extra"})
"""Read-only columns that tell of the viewer, or of other items (a parent's title in `extra`)."""

_DATES = frozenset(c for c, f in fields_of("projects").items() if f.type in DATE_TYPES)


@dataclass(frozen=True, slots=True)
class Drift:
    """A cell that differs although nobody's edit of it waits.

    Attributes:
        table: where the row belongs.
        guid: the row's key, the right one where it bears another.
        title: hiTask's, for people.
        column: which cell; `archived` too, which hiTask never shows.
        here: its value in the mirror.
        there: its value on hiTask.
    """

    table: str
    guid: str
    title: str
    column: str
    here: Value
    there: Value


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A cell that can't mean anything in its column.

    Attributes:
        table: where the row belongs.
        guid: the row's key.
        column: which cell.
        text: what it holds, as text.
        reason: why it can't be read, and what could.
        there: its value on hiTask.
    """

    table: str
    guid: str
    column: str
    text: str | None
    reason: str
    there: Value


@dataclass(slots=True)
class Comparison:
    """What comparing showed.

    Attributes:
        drift: cells that differ.
        unreadable: cells that can't be read.
        moved: pairs whose row stands in another table than its item belongs to.
        not_pulled: items that were changed on hiTask since the last pull, as far as it shows.
        pulled_until: when the newest item that is pulled was changed on hiTask.
    """

    drift: list[Drift] = field(default_factory=list)
    unreadable: list[Unreadable] = field(default_factory=list)
    moved: list[Pair] = field(default_factory=list)
    not_pulled: int = 0
    pulled_until: datetime | None = None


def compare(connection: Connection, surveyed: Survey) -> Comparison:
    """Hold every row against its item."""
    found, spending = Comparison(), unsent_minutes(connection).keys()
    by_table: dict[str, dict[str, Pair]] = {}
    for pair in surveyed.pairs:
        if pair.place is not None:
            by_table.setdefault(pair.place.table, {})[pair.place.guid] = pair
    for table, pairs in by_table.items():
        for chunk in chunks(pairs):
            for guid, row in load_rows(connection, table, chunk).items():
                waiting = _waiting_columns(surveyed, pairs[guid], row)
                waiting |= {SPENT} if guid in spending else set()  # no change of the row says so
                _compare_row(connection, surveyed, pairs[guid], row, waiting, found)
    return found


def _compare_row(
    connection: Connection,
    surveyed: Survey,
    pair: Pair,
    row: LocalRow,
    waiting: set[str],
    found: Comparison,
) -> None:
    item = pair.item
    if _is_newer(item, pair.base, row):
        found.not_pulled += 1
        return
    moment, later = item.values.get("time_last_update"), _is_later(item, row)
    if moment is not None and not later:
        found.pulled_until = max(moment, found.pulled_until or moment)
    if item.table != row.table:
        found.moved.append(pair)
    theirs = surveyed.identities.values_of(item)
    raw = load_raw(connection, row)
    for column, reason in row.unreadable.items():
        if column not in waiting:
            there = theirs.get(column)
            found.unreadable.append(
                Unreadable(item.table, pair.guid, column, raw[column], reason, there)
            )
    if "is_all_day" in waiting or "is_all_day" in row.unreadable:
        waiting |= _DATES  # the same cells mean something else by another is_all_day
    differing = list(_drift(pair, row, theirs, waiting | row.unreadable.keys()))
    # On some servers a comment moves the time of its item, and not the version.
    news = UNVERSIONED | {"time_last_update"} if later else UNVERSIONED
    drifted = [one for one in differing if one.column not in news]
    found.drift += drifted
    found.not_pulled += bool(differing) and not drifted


def _is_newer(item: Item, base: Base | None, row: LocalRow) -> bool:
    """Whether the item was changed on hiTask since it was pulled; by hiTask's own marks alone."""
    if base is not None and base.id not in (item.id, None) and row.id == base.id:
        return True  # it came back under a new id
    theirs = item.values.get("version")
    ours = [v for v in (base.version if base else None, row.values["version"]) if v is not None]
    if theirs is not None and ours:
        return bool(theirs > max(ours))
    return _is_later(item, row)


def _is_later(item: Item, row: LocalRow) -> bool:
    """Whether hiTask says that something happened to the item after what the row shows."""
    then, before = item.values.get("time_last_update"), row.values["time_last_update"]
    return then is not None and before is not None and then > before


def _waiting_columns(surveyed: Survey, pair: Pair, row: LocalRow) -> set[str]:
    """The columns that people have changed here and that hiTask has not got yet."""
    waiting = set((pair.base.dirty if pair.base else None) or ())
    for change in surveyed.log.get((row.table, row.guid), ()):
        waiting |= {column for column in row.values if change.touches(column)}
    return waiting


def _drift(pair: Pair, row: LocalRow, theirs: Values, waiting: Collection[str]) -> Iterable[Drift]:
    title = str(pair.item.values.get("title") or "")
    shared = fields_of(pair.item.table)
    for column, f in fields_of(row.table).items():
        if column in waiting or column not in shared:
            continue
        here, there = row.values[column], theirs.get(column, f.empty)
        if not same_value(f, here, there):
            yield Drift(pair.item.table, pair.guid, title, column, here, there)
