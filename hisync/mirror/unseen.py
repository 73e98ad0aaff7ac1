"""Rows that were put in while a capture trigger was missing: logged after the fact.

Public: `log_unseen_rows`.
"""

from __future__ import annotations

from sqlalchemy import Connection, insert, literal, null, select
from sqlalchemy.sql.functions import now

from hisync.mirror.tables import ITEM_TABLES, change_log, sync_base


def log_unseen_rows(connection: Connection) -> int:
    """Log each row that hiTask does not know and that no trigger has ever seen as inserted.

    Returns:
        How many there were. What was changed or deleted unseen shows when hiTask's side is read.
    """
    found = 0
    log = change_log.c
    for name, table in ITEM_TABLES.items():
        known = select(sync_base.c.guid)
        seen = select(log.row_guid).where(log.table_name == name)
        unseen = select(
            literal(name),
            table.c.guid,
            literal("insert"),
            null(),
            literal({}, log.new_values.type),
            now(),
        ).where(table.c.guid.not_in(known), table.c.guid.not_in(seen))
        columns = ["table_name", "row_guid", "op", "old_values", "new_values", "changed_at"]
        found += connection.execute(insert(change_log).from_select(columns, unseen)).rowcount
    return found
