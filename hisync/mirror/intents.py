"""`sync_intents`: what was about to be sent, committed before it was.

After a crash or a lost answer, an intent is all that is known; the next read of hiTask shows
what became of it. Public: `Intent`, `Op`, `load_intents`, `busy_guids`, `load_raw`,
`save_intents`, `forget_intents`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, Literal, TypeAlias

from sqlalchemy import Connection, bindparam, insert, select

from hisync.items import TABLES, Value, Values
from hisync.mirror.base import delete_among
from hisync.mirror.cells import decode_row, to_json
from hisync.mirror.tables import sync_intents

_OF_TABLES: Final = select(sync_intents).where(
    sync_intents.c.table_name.in_(bindparam("tables", expanding=True))
)

_GUIDS: Final = select(sync_intents.c.guid)

_SAVE: Final = insert(sync_intents)

Op: TypeAlias = Literal["create", "update", "archive", "delete"]


@dataclass(frozen=True, slots=True)
class Intent:
    """One request about to be made, or made with an unknown outcome.

    Attributes:
        guid: the row.
        table: its table.
        op: what is asked of hiTask.
        sent: the values that go out, by column.
        last_seq: the newest change of the row that they include.
        attempt: how often the row's changes were sent, this time included.
        started_at: when, UTC.
    """

    guid: str
    table: str
    op: Op
    sent: Values
    last_seq: int
    attempt: int
    started_at: datetime


def load_intents(connection: Connection) -> dict[str, Intent]:
    """The intents of items whose outcome is not known yet, by row."""
    return {
        intent.guid: replace(intent, sent=_decode(intent.table, intent.sent))
        for intent in load_raw(connection, TABLES)
    }


def busy_guids(connection: Connection) -> set[str]:
    """The keys of all intents: an item and a comment may have the same, and wait for each other."""
    return set(connection.execute(_GUIDS).scalars())


def load_raw(connection: Connection, tables: Collection[str]) -> list[Intent]:
    """The intents of rows of these tables, what was sent as it is stored."""
    return [
        Intent(
            guid=row["guid"],
            table=row["table_name"],
            op=row["op"],
            sent=row["sent"],
            last_seq=row["last_seq"],
            attempt=row["attempt"],
            started_at=row["started_at"],
        )
        for row in connection.execute(_OF_TABLES, {"tables": list(tables)}).mappings()
    ]


def save_intents(connection: Connection, intents: Sequence[Intent]) -> None:
    """Write them down; commit before sending them."""
    written = [
        {
            "guid": intent.guid,
            "table_name": intent.table,
            "op": intent.op,
            "sent": {column: to_json(value) for column, value in intent.sent.items()},
            "last_seq": intent.last_seq,
            "attempt": intent.attempt,
            "started_at": intent.started_at,
        }
        for intent in intents
    ]
    if written:
        connection.execute(_SAVE, written)


def forget_intents(connection: Connection, guids: Iterable[str]) -> None:
    """Their outcomes are known."""
    delete_among(connection, sync_intents.c.guid, guids)


def _decode(table: str, sent: Mapping[str, Any]) -> dict[str, Value]:
    values, _ = decode_row(table, sent)
    return {column: values[column] for column in sent}
