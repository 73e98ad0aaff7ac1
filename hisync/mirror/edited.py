"""Rows of `comments` and `time_entries`, written again or taken out as a person decides.

Public: `is_there`, `is_on_hitask`, `write_again`, `delete_again`, `take_out_unsent`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from hisync.mirror.changes import captured
from hisync.mirror.tables import EDITED_TABLES, comments
from hisync.mirror.time_entries import literal_or


def is_there(connection: Connection, table: str, guid: str) -> bool:
    """Whether a table has the row."""
    column = EDITED_TABLES[table].c.guid
    return connection.execute(select(column).where(column == guid)).first() is not None


def is_on_hitask(connection: Connection, guid: str) -> bool:
    """Whether hiTask has the comment."""
    known = comments.c.guid == guid, comments.c.id.is_not(None)
    return connection.execute(select(comments.c.guid).where(*known)).first() is not None


def write_again(connection: Connection, table: str, guid: str, values: Mapping[str, Any]) -> None:
    """Insert a row with logged cells as a person's edit."""
    target = EDITED_TABLES[table]
    known = {column.name for column in target.c} - {"guid", "id"}
    cells = {c: literal_or(value) for c, value in values.items() if c in known}
    with captured(connection):
        connection.execute(insert(target).values(guid=guid, **cells))


def delete_again(connection: Connection, table: str, guid: str) -> None:
    """Delete a row as a person's edit."""
    target = EDITED_TABLES[table]
    with captured(connection):
        connection.execute(delete(target).where(target.c.guid == guid))


def take_out_unsent(connection: Connection, guid: str) -> None:
    """Take a comment out that hiTask never had."""
    unsent = comments.c.guid == guid, comments.c.id.is_(None)
    connection.execute(delete(comments).where(*unsent))
