"""The change log: what people changed, and what became of it.

Public: `unfinished`, `load`, `history`, `set_state`, `counts`, `rejected`, `newest_seq`,
`deletes_since`, `list_changes`, `captured`, `write_logged`, `FINAL_STATES`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import (
    ColumnElement,
    Connection,
    RowMapping,
    Select,
    Text,
    cast,
    func,
    literal,
    select,
    update,
)

from hisync.change import Change
from hisync.items import JSON_TYPES, Field, FieldType, fields_of
from hisync.mirror import sqlite
from hisync.mirror.base import among, chunks
from hisync.mirror.folding import fold_changes
from hisync.mirror.tables import ITEM_TABLES, change_log

FINAL_STATES = frozenset({"done", "merged", "rejected", "discarded"})


def unfinished(
    connection: Connection, guids: Iterable[str] | None = None
) -> dict[tuple[str, str], list[Change]]:
    """The changes without an end, oldest first, by (table, guid); of all rows or of these."""
    query = select(change_log).where(change_log.c.finished_at.is_(None)).order_by(change_log.c.seq)
    found: dict[tuple[str, str], list[Change]] = {}
    queries: Iterable[Select[Any]] = (
        [query]
        if guids is None
        else [query.where(among(change_log.c.row_guid, chunk)) for chunk in chunks(guids)]
    )
    for one in queries:
        for row in connection.execute(one).mappings():
            found.setdefault((row["table_name"], row["row_guid"]), []).append(_change(row))
    return found


def load(connection: Connection, seqs: Iterable[int]) -> dict[int, Change]:
    """These changes by their numbers, finished ones too; those that there are."""
    return {
        row["seq"]: _change(row)
        for chunk in chunks(seqs)
        for row in connection.execute(
            select(change_log).where(among(change_log.c.seq, chunk))
        ).mappings()
    }


def history(connection: Connection, guids: Iterable[str]) -> dict[tuple[str, str], list[Change]]:
    """All that was ever logged of these rows, oldest first, by (table, guid)."""
    query = select(change_log).order_by(change_log.c.seq)
    found: dict[tuple[str, str], list[Change]] = {}
    for chunk in chunks(guids):
        rows = connection.execute(query.where(among(change_log.c.row_guid, chunk))).mappings()
        for row in rows:
            found.setdefault((row["table_name"], row["row_guid"]), []).append(_change(row))
    return found


def unfinished_where(connection: Connection, condition: ColumnElement[bool]) -> list[Change]:
    """The changes without an end that a condition on `change_log` names, oldest first."""
    query = select(change_log).where(change_log.c.finished_at.is_(None), condition)
    rows = connection.execute(query.order_by(change_log.c.seq)).mappings()
    return [_change(row) for row in rows]


def set_state(
    connection: Connection,
    seqs: Iterable[int],
    state: str,
    *,
    now: datetime,
    error: str | None = None,
    attempted: bool = False,
) -> None:
    """Put changes into a state; a final one is dated.

    Args:
        connection: the engine's write transaction.
        seqs: the changes.
        state: one of the contract's states.
        now: the time, UTC.
        error: the reason, for people; None clears an earlier one.
        attempted: count one more attempt.
    """
    values: dict[str, Any] = {
        "state": state,
        "error": error,
        "finished_at": now if state in FINAL_STATES else None,
    }
    if attempted:
        values["attempts"] = change_log.c.attempts + 1
    for chunk in chunks(seqs):
        connection.execute(update(change_log).where(among(change_log.c.seq, chunk)).values(values))


def move(connection: Connection, guid: str, table: str, *, to: str) -> None:
    """The item became one of another kind, and its row went to another table."""
    log = change_log.c
    connection.execute(
        update(change_log)
        .where(log.finished_at.is_(None), log.row_guid == guid, log.table_name == table)
        .values(table_name=to)
    )


def counts(connection: Connection) -> dict[str, int]:
    """How many changes are in each state."""
    query = select(change_log.c.state, func.count()).group_by(change_log.c.state)
    return dict(connection.execute(query).all())


def rejected(connection: Connection) -> dict[int, str]:
    """The reasons of all rejected changes, by number."""
    query = select(change_log.c.seq, change_log.c.error).where(change_log.c.state == "rejected")
    return {seq: error or "" for seq, error in connection.execute(query)}


def newest_seq(connection: Connection) -> int:
    """The number of the newest change, 0 before the first."""
    return connection.execute(select(func.max(change_log.c.seq))).scalar_one() or 0


def deletes_since(connection: Connection, moment: datetime) -> int:
    """How many deletions were carried out on hiTask since then."""
    query = (
        select(func.count())
        .select_from(change_log)
        .where(change_log.c.op == "delete", change_log.c.state == "done")
        .where(change_log.c.finished_at >= moment)
    )
    return connection.execute(query).scalar_one()


def list_changes(connection: Connection, everything: bool, limit: int) -> list[RowMapping]:
    """The newest rows of the change log: all, or those that wait or were rejected."""
    query = select(change_log).order_by(change_log.c.seq.desc()).limit(limit)
    if not everything:
        query = query.where(change_log.c.finished_at.is_(None) | (change_log.c.state == "rejected"))
    return list(connection.execute(query).mappings())


@contextmanager
def captured(connection: Connection) -> Iterator[None]:
    """Let the triggers see what is written inside: a person's edit, made in the engine's stead."""
    sqlite.unmark(connection)
    yield
    sqlite.mark(connection)
    fold_changes(connection)


def write_logged(connection: Connection, table: str, guid: str, values: Mapping[str, Any]) -> None:
    """Set cells of a row to what `old_values` or `new_values` say that they were."""
    if not values:
        return
    fields, target = fields_of(table), ITEM_TABLES[table]
    cells = {c: _as_cell(fields[c], value) for c, value in values.items()}
    connection.execute(update(target).where(target.c.guid == guid).values(cells))


def _as_cell(field: Field, logged: Any) -> ColumnElement[Any]:
    """Typed by what it is in Python: a cell may hold what its column's type has no form for."""
    if field.type is FieldType.BOOL and (logged is None or isinstance(logged, bool)):
        return literal(int(logged or False))
    if not isinstance(logged, str):
        is_json = field.type in JSON_TYPES and logged is not None
        return literal(orjson.dumps(logged).decode() if is_json else logged)
    try:
        logged.encode()
    except UnicodeEncodeError:
        return cast(literal(logged.encode("utf-8", "surrogateescape")), Text)
    return literal(_quoted(logged) if field.type is FieldType.JSON else logged)


def _quoted(logged: str) -> str:
    """JSON that is a text; but what `read_json` had to take apart stands unparsed already."""
    try:
        nested = isinstance(orjson.loads(logged), dict | list)
    except orjson.JSONDecodeError:
        nested = False
    return logged if nested else orjson.dumps(logged).decode()


def _change(row: RowMapping) -> Change:
    return Change(
        seq=row["seq"],
        table=row["table_name"],
        guid=row["row_guid"],
        op=row["op"],
        old_values=row["old_values"] or {},
        new_values=row["new_values"] or {},
        changed_at=row["changed_at"],
        state=row["state"],
        attempts=row["attempts"],
    )
