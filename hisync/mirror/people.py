"""`users`, `groups` and `tags`, which only the engine writes, and who is named anywhere.

Public: `save_shown`, `count_shown`, `known_users`, `named_users`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import cache
from typing import Any, Final

from sqlalchemy import CompoundSelect, Connection, Select, func, select, union

from hisync.items import Values, fields_of
from hisync.mirror import dialects
from hisync.mirror.base import delete_among
from hisync.mirror.cells import UnreadableCellError, decode_cell
from hisync.mirror.tables import EDITED_TABLES, SHOWN_TABLES, users

_WRITTEN_LIKE: Final = {
    "assignee_id": "assignee_id",
    "owner_id": "assignee_id",
    "user_id": "assignee_id",
    "participants": "participants",
}
"""The columns that name people, and for each that of `tasks` whose cells are read in its way."""


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
    for name, query in _naming_cells(connection.dialect.name).items():
        for cell in connection.execute(query).scalars():
            found.update(_ids_in(name, cell))
    return frozenset(found)


@cache
def _naming_cells(dialect: str) -> Mapping[str, CompoundSelect[*tuple[Any, ...]]]:
    """What asks for each cell that names people, once, by a column that is written like it."""
    queries: dict[str, list[Select[Any]]] = {name: [] for name in _WRITTEN_LIKE.values()}
    for table in EDITED_TABLES.values():
        for name, model in _WRITTEN_LIKE.items():
            if name in table.c:
                # Raw, since what people wrote there may be anything.
                cell = dialects.named(dialect).raw(table.c[name])
                queries[model].append(select(cell).where(table.c[name].is_not(None)))
    return {name: union(*parts) for name, parts in queries.items()}


def _ids_in(name: str, cell: object) -> Collection[int]:
    field = fields_of("tasks")[name]
    try:
        value = decode_cell(field, cell)
    except UnreadableCellError:
        return ()
    if isinstance(value, list):
        return value
    return () if value is None else (value,)
