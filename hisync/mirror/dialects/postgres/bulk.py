"""Rows and keys by the thousand, and cells as they are stored, in PostgreSQL's way.

New rows come by COPY; rows that may be there already as one JSON parameter of one statement, which
costs neither a round trip nor a plan for each. Public: `insert`, `upsert_rows`, `insert_rows`,
`many_rows`, `without_insert_triggers`, `fill`, `last_number`, `count_on`, `count_singly`,
`is_listed`, `as_list`, `as_one_cell`, `raw`, `logged_cell`, `row_order`, `dump_json`, `HOLDS_NUL`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from itertools import islice
from typing import Any, Final
from weakref import WeakKeyDictionary

import orjson
from psycopg.abc import Dumper
from psycopg.types.string import StrDumperUnknown
from sqlalchemy import (
    BindParameter,
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Date,
    DateTime,
    Dialect,
    RootTransaction,
    Table,
    Text,
    any_,
    cast,
    func,
    literal,
    literal_column,
    type_coerce,
)
from sqlalchemy.dialects.postgresql import ARRAY, Insert
from sqlalchemy.types import NullType, UserDefinedType

from hisync.errors import SchemaError
from hisync.mirror.dialects.documents import Document
from hisync.mirror.dialects.postgres.session import as_sqlalchemys

HOLDS_NUL: Final = False

AT_ONCE: Final = 2000
"""Rows in one statement: some two megabytes of JSON."""

_policies: Final[WeakKeyDictionary[RootTransaction, dict[str, bool]]] = WeakKeyDictionary()
"""Whether row policies hold for us, by transaction and table."""


def many_rows(connection: Connection) -> AbstractContextManager[None]:
    """Nothing: the server's memory is its own."""
    del connection
    return nullcontext()


def without_insert_triggers(connection: Connection) -> AbstractContextManager[None]:
    """Nothing: to take the triggers away would keep readers waiting, too."""
    del connection
    return nullcontext()


def insert(table: Table) -> Insert:
    """An INSERT that can say what happens where the key is there already."""
    return Insert(table)


def upsert_rows(connection: Connection, table: Table, rows: Iterable[Mapping[str, Any]]) -> None:
    """Put rows in, over whatever has their key; columns that are not ours stay as they are.

    Args:
        connection: the engine's write transaction.
        table: one whose key is `guid`.
        rows: their values by column; one that is left out is empty.
    """
    statement = _upsert(table, connection.dialect)
    # Plain texts: SQLAlchemy's names are of a kind of their own, which orjson refuses as keys.
    names = [(str(c.name), isinstance(c.type, Boolean)) for c in table.c]
    rest = iter(rows)
    while batch := [_cells(row, names) for row in islice(rest, AT_ONCE)]:
        connection.exec_driver_sql(statement, (dump_json(batch),))


def insert_rows(
    connection: Connection, table: Table, columns: tuple[str, ...], rows: Iterable[list[Any]]
) -> None:
    """Put rows in none of which is there yet: values for these columns, defaults for the others.

    Texts are given over as they are: to look for a NUL in each would take a third of the time, and
    hiTask's have none by now (`HOLDS_NUL`).
    """
    places = [n for n, name in enumerate(columns) if isinstance(table.c[name].type, Document)]

    def cells() -> Iterator[list[Any]]:
        for row in rows:
            for place in places:
                if row[place] is not None:
                    row[place] = dump_json(row[place])
            yield row

    _copy(connection, table, columns, cells(), texts=StrDumperUnknown)


def _cells(row: Mapping[str, Any], names: Iterable[tuple[str, bool]]) -> dict[str, Any]:
    get = row.get
    return {name: bool(get(name)) if is_flag else get(name) for name, is_flag in names}


def dump_json(value: Any) -> str:
    """JSON that PostgreSQL takes."""
    text = orjson.dumps(value).decode()
    if "\\u0000" in text:  # which no text of PostgreSQL can hold; or it only looks like one
        text = orjson.dumps(without_nul(value)).decode()
    return text


def without_nul(value: Any) -> Any:
    """A value whose texts have a replacement character for each NUL."""
    if isinstance(value, str):
        return value.replace("\0", "\ufffd")
    if isinstance(value, list):
        return [without_nul(one) for one in value]
    if isinstance(value, dict):
        return {without_nul(key): without_nul(one) for key, one in value.items()}
    return value


@cache
def _upsert(table: Table, dialect: Dialect) -> str:
    quoted = {column.name: dialect.identifier_preparer.quote(column.name) for column in table.c}
    names = ", ".join(quoted.values())
    typed = ", ".join(
        f"{quoted[column.name]} {column.type.compile(dialect=dialect)}" for column in table.c
    )
    replaced = ", ".join(f"{n} = excluded.{n}" for name, n in quoted.items() if name != "guid")
    return (
        f"INSERT INTO {table.name} ({names}) "
        f"SELECT {names} FROM jsonb_to_recordset(%s::jsonb) AS row ({typed}) "
        f"ON CONFLICT (guid) DO UPDATE SET {replaced}"
    )


