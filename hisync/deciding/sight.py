"""A recorded conflict beside its row as it is now. Public: `load_sight`, `Sight`, `Cell`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from hisync.deciding.decisions import DecisionError
from hisync.items import Field, FieldType, Value, fields_of, same_value
from hisync.mirror import base as bases
from hisync.mirror import records, rows
from hisync.mirror.cells import UnreadableCellError, cell_text, decode_cell
from hisync.mirror.rows import LocalRow


@dataclass(frozen=True, slots=True)
class Cell:
    """The cell of a row that a conflict is about."""

    row: LocalRow
    field: Field

    @property
    def text(self) -> str | None:
        """What it holds now, for people."""
        column = self.field.column
        return self.row.unreadable.get(column) or cell_text(self.row.values[column])

    def decode(self, text: str | None) -> Value:
        """A value from the text that `conflicts` keeps of it.

        Raises:
            UnreadableCellError: if the field can't hold it.
        """
        try:
            return decode_cell(self.field, text, all_day=bool(self.row.values["is_all_day"]))
        except UnreadableCellError:
            if self.field.type is FieldType.JSON and text is not None:
                return text  # JSON that is a text is kept without its quotes
            raise

    def holds(self, text: str | None) -> bool:
        """Whether it holds the value that `conflicts` keeps as this text."""
        if self.field.column in self.row.unreadable:
            return False
        try:
            value = self.decode(text)
        except UnreadableCellError:
            return False
        return same_value(self.field, self.row.values[self.field.column], value)


@dataclass(frozen=True, slots=True)
class Sight:
    """A conflict and its row.

    Attributes:
        conflict: as it is recorded, by column of `conflicts`.
        row: its row, which may be in another table by now; None if it is in none.
        known: whether hiTask knows the row.
    """

    conflict: Mapping[str, Any]
    row: LocalRow | None
    known: bool

    @property
    def cell(self) -> Cell | None:
        """The cell that it is about; None for the row as a whole, and for one that is gone."""
        if self.row is None:
            return None
        field = fields_of(self.row.table).get(self.conflict["field"] or "")
        return Cell(self.row, field) if field is not None else None

    @property
    def lapsed(self) -> bool:
        """Whether the edit of a person who took a side was taken back, or refused by hiTask."""
        of = self.conflict
        if of["resolved_at"] in {None, of["detected_at"]}:
            return False  # policy decides at once
        if of["field"] is None:
            return of["resolution"] == "local" and self.row is not None
        won, lost = of["local_value"], of["remote_value"]
        if of["resolution"] == "remote":
            won, lost = lost, won
        return self.cell is not None and self.cell.holds(lost) and not self.cell.holds(won)

    @property
    def created_anew(self) -> bool:
        """Whether hiTask had lost the item, so that the local edit made another one of it."""
        if self.row is None or not self.known:
            return True
        created = self.row.values["time_create"]
        return created is not None and bool(created > self.conflict["detected_at"])

    @property
    def obstacle(self) -> str | None:
        """Why there is nothing to choose between; None if there is."""
        guid, table, column = (self.conflict[c] for c in ("row_guid", "table_name", "field"))
        if self.conflict["resolution"] == "merged":
            return "the values of both sides were merged: there is nothing to choose"
        if column is None or self.cell is not None:
            return None
        if self.row is not None:
            return f"its row is in {self.row.table} now, which has no {column}"
        return (
            f"its row is no longer in {table}: its last values are in removed_rows, and "
            f"`hisync restore {guid} --as-new` creates it again from them"
        )


def load_sight(connection: Connection, number: int) -> Sight:
    """One conflict with its row.

    Raises:
        DecisionError: if there is no such conflict.
    """
    conflict = records.load_conflict(connection, number)
    if conflict is None:
        raise DecisionError(f"there is no conflict {number}: see `hisync conflicts list`")
    table, guid = conflict["table_name"], conflict["row_guid"]
    base = bases.load_bases(connection, [guid]).get(guid)
    row = rows.load_rows(connection, table, [guid]).get(guid)
    if row is None and base is not None:
        row = rows.load_rows(connection, base.table, [guid]).get(guid)
    known = base is not None and row is not None and base.table == row.table
    return Sight({str(name): value for name, value in conflict.items()}, row, known)
