"""`sync_base`: what a row can't say of itself, and the base values of what people changed.

A row without unsent changes is its own base. For a dirty row, `dirty` holds the base value of
each changed column (of every column once the row is deleted). Only the engine writes it: each of
its transactions first folds in what the triggers logged (`folding`), and every answer that is
applied overwrites it. Public: `Base`, `load_bases`, `load_bases_by_id`, `load_aliases`,
`known_ids`, `missed_ids`, `dirty_guids`, `save_bases`, `insert_bases`, `forget_bases`,
`base_values`, `has_unsettled_children`, `CHUNK`, `chunks`, `among`, `rows_among`, `write_among`,
`delete_among`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, Final, TypeAlias, TypeVar

import orjson
from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Delete,
    RowMapping,
    Select,
    Update,
    bindparam,
    delete,
    literal_column,
    select,
)

from hisync.items import Item, Value, Values, fields_of
from hisync.mirror import dialects
from hisync.mirror.cells import decode_row
from hisync.mirror.tables import sync_base

_K = TypeVar("_K", int, str)
_Filtered: TypeAlias = "Select[*tuple[Any, ...]] | Update | Delete"

_IN_ONE_CELL: Final = 100_000
_LEAST: Final = -(2**63)

# Made once: these are asked in every cycle, mostly to find nothing.
_BASES: Final = select(sync_base)
_DIRTY: Final = select(sync_base.c.guid).where(sync_base.c.dirty.is_not(None))
_MISSED: Final = select(sync_base.c.id).where(sync_base.c.missed > 0)
_ALIASES: Final = select(sync_base.c.remote_guid, sync_base.c.guid).where(
    sync_base.c.remote_guid.is_not(None),
    sync_base.c.remote_guid.not_in(select(sync_base.c.guid)),
)

CHUNK = 1000
"""How many keys one statement names: far below every engine's limit."""


@dataclass(slots=True)  # as `Item`
class Base:
    """One row of `sync_base`.

    Attributes:
        guid: the row's key in the mirror.
        table: the item table it belongs to.
        id: hiTask's number of the item.
        remote_guid: the guid that hiTask knows it by, where that is not the row's own.
        version: the item's version when it was last seen.
        dirty: base cells by column, None for a row without unsent changes.
        missed: complete answers in a row that lacked the item.
    """

    guid: str
    table: str
    id: int
    version: int | None = None
    dirty: Mapping[str, Any] | None = None
    missed: int = 0
    remote_guid: str | None = None


def load_bases(connection: Connection, guids: Iterable[str]) -> dict[str, Base]:
    """The bases of these rows, by guid; a row that hiTask does not know has none."""
    return {base.guid: base for base in _load(connection, sync_base.c.guid, guids)}


def load_aliases(connection: Connection) -> dict[str, str]:
    """The guids of rows that hiTask knows by another guid, by that guid."""
    return dict(connection.execute(_ALIASES).all())


def load_bases_by_id(connection: Connection, ids: Iterable[int]) -> dict[int, Base]:
    """The bases of these items, by hiTask's number."""
    return {base.id: base for base in _load(connection, sync_base.c.id, ids)}


def known_ids(connection: Connection) -> AbstractSet[int]:
    """The numbers of all items that the mirror knows."""
    from hisync.numbers import Numbers  # `status` and its like have no need of the library

    known = Numbers()
    query, above = _known(connection.dialect.name), _LEAST
    # As one cell: a quiet cycle of a large account would spend most of its time on the rows.
    while part := orjson.loads(connection.execute(query, {"above": above}).scalar_one()):
        known.update(part)
        if len(part) < _IN_ONE_CELL:
            break
        above = max(part)
    return known


@cache
def _known(dialect: str) -> Select[*tuple[Any, ...]]:
    """A part of all numbers; with an answer of hiTask's, a whole million would fill the memory."""
    above = bindparam("above", type_=sync_base.c.id.type)
    part = select(sync_base.c.id).where(sync_base.c.id > above)
    part = part.order_by(sync_base.c.id).limit(literal_column(str(_IN_ONE_CELL)))
    return select(dialects.named(dialect).as_one_cell(part.subquery().c.id))


def missed_ids(connection: Connection) -> frozenset[int]:
    """The numbers of the items that the last complete answer lacked."""
    return frozenset(connection.execute(_MISSED).scalars())


def dirty_guids(connection: Connection) -> list[str]:
    """The rows with columns that people have changed and that are not sent yet."""
    return list(connection.execute(_DIRTY).scalars())


def has_unsettled_children(connection: Connection, guid: str) -> bool:
    """Whether a row that was this one's child still has to be deleted there, or moved away."""
    unsettled = select(sync_base.c.dirty).where(
        sync_base.c.dirty.is_not(None), sync_base.c.guid != guid
    )
    return any(
        dirty.get("parent_guid") == guid for dirty in connection.execute(unsettled).scalars()
    )


def save_bases(connection: Connection, bases: Sequence[Base]) -> None:
    """Write these bases, new or known."""
    rows = (
        {
            "guid": base.guid,
            "table_name": base.table,
            "id": base.id,
            "remote_guid": base.remote_guid,
            "version": base.version,
            "dirty": dict(base.dirty) if base.dirty else None,
            "missed": base.missed,
        }
        for base in bases
    )
    dialects.of(connection).upsert_rows(connection, sync_base, rows)