def is_listed(column: ColumnElement[Any], keys: BindParameter[Any]) -> ColumnElement[bool]:
    """The condition that a column is in a list, which comes as one parameter."""
    return column == any_(type_coerce(keys, ARRAY(column.type)))


def as_list(keys: Sequence[Any]) -> list[Any]:
    """The parameter for `is_listed`."""
    return list(keys)


def fill(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Put rows into any table, none of which is there yet."""
    columns = [(str(c.name), isinstance(c.type, Document)) for c in table.c]
    cells = (
        [_json_cell(row[name]) if is_json else row[name] for name, is_json in columns]
        for row in rows
    )
    _copy(connection, table, [name for name, _ in columns], cells)


def _copy(
    connection: Connection,
    table: Table,
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
    texts: type[Dumper] | None = None,
) -> None:
    preparer = connection.dialect.identifier_preparer
    name = preparer.format_table(table)
    target = f"{name} ({', '.join(map(preparer.quote, columns))})"
    # Where policies are forced upon the owner, PostgreSQL refuses to copy.
    has_policies = _has_policies(connection, name)
    with as_sqlalchemys(connection) as session, session.cursor() as cursor:
        if texts is not None:
            cursor.adapters.register_dumper(str, texts)
        if has_policies:
            places = ", ".join(["%s"] * len(columns))
            cursor.executemany(f"INSERT INTO {target} VALUES ({places})".encode(), rows)
            return
        with cursor.copy(f"COPY {target} FROM STDIN".encode()) as copy:
            for row in rows:
                copy.write_row(row)


def _has_policies(connection: Connection, table: str) -> bool:
    # Asked once in a transaction: nobody can change it of a table that this one has written to.
    transaction = connection.get_transaction()
    known = {} if transaction is None else _policies.setdefault(transaction, {})
    if table not in known:
        asking = "SELECT row_security_active(%s::regclass)"
        known[table] = connection.exec_driver_sql(asking, (table,)).scalar_one()
    return known[table]


def _json_cell(value: Any) -> str | None:
    return None if value is None else orjson.dumps(value).decode()


def last_number(connection: Connection, column: Column[Any]) -> int:
    """The highest number that a column which counts up ever gave, 0 for none."""
    query = (
        "SELECT coalesce(pg_sequence_last_value("
        "pg_get_serial_sequence(quote_ident(%s), %s)::regclass), 0)"
    )
    found = connection.exec_driver_sql(query, (column.table.name, column.name))
    return int(found.scalar_one())


def count_on(connection: Connection, column: Column[Any], last: int) -> None:
    """Let a column that counts up give only numbers above one."""
    if last:
        connection.exec_driver_sql(
            "SELECT setval(pg_get_serial_sequence(quote_ident(%s), %s), %s)",
            (column.table.name, column.name, last),
        )


def count_singly(connection: Connection, column: Column[Any]) -> bool:
    """Let sessions take the numbers of a column that counts up one at a time.

    Of a block that a session keeps to itself, a low number is written after the high ones of
    others, and would pass for seen.

    Returns:
        Whether they did so before.

    Raises:
        SchemaError: if the server gives them out in blocks all the same.
    """
    sequence = "pg_get_serial_sequence(quote_ident(%s), %s)"
    named = (column.table.name, column.name)
    query = f"SELECT seqcache FROM pg_sequence WHERE seqrelid = {sequence}::regclass"
    if connection.exec_driver_sql(query, named).scalar_one() == 1:
        return True
    name = connection.exec_driver_sql(f"SELECT {sequence}", named).scalar_one()
    connection.exec_driver_sql(f"ALTER SEQUENCE {name} CACHE 1")
    if (block := connection.exec_driver_sql(query, named).scalar_one()) != 1:
        raise SchemaError(
            f"this server gives the numbers of {column} out in blocks of {block}, so that edits "
            "would be overlooked: switch the caching of sequences off"
        )
    return False


def as_one_cell(column: ColumnElement[int]) -> ColumnElement[str]:
    """All values of a column of whole numbers, as the text of a JSON list."""
    return func.coalesce(cast(func.json_agg(column), Text), "[]")


def raw(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """A cell as it is stored, not converted: JSON and dates as their texts.

    A date may be one that Python has not: infinity, or the year 10000.
    """
    if isinstance(column.type, Document | DateTime | Date):
        return cast(column, Text)
    return type_coerce(column, NullType())


def logged_cell(value: Any, *, is_json: bool, is_bool: bool) -> ColumnElement[Any]:
    """What `change_log` says of a cell, to be stored again.

    It goes to the server without a type, which so takes it for what the column is.
    """
    if is_bool and value is None:
        value = False
    elif is_json and value is not None and not isinstance(value, str):
        value = dump_json(value)
    return literal(value, _Untyped())


class _Untyped(UserDefinedType[Any]):
    """No type at all; SQLAlchemy would give its null type the column's, and so quote JSON twice."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        """What PostgreSQL calls it."""
        return "unknown"


def row_order(table: Table) -> ColumnElement[Any]:
    """The order in which rows were put in or last changed, which is all that the engine knows."""
    del table
    return literal_column("ctid")
