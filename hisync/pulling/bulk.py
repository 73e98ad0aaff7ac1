"""A great many items, in parts that memory holds easily.

Public: `BATCH`, `in_batches`, `cheaply`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
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
"""Items that are applied at a time, and held in memory."""


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


def in_batches(
    connection: Connection, items: Collection[Item], live: Collection[int] | None
) -> Iterator[Sequence[Item]]:
    """The items in parts that memory holds easily, children that name a parent by id behind it."""
    rest = iter(items)
    if len(few := list(islice(rest, BATCH + 1))) <= BATCH:
        yield few
        return
    rest = chain(few, rest)
    late: list[Item] = []
    while part := list(islice(rest, BATCH)):
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
