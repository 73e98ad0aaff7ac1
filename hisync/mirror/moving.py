"""Moves a mirror to another database with all that it remembers, unsent changes among it.

Nobody writes to either side meanwhile, and everything arrives in one transaction. Two databases
can't commit as one, so there are three steps: the copy is committed and refused, the old mirror is
committed as moved, the copy is released. Whatever ends the process between them, at most one of the
two can be worked on, and the same command again goes on from there. Public: `move_mirror`, `Moved`.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Table, delete, func, inspect, select

from hisync.errors import LockedError, MirrorError
from hisync.mirror import dialects, state
from hisync.mirror.carrying import Carrier
from hisync.mirror.moved import moved_message, refusal
from hisync.mirror.store import Mirror
from hisync.mirror.tables import EDITED_TABLES, SHOWN_TABLES, sync_state

_SCRATCH: Final = {"sync_doomed", "sync_mark"}
_OF_EACH: Final = {"fence", "moved_to", "moving_from"}
"""What a mirror remembers of itself and not of hiTask."""

_NAMED: Final = 10
"""How many faults are named."""


@dataclass(frozen=True, slots=True)
class Moved:
    """What was moved.

    Attributes:
        rows: how many rows by table, empty if only the end of an earlier try was missing.
        altered: cells that the other engine can't hold as they were.
        left: columns that people have added, which stay behind.
    """

    rows: dict[str, int]
    altered: int
    left: list[str]


def move_mirror(
    source: Mirror, target: Mirror, tell: Callable[[str, int, int | None], object]
) -> Moved:
    """Move a mirror into an empty database; neither of the two is locked before.

    Args:
        source: the mirror.
        target: the database; its schema is made.
        tell: is told of each table how many of its rows are there.

    Raises:
        LockedError: if a hisync is working on one of them.
        MirrorError: if the target isn't empty, or a cell can't be held there: then nothing was
            changed.
    """
    if _is_same(source, target):
        raise _itself(target)
    with _named(source):
        source.acquire(upgrade=False, to_move=True)
    with source.reading() as connection:
        memory = state.load(connection)
    if memory.moving_from is not None:
        raise MirrorError(f"{source.name} is a copy that was not finished, not a mirror")
    with _named(target):
        try:
            target.acquire(to_move=True)
        except LockedError:
            with target.reading() as connection:
                if state.load(connection) != memory:
                    raise
            raise _itself(target) from None  # by another of its server's names
    moved = _finished_before(target, memory) if memory.moved_to else _copy(source, target, tell)
    _release(target)
    return moved


def _itself(target: Mirror) -> MirrorError:
    return MirrorError(f"{target.name} is the mirror itself: name another database")


def _is_same(source: Mirror, target: Mirror) -> bool:
    """Whether both names are one database's: a file may have others by links."""
    if source.folder is None or target.folder is None:
        return source.name == target.name
    return Path(source.name).samefile(target.name)


@contextmanager
def _named(mirror: Mirror) -> Iterator[None]:
    try:
        yield
    except LockedError as error:
        text = f"{mirror.name}: {error}: stop it, then move the mirror"
        raise LockedError(error.pid, text) from None


def _finished_before(target: Mirror, memory: state.EngineState) -> Moved:
    """Nothing to copy, if the target is where the mirror went.

    Raises:
        MirrorError: if it is another.
    """
    went = memory.moved_to or {}
    with target.reading() as connection:
        came = state.load(connection).moving_from or {}
    if came.get("token") != went["token"]:
        raise MirrorError(f"{moved_message(went)}; move that one")
    return Moved({}, 0, [])


def _copy(source: Mirror, target: Mirror, tell: Callable[[str, int, int | None], object]) -> Moved:
    token = uuid.uuid4().hex
    at = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")
    went = {"name": target.name, "at": at, "token": token}
    with source.writing() as old:
        # Not at the end: where someone stands at the gate by then, PostgreSQL adds no trigger.
        _refuse_edits(old, state.EngineState(moved_to=went))
        with target.writing() as new:
            _make_room(new, target.name, source.name)
            moved = _carry(old, new, tell)
            state.save(new, moving_from={"name": source.name, "token": token}, moved_to=None)
            _refuse_edits(new, state.load(new))
        _give_up(old, went)
    return moved


