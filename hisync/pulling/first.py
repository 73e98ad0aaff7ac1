"""A first mirror: nothing is there that an item could be, belong to or meet, so nothing is asked.

Of the time that a large account's first sync takes, most goes by here. Public: `put_first`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError, OperationalError

from hisync.engine import Engine
from hisync.items import SPENT, Item
from hisync.mirror import base as bases
from hisync.mirror import rows
from hisync.timekeeping.observed import settle


def put_first(
    engine: Engine, connection: Connection, items: Iterator[Item]
) -> tuple[int, Sequence[Item]]:
    """Put items into a mirror that knew nothing before this answer.

    Triggers of people's own run as ever; rules of PostgreSQL's don't.

    Args:
        engine: the rules and the clock.
        connection: the engine's write transaction.
        items: whole items, no more of them than memory holds; they are read to the last.

    Returns:
        How many were put there, and those that were not and have to be looked at: whose parent is
        known by number alone; or all of them, if the guid of one is another one's too.

    Raises:
        DBAPIError: if the database refuses for another reason; the transaction is to be rolled
            back then, as it is for an error of the items' own.
    """
    seen: list[Item] = []
    left: list[Item] = []
    by_table: dict[str, list[Item]] = {}

    def sort_out() -> Iterator[Item]:
        for item in items:
            seen.append(item)
            if item.parent_id is not None and item.values["parent_guid"] is None:
                left.append(item)
            else:
                by_table.setdefault(item.table, []).append(item)
                yield item

    # Not as a context: a full disk lets SQLite roll everything back, and that the savepoint is gone
    # with it would be all that is said.
    savepoint = connection.begin_nested()
    try:
        bases.insert_bases(connection, sort_out())  # a server stores them while more are decoded
        for table, own in by_table.items():
            rows.insert_rows(connection, table, own)
    except IntegrityError as error:
        try:
            savepoint.rollback()
        except OperationalError:  # nor is it there after a trigger's RAISE(ROLLBACK)
            raise error from None
        return 0, [*seen, *items]
    savepoint.commit()
    spent = {table: [i.guid for i in own if i.values[SPENT]] for table, own in by_table.items()}
    settle(engine, connection, spent, ())
    return len(seen) - len(left), left
