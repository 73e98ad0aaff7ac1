"""`users`, `groups` and `tags`, which only the engine writes, and who is named anywhere.

Public: `save_shown`, `count_shown`, `known_users`, `named_users`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import cache
from typing import Any, Final

from sqlalchemy import Connection, Select, func, select

from hisync.items import Values, fields_of
from hisync.mirror import dialects
from hisync.mirror.base import delete_among
from hisync.mirror.cells import UnreadableCellError, decode_cell
from hisync.mirror.tables import EDITED_TABLES, SHOWN_TABLES, users

_NAMING: Final = {
    "assignee_id": ("assignee_id", "owner_id", "user_id"),
    "participants": ("participants",),
}
"""The columns that name people, by that of `tasks` whose cells are read in their way."""


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
        upsert = dialects.of(connection).insert(table)
        connection.execute(
            upsert.on_conflict_do_update(
                index_elements=[table.c.id],
                set_={c.name: upsert.excluded[c.name] for c in table.c if c.name != "id"},
            ),
            changed,
        )
    read = {row["id"] for row in rows}
    gone = [] if kept is None else [id_ for id_ in known if id_ not in read and id_ not in kept]
    delete_among(connection, table.c.id, gone)
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
    for name, queries in _naming_cells(connection.dialect.name).items():
        cells = {cell for query in queries for row in connection.execute(query) for cell in row}
        for cell in cells:
            found.update(_ids_in(name, cell))
    return frozenset(found)


@cache
def _naming_cells(dialect: str) -> Mapping[str, Sequence[Select[*tuple[Any, ...]]]]:
    """What asks each table for its cells that name people, by a column that is written like them.

    Those that are written alike are asked for together: to read a large table takes its time.
    """
    queries: dict[str, list[Select[*tuple[Any, ...]]]] = {}
    for table in EDITED_TABLES.values():
        for model, names in _NAMING.items():
            columns = [table.c[name] for name in names if name in table.c]
            if columns:
                # Raw, since what people wrote there may be anything.
                query = select(*map(dialects.named(dialect).raw, columns)).distinct()
                queries.setdefault(model, []).append(query)
    return queries


def _ids_in(name: str, cell: object) -> Collection[int]:
    field = fields_of("tasks")[name]
    try:
        value = decode_cell(field, cell)
    except UnreadableCellError:
        return ()
    if isinstance(value, list):
        return value
    return () if value is None else (value,)