def insert_bases(connection: Connection, items: Iterable[Item]) -> None:
    """Write the bases of items that have none yet, each without unsent changes.

    Raises:
        IntegrityError: if one of them has.
    """
    cells = ([item.guid, item.table, item.id, item.values["version"]] for item in items)
    columns = ("guid", "table_name", "id", "version")
    dialects.of(connection).insert_rows(connection, sync_base, columns, cells)


def forget_bases(connection: Connection, guids: Iterable[str]) -> None:
    """Forget these rows' bases."""
    delete_among(connection, sync_base.c.guid, guids)


def base_values(base: Base, local: Values | None) -> dict[str, Value]:
    """The whole state that both sides last agreed on.

    Args:
        base: the row's base.
        local: the row's present values, None when it was deleted.
    """
    dirty = dict(base.dirty or {})
    # Dates are read in the light of is_all_day, so that must be the base's.
    all_day = {"is_all_day": (local or {}).get("is_all_day")}
    if local is None:
        return decode_row(base.table, dirty)[0]
    columns = dirty.keys() & fields_of(base.table).keys()
    written, _ = decode_row(base.table, all_day | dirty, columns)
    return {**local, **{column: written[column] for column in columns}}


def chunks(values: Iterable[_K]) -> Iterable[list[_K]]:
    """The values in lists of a length that one statement can name."""
    rest = list(values)
    return (rest[start : start + CHUNK] for start in range(0, len(rest), CHUNK))


def among(
    connection: Connection, column: ColumnElement[Any], keys: Sequence[Any]
) -> ColumnElement[bool]:
    """The condition that a column is one of these, as one parameter: a thousand take long to name.

    Args:
        connection: whose engine it is for.
        column: of a type that JSON has.
        keys: what people wrote into a key may be anything; then they are named one by one.
    """
    if len(keys) == 1:
        alone: ColumnElement[bool] = column == keys[0]
        return alone
    dialect = dialects.of(connection)
    listed = dialect.as_list(keys)
    if listed is None:
        return column.in_(keys)
    return dialect.is_listed(column, bindparam(None, listed))


def rows_among(
    connection: Connection,
    query: Select[*tuple[Any, ...]],
    column: ColumnElement[Any],
    keys: Iterable[Any],
) -> Iterator[RowMapping]:
    """The rows of a query whose column is one of these.

    Args:
        connection: a transaction.
        query: one that is made once and asked often: what SQLAlchemy makes of it is kept.
        column: of a type that JSON has.
        keys: any number of them.
    """
    for part, parameters in _parts(connection, query, column, keys):
        yield from connection.execute(part, parameters).mappings().all()


def write_among(
    connection: Connection,
    statement: Update | Delete,
    column: ColumnElement[Any],
    keys: Iterable[Any],
    values: Mapping[str, Any] | None = None,
) -> None:
    """Run a statement on the rows whose column is one of these.

    Args:
        connection: the engine's write transaction.
        statement: one that is made once, as the query of `rows_among`.
        column: of a type that JSON has.
        keys: any number of them.
        values: of its parameters.
    """
    for part, parameters in _parts(connection, statement, column, keys):
        connection.execute(part, parameters | dict(values or {}))


def delete_among(connection: Connection, column: Column[Any], keys: Iterable[Any]) -> None:
    """Delete the rows whose column, of a type that JSON has, is one of these."""
    write_among(connection, _deletion(column), column, keys)


@cache
def _deletion(column: Column[Any]) -> Delete:
    return delete(column.table)


def _parts(
    connection: Connection, statement: _Filtered, column: ColumnElement[Any], keys: Iterable[Any]
) -> Iterator[tuple[_Filtered, dict[str, Any]]]:
    """The statement for as many keys as one can name, and the parameter that names them."""
    dialect = connection.dialect.name
    for chunk in chunks(keys):
        parameter = chunk[0] if len(chunk) == 1 else dialects.named(dialect).as_list(chunk)
        if parameter is None:
            keyed: _Filtered = statement.where(among(connection, column, chunk))
        else:
            keyed = _keyed(dialect, statement, column, alone=len(chunk) == 1)
        yield keyed, {"keys": parameter}


@lru_cache(maxsize=256)
def _keyed(
    dialect: str, statement: _Filtered, column: ColumnElement[Any], *, alone: bool
) -> _Filtered:
    if alone:
        return statement.where(column == bindparam("keys", type_=column.type))
    return statement.where(dialects.named(dialect).is_listed(column, bindparam("keys")))


def _load(connection: Connection, column: ColumnElement[_K], keys: Iterable[_K]) -> Iterable[Base]:
    return (_base(row) for row in rows_among(connection, _BASES, column, keys))


def _base(row: RowMapping) -> Base:
    return Base(
        guid=row["guid"],
        table=row["table_name"],
        id=row["id"],
        remote_guid=row["remote_guid"],
        version=row["version"],
        dirty=row["dirty"],
        missed=row["missed"],
    )
