"""Taking the other side's value of a recorded conflict after all.

It is written as a person's edit, so that it goes out like any; what somebody has changed since is
left alone. Public: `resolve_conflict`, `Resolved`, `Side`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from typing import Any, Literal, TypeAlias

import orjson
from sqlalchemy import Connection

from hisync.deciding.decisions import DecisionError, is_unused, shows_use
from hisync.deciding.sight import Cell, Sight, load_sight
from hisync.items import TABLES, fields_of
from hisync.mirror import changes, records, rows
from hisync.mirror.cells import UnreadableCellError
from hisync.mirror.rows import LocalRow
from hisync.mirror.store import Mirror

Side: TypeAlias = Literal["local", "remote"]


@dataclass(frozen=True, slots=True)
class Resolved:
    """What became of a conflict; `change` is the edit that was made, None if none was needed."""

    number: int
    resolution: Side
    change: int | None
    text: str


def resolve_conflict(mirror: Mirror, number: int, take: Side, now: datetime) -> Resolved:
    """Let a side's value stand.

    Raises:
        DecisionError: if there is no such conflict, nothing to choose, or a newer value; nothing
            was changed then.
    """
    with mirror.writing() as connection:
        sight = load_sight(connection, number)
        stands = sight.conflict[f"{take}_value"]
        if sight.conflict["resolution"] == take and not sight.lapsed:
            if sight.conflict["resolved_at"] is None:
                records.settle_conflict(connection, number, take, now)
            elif sight.cell is not None and not sight.cell.holds(stands):
                raise DecisionError(f"conflict {number}: {_newer(sight.cell, stands)}")
            return Resolved(number, take, None, f"nothing to do: {take} stands already")
        try:
            change, text = _take(connection, sight, take)
        except (DecisionError, UnreadableCellError) as error:
            raise DecisionError(f"conflict {number}: {error}") from None
        records.settle_conflict(connection, number, take, now)
    return Resolved(number, take, change, text)


def _take(connection: Connection, sight: Sight, take: Side) -> tuple[int | None, str]:
    """Make the edit; its number and what it did."""
    if sight.obstacle is not None:
        raise DecisionError(sight.obstacle)
    if sight.cell is not None:
        return _take_value(connection, sight, sight.cell, take)
    if take == "local":
        return _take_deletion(connection, sight)
    if sight.row is not None:
        return None, "nothing to do: the row is there"
    guid = sight.conflict["row_guid"]
    raise DecisionError(
        "the row was deleted: `hisync changes discard` takes that back while it waits, afterwards "
        f"`hisync restore {guid} --as-new` creates it again"
    )


def _take_value(
    connection: Connection, sight: Sight, cell: Cell, take: Side
) -> tuple[int | None, str]:
    column, table, guid = cell.field.column, cell.row.table, cell.row.guid
    local, remote = sight.conflict["local_value"], sight.conflict["remote_value"]
    wanted, won = (local, remote) if take == "local" else (remote, local)
    if take == "remote" and wanted is None and sight.created_anew:
        raise DecisionError(
            "hiTask had lost the item, which was created anew with the local edit: DELETE the row "
            f"from {table} if it should be gone"
        )
    if cell.holds(wanted):
        return None, f"nothing to do: {column} is {_quoted(wanted)} already"
    if not cell.holds(won):
        raise DecisionError(_newer(cell, won))
    value = cell.decode(wanted)
    with changes.captured(connection):
        rows.set_cells(connection, table, guid, {column: value})
    seq = changes.unfinished(connection, [guid])[table, guid][-1].seq
    return seq, f"{column} is {_quoted(wanted)} now, as change {seq}"


def _take_deletion(connection: Connection, sight: Sight) -> tuple[int | None, str]:
    """Delete a row after all that came back since it was edited on hiTask."""
    row = sight.row
    if row is None:
        return None, "nothing to do: the row is gone already"
    since = _changed_since(connection, sight, row)
    if since is not None:
        raise DecisionError(
            f"{since}: nothing was changed; DELETE the row from {row.table} if it should be gone"
        )
    with changes.captured(connection):
        rows.delete_rows(connection, row.table, [row.guid])
    seq = changes.unfinished(connection, [row.guid])[row.table, row.guid][-1].seq
    return seq, f"the row is deleted, as change {seq}"


def _changed_since(connection: Connection, sight: Sight, row: LocalRow) -> str | None:
    """What somebody did to a row since it came back, None if nothing is known of."""
    came_back: dict[str, Any] = orjson.loads(sight.conflict["remote_value"] or "{}")
    # What is over stays in the log of the table that the row was in then.
    logs = changes.history(connection, [row.guid]).items()
    log = [c for (table, _), entries in logs if table in TABLES for c in entries]
    log.sort(key=attrgetter("seq"))
    deletion = next((c for c in reversed(log) if c.op == "delete"), None)
    expected = dict(came_back)
    if deletion is not None:
        newer = [c for c in log if c.seq > deletion.seq and c.state != "discarded"]
        if newer:
            return f"change {newer[-1].seq} edited the row since"
        # What had not been sent when the row was deleted is not what it came back with.
        unsent = [c for c in log if c.state == "merged" and c is not deletion]
        expected |= {
            column: deletion.old_values.get(column)
            for column, field in fields_of(row.table).items()
            if shows_use(field)
            and column not in came_back
            and not any(c.touches(column) for c in unsent)
        }
    all_day = bool(row.values["is_all_day"])
    for column, logged in expected.items():
        field = fields_of(row.table)[column]
        if not is_unused(field, row.values[column], [logged], all_day):
            return f"{column} was changed since"
    return None


def _newer(cell: Cell, won: str | None) -> str:
    return (
        f"{cell.field.column} is {_quoted(cell.text)} by now, not {_quoted(won)}, which had won: "
        "nothing was changed; set it by SQL to what it should be"
    )


def _quoted(text: str | None) -> str:
    return "empty" if text is None else repr(text)
