"""The change log: what people changed, and what became of it.

Public: `unfinished`, `unfinished_where`, `any_unfinished`, `load`, `history`, `set_state`, `move`,
`rename`, `in_state`, `counts`, `rejected`, `newest_seq`, `deletes_since`, `list_changes`,
`captured`, `write_logged`, `FINAL_STATES`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final

import orjson
from sqlalchemy import (
    ColumnElement,
    Connection,
    RowMapping,
    bindparam,
    exists,
    func,
    select,
    union_all,
    update,
)

from hisync.change import Change
from hisync.items import JSON_TYPES, Field, FieldType, fields_of
from hisync.mirror import dialects, state
from hisync.mirror.base import rows_among, write_among
from hisync.mirror.dialects import Dialect
from hisync.mirror.folding import fold_changes
from hisync.mirror.tables import ITEM_TABLES, change_log

FINAL_STATES = frozenset({"done", "merged", "rejected", "discarded"})

# Made once: these are asked in every cycle, mostly to find nothing.
_ANY: Final = select(change_log).order_by(change_log.c.seq)
_UNFINISHED: Final = _ANY.where(change_log.c.finished_at.is_(None))
_ANY_UNFINISHED: Final = select(exists().where(change_log.c.finished_at.is_(None)))
_COUNTED: Final = select(change_log.c.state, func.count()).group_by(change_log.c.state)
_COUNTS: Final = union_all(
    _COUNTED.where(change_log.c.finished_at.is_(None)),
    _COUNTED.where(change_log.c.finished_at.is_not(None)),
)
_NEWEST: Final = select(func.max(change_log.c.seq))
_ENDING: Final = update(change_log).values(
    state=bindparam("new_state"),
    error=bindparam("new_error"),
    finished_at=bindparam("new_end", type_=change_log.c.finished_at.type),
    attempts=change_log.c.attempts + bindparam("more_attempts"),
)
_RENAMING: Final = update(change_log).values(row_guid=bindparam("new_guid"))


def unfinished(
    connection: Connection, guids: Iterable[str] | None = None
) -> dict[tuple[str, str], list[Change]]:
    """The changes without an end, oldest first, by (table, guid); of all rows or of these."""
    rows: Iterable[RowMapping] = (
        connection.execute(_UNFINISHED).mappings()
        if guids is None
        else rows_among(connection, _UNFINISHED, change_log.c.row_guid, guids)
    )
    found: dict[tuple[str, str], list[Change]] = {}
    for row in rows:
        found.setdefault((row["table_name"], row["row_guid"]), []).append(_change(row))
    return found


def any_unfinished(connection: Connection) -> bool:
    """Whether any change has no end yet."""
    return bool(connection.execute(_ANY_UNFINISHED).scalar_one())


def load(connection: Connection, seqs: Iterable[int]) -> dict[int, Change]:
    """These changes by their numbers, finished ones too; those that there are."""
    rows = rows_among(connection, _ANY, change_log.c.seq, seqs)
    return {row["seq"]: _change(row) for row in rows}


def history(connection: Connection, guids: Iterable[str]) -> dict[tuple[str, str], list[Change]]:
    """All that was ever logged of these rows, oldest first, by (table, guid)."""
    found: dict[tuple[str, str], list[Change]] = {}
    for row in rows_among(connection, _ANY, change_log.c.row_guid, guids):
        found.setdefault((row["table_name"], row["row_guid"]), []).append(_change(row))
    return found


def unfinished_where(connection: Connection, condition: ColumnElement[bool]) -> list[Change]:
    """The changes without an end that a condition on `change_log` names, oldest first."""
    rows = connection.execute(_UNFINISHED.where(condition)).mappings()
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
    values = {
        "new_state": state,
        "new_error": error,
        "new_end": now if state in FINAL_STATES else None,
        "more_attempts": int(attempted),
    }
    write_among(connection, _ENDING, change_log.c.seq, seqs, values)


def move(connection: Connection, guid: str, table: str, *, to: str) -> None:
    """The item became one of another kind, and its row went to another table."""
    log = change_log.c
    connection.execute(
        update(change_log)
        .where(log.finished_at.is_(None), log.row_guid == guid, log.table_name == table)
        .values(table_name=to)
    )


def rename(connection: Connection, seqs: Iterable[int], guid: str) -> None:
    """Let changes be those of a row with another key."""
    write_among(connection, _RENAMING, change_log.c.seq, seqs, {"new_guid": guid})


def in_state(state: str) -> ColumnElement[bool]:
    """The condition that a change is in a state, put so that one of the log's indexes serves."""
    ended = change_log.c.finished_at
    has_end = ended.is_not(None) if state in FINAL_STATES else ended.is_(None)
    return has_end & (change_log.c.state == state)


def counts(connection: Connection) -> dict[str, int]:
    """How many changes are in each state."""
    return dict(connection.execute(_COUNTS).all())


def rejected(connection: Connection) -> dict[int, str]:
    """The reasons of all rejected changes, by number."""
    query = select(change_log.c.seq, change_log.c.error).where(in_state("rejected"))
    return {seq: error or "" for seq, error in connection.execute(query)}


def newest_seq(connection: Connection) -> int:
    """The number of the newest change, 0 before the first."""
    return connection.execute(_NEWEST).scalar_one() or 0


def deletes_since(connection: Connection, moment: datetime) -> int:
    """How many deletions were carried out on hiTask since then."""
    query = (
        select(func.count())
        .select_from(change_log)
        .where(change_log.c.op == "delete", in_state("done"))
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
    dialect = dialects.of(connection)
    dialect.unmark(connection)
    yield
    dialect.mark(connection)
    fold_changes(connection, state.load(connection).folded_seq)


def write_logged(connection: Connection, table: str, guid: str, values: Mapping[str, Any]) -> None:
    """Set cells of a row to what `old_values` or `new_values` say that they were."""
    if not values:
        return
    fields, target = fields_of(table), ITEM_TABLES[table]
    dialect = dialects.of(connection)
    cells = {c: _as_cell(dialect, fields[c], value) for c, value in values.items()}
    connection.execute(update(target).where(target.c.guid == guid).values(cells))


def _as_cell(dialect: Dialect, field: Field, logged: Any) -> ColumnElement[Any]:
    """Typed by what it is in Python: a cell may hold what its column's type has no form for."""
    if field.type is FieldType.JSON and isinstance(logged, str):
        logged = _quoted(logged)
        return dialect.logged_cell(logged, is_json=False, is_bool=False)
    return dialect.logged_cell(
        logged, is_json=field.type in JSON_TYPES, is_bool=field.type is FieldType.BOOL
    )


def _quoted(logged: str) -> str:
    """JSON that is a text; but what `read_json` had to take apart stands unparsed already."""
    try:
        logged.encode()
        nested = isinstance(orjson.loads(logged), dict | list)
    except UnicodeEncodeError:
        return logged
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
