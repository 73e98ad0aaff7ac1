"""What is kept for people when something is decided or leaves: conflicts and removed rows.

Public: `ConflictRecord`, `RemovedRow`, `record_conflicts`, `record_removed`, `list_conflicts`,
`open_conflicts`, `count_conflicts`, `load_conflict`, `settle_conflict`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, func, insert, select, update

from hisync.items import Value, Values
from hisync.mirror.cells import cell_text, to_json
from hisync.mirror.tables import conflicts, removed_rows


@dataclass(frozen=True, slots=True)
class ConflictRecord:
    """One conflict to write down; `field` is None for the row as a whole."""

    table: str
    guid: str
    field: str | None
    base: Value
    local: Value
    remote: Value
    resolution: str
    policy: str


def record_conflicts(
    connection: Connection, records: Iterable[ConflictRecord], now: datetime
) -> None:
    """Write conflicts down that policy has settled."""
    rows = [
        {
            "table_name": record.table,
            "row_guid": record.guid,
            "field": record.field,
            "base_value": cell_text(record.base),
            "local_value": cell_text(record.local),
            "remote_value": cell_text(record.remote),
            "resolution": record.resolution,
            "policy": record.policy,
            "detected_at": now,
            "resolved_at": now,
        }
        for record in records
    ]
    if rows:
        connection.execute(insert(conflicts), rows)


@dataclass(frozen=True, slots=True)
class RemovedRow:
    """The last state of a row that leaves its table."""

    table: str
    guid: str
    id: int | None
    values: Values
    reason: str


def record_removed(connection: Connection, rows: Iterable[RemovedRow], now: datetime) -> None:
    """Keep the last state of rows that leave."""
    records = [
        {
            "table_name": row.table,
            "row_guid": row.guid,
            "id": row.id,
            "last_values": {
                column: _kept(value) for column, value in row.values.items() if value is not None
            },
            "removed_at": now,
            "reason": row.reason,
        }
        for row in rows
    ]
    if records:
        connection.execute(insert(removed_rows), records)


def _kept(value: Value | bytes) -> Any:
    """A cell as JSON holds it, raw ones too: bytes as the change log has them, bad text escaped."""
    if isinstance(value, bytes):
        return value.hex().upper()
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    return to_json(value)


def list_conflicts(connection: Connection, limit: int) -> list[RowMapping]:
    """The newest conflicts."""
    query = select(conflicts).order_by(conflicts.c.id.desc()).limit(limit)
    return list(connection.execute(query).mappings())


def load_conflict(connection: Connection, number: int) -> RowMapping | None:
    """One conflict by its number."""
    query = select(conflicts).where(conflicts.c.id == number)
    return connection.execute(query).mappings().one_or_none()


def settle_conflict(connection: Connection, number: int, resolution: str, now: datetime) -> None:
    """Write down which side's value stands after all."""
    connection.execute(
        update(conflicts)
        .where(conflicts.c.id == number)
        .values(resolution=resolution, resolved_at=now)
    )


def count_conflicts(connection: Connection) -> int:
    """How many conflicts are recorded."""
    return connection.execute(select(func.count()).select_from(conflicts)).scalar_one()


def open_conflicts(connection: Connection) -> int:
    """How many conflicts nobody has settled yet."""
    query = select(func.count()).select_from(conflicts).where(conflicts.c.resolved_at.is_(None))
    return connection.execute(query).scalar_one()
