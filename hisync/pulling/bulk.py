"""A great many items, in parts that memory holds easily.

Public: `BATCH`, `BATCH_AT_FIRST`, `in_parts`, `parents_first`, `cheaply`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from itertools import chain, islice
from typing import Final

from sqlalchemy import Connection

from hisync.api import LongItems
from hisync.garbage import gc_paused
from hisync.items import Item
from hisync.mirror import dialects
from hisync.mirror.base import load_bases_by_id

BATCH: Final = 1000
"""Items that are applied at a time, and held in memory with the rows and bases that they meet."""

BATCH_AT_FIRST: Final = 4000
"""The same at a first mirror, where they meet nothing. PostgreSQL stores a COPY by the thousand."""


@contextmanager
def cheaply(connection: Connection, *, blank: bool) -> Iterator[None]:
    """What makes it cheaper to apply a great many items.

    Args:
        connection: the engine's write transaction.
        blank: whether the mirror knew nothing before them.
    """
    dialect = dialects.of(connection)
    with (
        gc_paused(),
        dialect.many_rows(connection),
        dialect.without_insert_triggers(connection) if blank else nullcontext(),
    ):
        yield


def in_parts(items: Iterable[Item], size: int) -> Iterator[Iterator[Item]]:
    """The items in parts of a size, each to be read to its end before the next."""
    rest = iter(items)
    for item in rest:
        yield chain([item], islice(rest, size - 1))


def parents_first(
    connection: Connection,
    parts: Iterable[Sequence[Item]],
    items: Collection[Item],
    live: Collection[int] | None,
) -> Iterator[Sequence[Item]]:
    """Parts of a great many items, with children that name a parent by number put off behind it.

    Args:
        connection: the engine's write transaction.
        parts: what is to be put in order.
        items: all of them.
        live: the ids of all items of the account where they are known, None where not.
    """
    late: list[Item] = []
    for part in parts:
        children = {
            item.id: item.parent_id
            for item in part
            if item.parent_id is not None and item.values.get("parent_guid") is None
        }
        if not children:
            yield part
            continue
        # A parent that the mirror knows, from before or from an earlier part, can be found.
        known = load_bases_by_id(connection, set(children.values()))
        lacking = {number: parent for number, parent in children.items() if parent not in known}
        if lacking and live is None:
            live = items.ids if isinstance(items, LongItems) else {item.id for item in items}
        behind = {n for n, parent in lacking.items() if live is not None and parent in live}
        late += [item for item in part if item.id in behind]
        yield [item for item in part if item.id not in behind]
    while late:
        behind = {item.id for item in late}
        ready = [item for item in late if item.parent_id not in behind] or late
        for start in range(0, len(ready), BATCH):
            yield ready[start : start + BATCH]
        done = {item.id for item in ready}
        late = [item for item in late if item.id not in done]
