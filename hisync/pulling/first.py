"""A first mirror: nothing is there that an item could be, belong to or meet, so nothing is asked.

Most of what a large account takes is spent here. Public: `put_first`.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError, OperationalError

from hisync.engine import Engine
from hisync.items import SPENT, Item
from hisync.mirror import base as bases
from hisync.mirror import rows
from hisync.timekeeping.observed import observe_new


def put_first(engine: Engine, connection: Connection, items: Sequence[Item]) -> bool:
    """Put items into a mirror that knew nothing before this answer.

    Args:
        engine: the rules and the clock.
        connection: the engine's write transaction.
        items: whole items.

    Returns:
        False if one of them can't be put there as it is: its parent is known by number alone, or
        its guid is another one's too. Then nothing was written, and each has to be looked at.

    Raises:
        DBAPIError: if the database refuses for another reason; the transaction is to be rolled
            back then.
    """
    if any(i.parent_id is not None and i.values["parent_guid"] is None for i in items):
        return False
    by_table: dict[str, list[Item]] = {}
    for item in items:
        by_table.setdefault(item.table, []).append(item)
    # Not as a context: a full disk lets SQLite roll everything back, and that the savepoint is gone
    # with it would be all that is said.
    savepoint = connection.begin_nested()
    try:
        for table, own in by_table.items():
            rows.add_rows(connection, table, own)
            bases.add_bases(connection, table, own)
    except IntegrityError as error:
        try:
            savepoint.rollback()
        except OperationalError:  # nor is it there after a trigger's RAISE(ROLLBACK)
            raise error from None
        return False
    savepoint.commit()
    observe_new(engine, connection, [item for item in items if item.values[SPENT]])
    return True
