"""What a transaction is going to write to the mirror, gathered so that it is written in sets.

Public: `Writes`, `report_conflicts`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from hisync.items import Value, Values
from hisync.mirror import base as bases
from hisync.mirror import records, rows
from hisync.mirror.base import Base
from hisync.mirror.records import ConflictRecord, RemovedRow
from hisync.plan.actions import RecordConflict


@dataclass(slots=True)
class Writes:
    """Rows, cells, bases and records to write; `flush` writes them, each kind at once.

    Attributes:
        rows: whole rows to put in, by table.
        cells: single cells to set, by table and guid.
        gone: guids of rows to take out, by table.
        bases: bases to write.
        forgotten: guids of bases to drop.
        conflicts: decisions to record.
        removed: last states to keep.
    """

    rows: dict[str, list[Values]] = field(default_factory=dict)
    cells: dict[tuple[str, str], dict[str, Value]] = field(default_factory=dict)
    gone: dict[str, list[str]] = field(default_factory=dict)
    bases: list[Base] = field(default_factory=list)
    forgotten: list[str] = field(default_factory=list)
    conflicts: list[ConflictRecord] = field(default_factory=list)
    removed: list[RemovedRow] = field(default_factory=list)

    @property
    def rows_touched(self) -> int:
        """How many rows are put in, changed, or taken out."""
        whole = sum(map(len, self.rows.values()))
        return whole + len(self.cells) + sum(map(len, self.gone.values()))

    def put(self, table: str, row: Values) -> None:
        """Put a whole row in: `guid`, `id` and its values."""
        self.rows.setdefault(table, []).append(row)

    def set(self, table: str, guid: str, values: Values) -> None:
        """Set some cells of a row."""
        if values:
            self.cells.setdefault((table, guid), {}).update(values)

    def conflict(self, table: str, guid: str, decided: RecordConflict) -> None:
        """Record a decision."""
        self.conflicts.append(
            ConflictRecord(
                table,
                guid,
                decided.field,
                decided.base,
                decided.local,
                decided.remote,
                decided.resolution,
                decided.policy,
            )
        )

    def take_out(self, table: str, guid: str) -> None:
        """Take a row out of its table."""
        self.gone.setdefault(table, []).append(guid)

    def flush(self, connection: Connection, now: datetime) -> None:
        """Write it all, in the caller's transaction."""
        for table, guids in self.gone.items():
            rows.delete_rows(connection, table, guids)
        bases.forget_bases(connection, self.forgotten)
        for table, values in self.rows.items():
            rows.upsert_rows(connection, table, values)
        for (table, guid), cells in self.cells.items():
            rows.set_cells(connection, table, guid, cells)
        bases.save_bases(connection, self.bases)
        records.record_conflicts(connection, self.conflicts, now)
        records.record_removed(connection, self.removed, now)


def report_conflicts(log: Any, conflicts: Iterable[ConflictRecord]) -> None:
    """Say in the log what was decided, without the values, which are the people's own."""
    for conflict in conflicts:
        log.info(
            "conflict_recorded",
            table=conflict.table,
            guid=conflict.guid,
            field=conflict.field,
            resolution=conflict.resolution,
            policy=conflict.policy,
        )
