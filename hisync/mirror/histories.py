"""`sync_comments`: what was read of the items' histories, and what is still to be read.

An item's `last_comment_id` tells whether its comments have changed since. Public: `Due`,
`load_due`, `load_stale`, `save_read`, `set_seen`, `seen_of`, `read_again`, `forget_read`,
`comment_progress`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, TypeAlias

from sqlalchemy import Column, Connection, Select, bindparam, func, select
from sqlalchemy.sql.base import ReadOnlyColumnCollection

from hisync.mirror import dialects
from hisync.mirror.base import delete_among
from hisync.mirror.tables import ITEM_TABLES, comments, sync_base, sync_comments

Columns: TypeAlias = ReadOnlyColumnCollection[str, Column[Any]]

_NONE_SEEN: Final = 0
"""The number of no comment: an item whose newest one is not this, which is every item, is due."""


@dataclass(frozen=True, slots=True)
class Due:
    """An item whose history is to be read.

    Attributes:
        guid: its key.
        id: hiTask's number.
        last_comment_id: its newest comment, None if it has none any more.
    """

    guid: str
    id: int
    last_comment_id: int | None


def load_due(connection: Connection) -> list[Due]:
    """The items whose newest comment is not the one seen at the last reading, newest first."""
    due = [one for query in _unseen() for one in _due(connection, query)]
    return sorted(due, key=lambda one: -(one.last_comment_id or 0))


def load_stale(connection: Connection, before: float) -> Due | None:
    """The item with comments whose history was read longest ago, if that was before a moment."""
    oldest: tuple[float, Due] | None = None
    for query in _stale():
        for guid, number, last, at in connection.execute(query, {"before": before}):
            if oldest is None or at < oldest[0]:
                oldest = at, Due(guid, number, last)
    return oldest[1] if oldest else None


@cache
def _unseen() -> Sequence[Select[*tuple[Any, ...]]]:
    """For each item table, its items on hiTask with comments that were not seen yet."""
    read = sync_comments.c
    # Commented on by us alone, and the process died before the item was seen to say so.
    own = select(comments.c.item_guid).where(comments.c.id.is_not(None))
    return [
        query.where(
            item.last_comment_id.is_distinct_from(read.seen_comment_id)
            | (read.item_guid.is_(None) & item.guid.in_(own))
        )
        for item, query in _histories()
    ]


@cache
def _stale() -> Sequence[Select[*tuple[Any, ...]]]:
    """For each item table, the item with comments read longest ago, `before` some moment."""
    read = sync_comments.c
    has_comments = read.item_guid.in_(select(comments.c.item_guid))
    return [
        query.where(read.seen_comment_id.is_not(None) | has_comments)
        .where(read.read_at < bindparam("before"))
        .add_columns(read.read_at)
        .order_by(read.read_at)
        .limit(1)
        for _, query in _histories()
    ]


def _histories() -> Iterable[tuple[Columns, Select[*tuple[Any, ...]]]]:
    """For each item table its columns, and its items on hiTask with what was read of them."""
    for table in ITEM_TABLES.values():
        item = table.c
        query: Select[*tuple[Any, ...]] = select(item.guid, sync_base.c.id, item.last_comment_id)
        query = query.join(sync_base, sync_base.c.guid == item.guid)
        yield item, query.outerjoin(sync_comments, sync_comments.c.item_guid == item.guid)


def _due(connection: Connection, query: Select[*tuple[Any, ...]]) -> Iterable[Due]:
    for guid, number, last in connection.execute(query):
        if last is None or isinstance(last, int):  # else someone wrote something into that cell
            yield Due(guid, number, last)


def save_read(
    connection: Connection, guid: str, *, seen: int | None, at: float, complete: bool
) -> None:
    """Remember that an item's history was read.

    Args:
        connection: the engine's write transaction.
        guid: the item.
        seen: its newest comment as it was known before.
        at: when, in seconds since the epoch.
        complete: whether the history reached back to the item's creation.
    """
    _remember(connection, guid, seen_comment_id=seen, read_at=at, complete=complete)


def set_seen(connection: Connection, guid: str, seen: int, at: float) -> None:
    """The newest comment of an item is one that we posted, and nothing else came between."""
    was_read, _ = seen_of(connection, guid)
    if was_read:
        _remember(connection, guid, seen_comment_id=seen)
    else:
        _remember(connection, guid, seen_comment_id=seen, read_at=at)


def seen_of(connection: Connection, guid: str) -> tuple[bool, int | None]:
    """Whether an item's history was ever read, and the newest comment seen then."""
    read = sync_comments.c
    row = connection.execute(
        select(read.read_at, read.seen_comment_id).where(read.item_guid == guid)
    ).one_or_none()
    # One that is only to be read again may never have been.
    return (False, None) if row is None else (row[0] is not None, row[1])


def read_again(connection: Connection, guid: str) -> None:
    """Have an item's history read again soon, whatever the item says of its comments."""
    _remember(connection, guid, seen_comment_id=_NONE_SEEN)


def _remember(connection: Connection, guid: str, **values: Any) -> None:
    """Write some columns of an item's row, which is made when there is none."""
    upsert = dialects.of(connection).insert(sync_comments).values(item_guid=guid, **values)
    connection.execute(
        upsert.on_conflict_do_update(
            index_elements=[sync_comments.c.item_guid],
            set_={name: upsert.excluded[name] for name in values},
        )
    )


def forget_read(connection: Connection, guids: Iterable[str]) -> None:
    """Forget what was read of these items' histories."""
    delete_among(connection, sync_comments.c.item_guid, guids)


def comment_progress(connection: Connection) -> tuple[int, int]:
    """How many items with comments have all of them in the mirror, and how many there are."""
    total = read = 0
    for table in ITEM_TABLES.values():
        last = table.c.last_comment_id
        query = select(func.count()).select_from(table).where(last.is_not(None))
        total += connection.execute(query).scalar_one()
        query = query.join(sync_comments, sync_comments.c.item_guid == table.c.guid)
        read += connection.execute(
            query.where(sync_comments.c.seen_comment_id == last)
        ).scalar_one()
    return read, total
