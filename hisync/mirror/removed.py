"""`removed_rows` read back: what has left the mirror, and the keys that it had here.

Public: `LeftRow`, `latest_of`, `former_guids`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from hisync.items import TABLES
from hisync.mirror.base import CHUNK, among
from hisync.mirror.tables import removed_rows


@dataclass(frozen=True, slots=True)
class LeftRow:
    """One row of `removed_rows`.

    Attributes:
        seq: its number; what left later has a higher one.
        table: the table that it left.
        guid: the key that it had.
        id: hiTask's number of it, None for a row that hiTask never had.
        last_values: its last cells by column, as JSON holds them, without the empty ones.
        removed_at: when, UTC.
        reason: why, in words.
    """

    seq: int
    table: str
    guid: str
    id: int | None
    last_values: Mapping[str, Any]
    removed_at: datetime
    reason: str


def latest_of(
    connection: Connection,
    guid: str,
    tables: Collection[str] | None = None,
    *,
    on_hitask: bool = False,
) -> LeftRow | None:
    """The last time that a row with this guid left, None if none ever did.

    Args:
        connection: any transaction.
        guid: the key that it had.
        tables: only rows of these tables; None for all.
        on_hitask: only rows that hiTask had.
    """
    left = removed_rows.c
    query = select(removed_rows).where(left.row_guid == guid).order_by(left.seq.desc()).limit(1)
    if tables is not None:
        query = query.where(left.table_name.in_(tables))
    if on_hitask:
        query = query.where(left.id.is_not(None))
    row = connection.execute(query).mappings().one_or_none()
    if row is None:
        return None
    return LeftRow(
        seq=row["seq"],
        table=row["table_name"],
        guid=row["row_guid"],
        id=row["id"],
        last_values=row["last_values"] or {},
        removed_at=row["removed_at"],
        reason=row["reason"],
    )


def former_guids(
    connection: Connection, ids: Collection[int], tables: Collection[str] = TABLES.keys()
) -> dict[int, str]:
    """The keys that rows of these tables had when they last left, by hiTask's number.

    Items and comments have numbers of their own, which may be the same. It is one query however
    many they are: of a mirror that lost nothing yet, it costs nothing.
    """
    if not ids:
        return {}
    left = removed_rows.c
    query = select(left.id, left.row_guid).where(left.id.is_not(None)).order_by(left.seq)
    query = query.where(left.table_name.in_(tables))
    if len(ids) <= CHUNK:
        query = query.where(among(connection, left.id, list(ids)))
    wanted = frozenset(ids)
    return {number: guid for number, guid in connection.execute(query) if number in wanted}
