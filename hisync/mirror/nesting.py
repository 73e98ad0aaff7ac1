"""Logged changes put into the order in which they happened.

What a person's own trigger does to a row is part of the statement that fired it, and a database may
fire that trigger before ours: then its change is logged before the one that it followed. Read as it
stands, such a log says of a row that it was what hiTask never had, or that it was changed when it
was gone. Public: `unnest`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Final, NamedTuple, TypeAlias

from sqlalchemy import Connection, RowMapping, Select, bindparam, select, update

from hisync.items import SPENT
from hisync.mirror import dialects
from hisync.mirror.base import rows_among
from hisync.mirror.tables import EDITED_TABLES, change_log

_FAR: Final = 20
"""How many changes of a row a trigger is taken to make at most."""

_NOTHING: Final = (None, False)
"""Cells that a logged whole row leaves out."""

_RENUMBER: Final = (
    update(change_log).where(change_log.c.seq == bindparam("was")).values(seq=bindparam("becomes"))
)

_Cells: TypeAlias = Mapping[str, Any] | None
"""What is known of a row, None where it is not there."""

_Key: TypeAlias = tuple[str, str]
"""The table and the guid of a row."""

_BLANK: Final = {name: dict.fromkeys(table.c.keys()) for name, table in EDITED_TABLES.items()}
"""A row of each table with nothing in it, for what is left out."""


class _Act(NamedTuple):
    """A change of a row, or the two that a REPLACE logs at once.

    Attributes:
        numbers: those of the changes.
        before: what they say of the row before them; all of its cells, if it is about the whole.
        after: what they say of it after them.
    """

    numbers: Sequence[int]
    before: _Cells
    after: _Cells


def unnest(connection: Connection, rows: Iterable[RowMapping]) -> bool:
    """Renumber the changes that were logged before what they followed.

    Args:
        connection: the engine's write transaction.
        rows: changes that nothing has looked at yet, in the order of the log.

    Returns:
        Whether there were any.
    """
    moved = reordered(rows, lambda keys: _rows_now(connection, keys))
    if not moved:
        return False
    # By way of numbers that no change has: each is still another's.
    aside = [{"was": was, "becomes": -becomes} for was, becomes in moved.items()]
    connection.execute(_RENUMBER, aside)
    connection.execute(
        _RENUMBER, [{"was": each["becomes"], "becomes": -each["becomes"]} for each in aside]
    )
    return True


def reordered(
    rows: Iterable[RowMapping],
    rows_now: Callable[[Iterable[_Key]], Iterable[tuple[_Key, _Cells]]],
) -> dict[int, int]:
    """The number that each change has to have whose number is not its place.

    Args:
        rows: changes, in the order of the log.
        rows_now: tells what each of these rows holds, as the log would say it.
    """
    by_row: dict[_Key, list[RowMapping]] = {}
    for row in rows:
        by_row.setdefault((row["table_name"], row["row_guid"]), []).append(row)
    doubtful: dict[_Key, list[_Act]] = {}
    for key, logged in by_row.items():
        if len(logged) > 1 and not _is_plain(acts := _acts(logged)):
            doubtful[key] = acts
    moved: dict[int, int] = {}
    for key, now in rows_now(doubtful):
        order = _back_from(now, doubtful[key]) or _in_order(doubtful[key])
        happened = (seq for act in order for seq in act.numbers)
        numbers = zip(happened, (row["seq"] for row in by_row[key]), strict=True)
        moved |= {was: becomes for was, becomes in numbers if was != becomes}
    return moved


def _rows_now(connection: Connection, keys: Iterable[_Key]) -> Iterator[tuple[_Key, _Cells]]:
    by_table: dict[str, set[str]] = {}
    for table, guid in keys:
        by_table.setdefault(table, set()).add(guid)
    for table, gone in by_table.items():
        if table in EDITED_TABLES:  # a damaged log may name another
            query, column = _as_logged(connection.dialect.name, table), EDITED_TABLES[table].c.guid
            for row in rows_among(connection, query, column, list(gone)):
                gone.discard(row["guid"])
                yield (table, row["guid"]), {**_BLANK[table], **row["cells"]}
        yield from (((table, guid), None) for guid in gone)


@cache
def _as_logged(dialect: str, table: str) -> Select[*tuple[Any, ...]]:
    edited = EDITED_TABLES[table]
    return select(edited.c.guid, dialects.named(dialect).logged_row(edited).label("cells"))


def _acts(logged: Iterable[RowMapping]) -> list[_Act]:
    acts: list[_Act] = []
    for row in logged:
        number, last = row["seq"], acts[-1] if acts else None
        before = None if row["op"] == "insert" else _cells(row, "old_values")
        after = None if row["op"] == "delete" else _cells(row, "new_values")
        if last and last.after is None and before is None and last.numbers[-1] + 1 == number:
            acts[-1] = _Act((*last.numbers, number), last.before, after)
        else:
            acts.append(_Act((number,), before, after))
    return acts


def _cells(row: RowMapping, side: str) -> Mapping[str, Any]:
    cells: Mapping[str, Any] = row[side] or {}
    return cells if row["op"] == "update" else {**_BLANK.get(row["table_name"], {}), **cells}


def _is_plain(acts: Sequence[_Act]) -> bool:
    """Whether a log can only be read as it stands.

    That is, each change finds what the one before it left, and no cell is in the end what it was in
    the beginning: else a trigger that puts a value back leaves the same log as someone who does it.
    """
    first: dict[str, Any] = {}
    known = acts[0].before
    for act in acts:
        if not _agree(known, act.before):
            return False
        first = {**(act.before or {}), **first}
        known = None if act.after is None else {**(known or {}), **act.after}
    return not any(_same(first[column], (known or {})[column]) for column in _shared(first, known))


def _back_from(now: _Cells, acts: Sequence[_Act]) -> list[_Act]:
    """The order in which each act leaves what the next one finds, and the last what is there now.

    Of several, the one that is closest to the log's, from its end; none if there is any gap: then
    something went by unlogged, and a value that is there again by chance proves nothing.
    """
    rest, order = list(acts), list[_Act]()
    while rest:
        nearest = range(len(rest) - 1, max(-1, len(rest) - 1 - _FAR), -1)
        place = next((place for place in nearest if _agree(rest[place].after, now)), None)
        if place is None:
            return []
        act = rest.pop(place)
        now = None if act.before is None else {**(now or {}), **act.before}
        order.append(act)
    return order[::-1]


def _in_order(acts: Sequence[_Act]) -> list[_Act]:
    done, known = [acts[0]], acts[0].after
    for act in acts[1:]:
        # A row that was deleted last is gone, whatever is in the log.
        fits = act.after is None or _agree(known, act.before)
        place = len(done) if fits else _place_of(act, done)
        done.insert(place, act)
        for later in done[place:]:
            known = None if later.after is None else {**(known or {}), **later.after}
    return done


def _place_of(act: _Act, done: Sequence[_Act]) -> int:
    """The last place at which what followed an act finds what it left; the end if there is none."""
    found: _Cells = {}
    for place in range(len(done) - 1, max(-1, len(done) - 1 - _FAR), -1):
        before = done[place].before
        found = None if before is None else {**(found or {}), **before}
        if _agree(act.after, found) and _shared(act.after, before):
            return place
    return len(done)


def _agree(one: _Cells, other: _Cells) -> bool:
    if one is None or other is None:
        return one is other
    return all(_same(one[column], other[column]) for column in _shared(one, other))


def _shared(one: _Cells, other: _Cells) -> set[str]:
    """The columns that both speak of."""
    return ((one or {}).keys() & (other or {}).keys()) - {SPENT}  # time entries move it unlogged


def _same(cell: object, other: object) -> bool:
    return cell == other or (cell in _NOTHING and other in _NOTHING)
