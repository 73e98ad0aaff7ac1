"""Logged changes put into the order in which they happened.

What a person's own trigger does to a row is part of the statement that fired it, and a database may
fire that trigger before ours: then its change is logged before the one that it followed. Read as it
stands, such a log says of a row that it was what hiTask never had, or that it was changed when it
was gone. Public: `unnest`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, Final, TypeAlias

from sqlalchemy import Connection, RowMapping, bindparam, update

from hisync.items import SPENT
from hisync.mirror.tables import change_log

_FAR: Final = 20
"""How many changes of a row a trigger is taken to make at most."""

_NOTHING: Final = (None, False)
"""What a whole row leaves out."""

_RENUMBER: Final = (
    update(change_log).where(change_log.c.seq == bindparam("was")).values(seq=bindparam("becomes"))
)

_Act: TypeAlias = Sequence[RowMapping]
"""A change of a row, or the two that a REPLACE logs at once."""


def unnest(connection: Connection, rows: Iterable[RowMapping]) -> bool:
    """Renumber the changes that were logged before what they followed.

    Args:
        connection: the engine's write transaction.
        rows: changes that nothing has looked at yet, in the order of the log.

    Returns:
        Whether there were any.
    """
    by_row: dict[tuple[str, str], list[RowMapping]] = {}
    for row in rows:
        by_row.setdefault((row["table_name"], row["row_guid"]), []).append(row)
    moved: dict[int, int] = {}
    for logged in by_row.values():
        if len(logged) > 1:
            happened = [row["seq"] for act in _in_order(_acts(logged)) for row in act]
            numbers = zip(happened, (row["seq"] for row in logged), strict=True)
            moved |= {was: becomes for was, becomes in numbers if was != becomes}
    if not moved:
        return False
    # By way of numbers that no change has: each is still another's.
    aside = [{"was": was, "becomes": -becomes} for was, becomes in moved.items()]
    connection.execute(_RENUMBER, aside)
    connection.execute(
        _RENUMBER, [{"was": each["becomes"], "becomes": -each["becomes"]} for each in aside]
    )
    return True


def _acts(logged: Iterable[RowMapping]) -> Iterable[_Act]:
    acts: list[list[RowMapping]] = []
    for row in logged:
        last = acts[-1][-1] if acts else None
        if (
            last is not None
            and (last["op"], row["op"]) == ("delete", "insert")
            and last["seq"] + 1 == row["seq"]
        ):
            acts[-1].append(row)
        else:
            acts.append([row])
    return acts


def _in_order(acts: Iterable[_Act]) -> list[_Act]:
    done: list[_Act] = []
    for act in acts:
        place = len(done)
        # A row that was deleted last is gone, whatever is in the log.
        if act[-1]["op"] != "delete" and not _fits(act, reversed(done), follows=True):
            near = range(len(done) - 1, max(-1, len(done) - 1 - _FAR), -1)
            place = next((p for p in near if _precedes(act, done[p:])), place)
        done.insert(place, act)
    return done


def _precedes(act: _Act, others: Sequence[_Act]) -> bool:
    return bool(_shared(act, others[0])) and _fits(act, others, follows=False)


def _fits(act: _Act, others: Iterable[_Act], *, follows: bool) -> bool:
    """Whether an act can have come right after (`follows`) or before others, the nearest first."""
    ours, met = _cells(act, after=not follows), set[str]()
    for number, other in enumerate(islice(others, _FAR)):
        theirs = _cells(other, after=follows)
        if ours is None or theirs is None:
            return number > 0 or ours is theirs  # both of a row that is not there
        shared = _shared(act, other)
        if not all(_same(ours.get(c), theirs.get(c)) for c in shared - met):
            return False
        met |= shared
        if _is_whole(other) or (not _is_whole(act) and met >= ours.keys()):
            break
    return True


def _cells(act: _Act, *, after: bool) -> Mapping[str, Any] | None:
    """What an act says of the row after or before it, None if there is none."""
    row = act[-1] if after else act[0]
    if row["op"] == ("delete" if after else "insert"):
        return None
    cells: Mapping[str, Any] | None = row["new_values" if after else "old_values"]
    return cells or {}


def _is_whole(act: _Act) -> bool:
    return bool(act[0]["op"] != "update")


def _shared(act: _Act, other: _Act) -> set[str]:
    """The columns that both speak of; a whole row speaks of all."""
    columns: list[set[str]] = [
        {c for row in each for cells in ("old_values", "new_values") for c in row[cells] or ()}
        for each in (act, other)
    ]
    if _is_whole(act):
        columns[0] |= columns[1]
    if _is_whole(other):
        columns[1] |= columns[0]
    return (columns[0] & columns[1]) - {SPENT}  # which time entries move unlogged


def _same(cell: object, other: object) -> bool:
    return cell == other or (cell in _NOTHING and other in _NOTHING)
