"""`users`, `groups` and `tags`, which only the engine writes, and who is named anywhere.

Public: `save_shown`, `count_shown`, `known_users`, `named_users`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from sqlalchemy import Connection, delete, func, select, type_coerce
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.types import NullType

from hisync.items import Values, fields_of
from hisync.mirror.base import among, chunks
from hisync.mirror.cells import UnreadableCellError, decode_cell
from hisync.mirror.tables import EDITED_TABLES, ITEM_TABLES, SHOWN_TABLES, users

_NAMING = ("assignee_id", "owner_id", "participants")


def save_shown(
    connection: Connection,
    name: str,
    rows: Sequence[Values],
    *,
    kept: Collection[int] | None = (),
) -> int:
    """Bring one of these tables to what was read, writing only what differs.

    Args:
        connection: the engine's write transaction.
        name: `users`, `groups` or `tags`.
        rows: whole rows, each id once.
        kept: the ids that stay although they were not read, None for all.

    Returns:
        How many rows were put in, changed or taken out.
    """
    table = SHOWN_TABLES[name]
    known = {row["id"]: dict(row) for row in connection.execute(select(table)).mappings()}
    changed = [dict(row) for row in rows if known.get(row["id"]) != row]
    if changed:
        upsert = insert(table)
        connection.execute(
            upsert.on_conflict_do_update(
                index_elements=[table.c.id],
                set_={c.name: upsert.excluded[c.name] for c in table.c if c.name != "id"},
            ),
            changed,
        )
    read = {row["id"] for row in rows}
    gone = [] if kept is None else [id_ for id_ in known if id_ not in read and id_ not in kept]
    for chunk in chunks(gone):
        connection.execute(delete(table).where(among(table.c.id, chunk)))
    return len(changed) + len(gone)


def count_shown(connection: Connection, name: str) -> int:
    """How many rows one of these tables has."""
    return connection.execute(select(func.count()).select_from(SHOWN_TABLES[name])).scalar_one()


def known_users(connection: Connection) -> frozenset[int]:
    """The ids of the people whom the mirror has."""
    return frozenset(connection.execute(select(users.c.id)).scalars())


def named_users(connection: Connection) -> frozenset[int]:
    """The ids of the people whom an item, a comment or a time entry names."""
    found: set[int] = set()
    for table, name in _naming_columns():
        column = EDITED_TABLES[table].c[name]
        # Raw and each cell once: what people wrote there may be anything.
        cells = select(type_coerce(column, NullType())).where(column.is_not(None)).distinct()
        for cell in connection.execute(cells).scalars():
            found.update(_ids_in(name, cell))
    return frozenset(found)


def _naming_columns() -> Iterator[tuple[str, str]]:
    for table in EDITED_TABLES:
        names = _NAMING if table in ITEM_TABLES else ("user_id",)
        yield from ((table, name) for name in names)


def _ids_in(name: str, cell: object) -> Collection[int]:
    # A comment's or an entry's user is written like an item's assignee.
    field = fields_of("tasks").get(name, fields_of("tasks")["assignee_id"])
    try:
        value = decode_cell(field, cell)
    except UnreadableCellError:
        return ()
    if isinstance(value, list):
        return value
    return () if value is None else (value,)
