"""Rows of `comments` and `time_entries`, written again or taken out as a person decides.

Public: `is_there`, `is_on_hitask`, `load_cells`, `write_again`, `delete_again`, `restore_row`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from hisync.mirror import dialects
from hisync.mirror.changes import captured
from hisync.mirror.tables import EDITED_TABLES, comments
from hisync.mirror.time_entries import Cells, literal_or


def is_there(connection: Connection, table: str, guid: str) -> bool:
    """Whether a table has the row."""
    column = EDITED_TABLES[table].c.guid
    return connection.execute(select(column).where(column == guid)).first() is not None


def is_on_hitask(connection: Connection, guid: str) -> bool:
    """Whether hiTask has the comment."""
    known = comments.c.guid == guid, comments.c.id.is_not(None)
    return connection.execute(select(comments.c.guid).where(*known)).first() is not None


def load_cells(connection: Connection, table: str, guid: str) -> Cells | None:
    """The raw cells of a row, None if it is not there."""
    target, raw = EDITED_TABLES[table], dialects.of(connection).raw
    query = select(*(raw(column).label(column.name) for column in target.c))
    row = connection.execute(query.where(target.c.guid == guid)).mappings().one_or_none()
    return None if row is None else {str(column): cell for column, cell in row.items()}


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


def restore_row(connection: Connection, table: str, guid: str, before: Cells | None) -> None:
    """Make a row what it was; None takes it out. People's own columns stay as they are."""
    target = EDITED_TABLES[table]
    own = target.c.guid == guid
    if before is None:
        connection.execute(delete(target).where(own))
        return
    columns = (c.name for c in target.c if c.name != "guid")
    cells = {column: literal_or(before.get(column)) for column in columns}
    if not connection.execute(update(target).where(own).values(cells)).rowcount:
        connection.execute(insert(target).values(guid=guid, **cells))