def _give_up(old: Connection, went: dict[str, Any]) -> None:
    """Let nobody work on the old mirror any more."""
    state.save(old, moved_to=went)


def _refuse_edits(connection: Connection, memory: state.EngineState) -> None:
    dialects.of(connection).refuse_edits(connection, refusal(memory) or "")


def _release(target: Mirror) -> None:
    """Let the new mirror be worked on."""
    with target.writing() as connection:
        state.save(connection, moving_from=None)
        dialects.of(connection).install_capture(connection)  # and people may edit it


def _make_room(connection: Connection, name: str, source: str) -> None:
    """Make sure that a database is empty; a copy that was never released is thrown away.

    Raises:
        MirrorError: if there is anything in it.
    """
    tables = _tables(connection, connection)
    memory = state.load(connection)
    if memory.moving_from is not None:
        if memory.moving_from["name"] != source:
            # That one may have given itself up already: then this is the only copy to be released.
            raise MirrorError(
                f"{name} holds a copy of {memory.moving_from['name']} that was not finished: "
                "finish that one, or name an empty database; nothing was moved"
            )
        for table in tables:
            connection.execute(delete(table))
        connection.execute(delete(sync_state).where(sync_state.c.key.not_in(_OF_EACH)))
        return
    counted = {t.name: connection.scalar(select(func.count()).select_from(t)) for t in tables}
    known = connection.scalar(
        select(func.count())
        .select_from(sync_state)
        .where(sync_state.c.key.not_in(_OF_EACH), sync_state.c.value.is_not(None))
    )
    found = [f"{table} ({rows})" for table, rows in counted.items() if rows]
    if known and not found:
        found.append("the memory of a mirror without items")
    if found:
        moved = f" ({moved_message(memory.moved_to)})" if memory.moved_to is not None else ""
        raise MirrorError(
            f"{name} isn't empty{moved}; rows are in {', '.join(found)}: name an empty database; "
            "nothing was moved"
        )


def _carry(
    old: Connection, new: Connection, tell: Callable[[str, int, int | None], object]
) -> Moved:
    carrier = Carrier(old, new.dialect.name)
    dialect, counted = dialects.of(new), {}
    for table in _tables(old, new):
        counted[table.name] = 0
        for rows in carrier.batches(table):
            if not carrier.faults:
                dialect.fill(new, table, rows)
            counted[table.name] += len(rows)
            tell(f"moving {table.name}", counted[table.name], None)
            _check(carrier, last=False)
        _count_on(old, new, table)
    for rows in carrier.batches(sync_state):
        dialect.fill(new, sync_state, [row for row in rows if row["key"] not in _OF_EACH])
    _check(carrier, last=True)
    shown = {t: n for t, n in counted.items() if n and not t.startswith("sync_")}
    return Moved(shown, carrier.altered, _added_columns(old))


def _check(carrier: Carrier, *, last: bool) -> None:
    faults = carrier.faults
    if not faults or (len(faults) <= _NAMED and not last):
        return
    more = ["and more"] if len(faults) > _NAMED else []
    lines = "\n".join(f"  {line}" for line in [*faults[:_NAMED], *more])
    raise MirrorError(
        f"cells that can't be moved:\n{lines}\nmend them, or take the change back (see `hisync "
        "changes list`), and try again; nothing was moved"
    )


def _count_on(old: Connection, new: Connection, table: Table) -> None:
    """Numbers that were given once are not given again, not even those of pruned rows."""
    column = table.autoincrement_column
    if column is not None:
        dialects.of(new).count_on(new, column, dialects.of(old).last_number(old, column))


def _tables(old: Connection, new: Connection) -> list[Table]:
    """What is copied row by row: all that both have, but what is of use to a transaction only."""
    there = dialects.of(new).tables()
    return [
        table
        for name, table in dialects.of(old).tables().items()
        if name in there and name not in _SCRATCH and table is not sync_state
    ]


def _added_columns(connection: Connection) -> list[str]:
    """Columns that people have added to hisync's tables."""
    found: list[str] = []
    for name, table in (EDITED_TABLES | SHOWN_TABLES).items():
        columns: list[Any] = inspect(connection).get_columns(name)
        found += [f"{name}.{c['name']}" for c in columns if c["name"] not in table.c]
    return found
