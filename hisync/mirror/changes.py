"""The change log: what people changed, and what became of it.

Public: `unfinished`, `set_state`, `counts`, `newest_seq`, `deletes_since`, `list_changes`,
`FINAL_STATES`.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, Select, func, select, update

from hisync.change import Change
from hisync.mirror.base import chunks
from hisync.mirror.tables import change_log

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
        else [query.where(change_log.c.row_guid.in_(chunk)) for chunk in chunks(guids)]
    )
    for one in queries:
        for row in connection.execute(one).mappings():
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
        connection.execute(update(change_log).where(change_log.c.seq.in_(chunk)).values(values))


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
