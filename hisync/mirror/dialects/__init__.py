"""What differs between database engines, one package an engine, behind one face.

Every other module of the mirror speaks SQLAlchemy and asks `of(connection)` for the rest: how
edits are captured, how the engine's own writes are hidden from that, which views there are, how
rows are put in by the thousand, who may write, what an error means. Each engine's package is a
`Dialect`: a module with these names. It is imported when a mirror of its kind is opened, and not
before. Public: `of`, `named`, `Dialect`, `Database`, `WriterLock`, `ChangeWatch`, `WRITE`,
`write_connection`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias, cast

from sqlalchemy import URL, BindParameter, Column, ColumnElement, Connection, Engine, Table
from sqlalchemy.exc import DBAPIError

from hisync.errors import ConfigurationError, MirrorError

if TYPE_CHECKING:
    from sqlalchemy.dialects.postgresql import Insert as PostgresInsert
    from sqlalchemy.dialects.sqlite import Insert as SqliteInsert

    Upsert: TypeAlias = SqliteInsert | PostgresInsert

WRITE: Final = "hisync_write"
"""The execution option of connections whose transactions exclude other writers from the start.

`True` keeps everyone's edits out, `BOOKS` only who else books requests.
"""

BOOKS: Final = "books"


class WriterLock(Protocol):
    """Keeps every other hisync out of a mirror until it is released or its process ends."""

    def acquire(self) -> None:
        """Take it.

        Raises:
            LockedError: if another process has it; it names that process.
        """

    def release(self) -> None:
        """Give it back."""

    def holds(self) -> bool:
        """Whether it is still held, or could be had again when the server had lost it."""

    def holder(self) -> int | None:
        """The process that has it, None if none has; 0 if it can't be told which."""


class ChangeWatch(Protocol):
    """Tells whether anyone has committed since the last look."""

    def changed(self) -> bool:
        """Whether there may have been a commit since the last call; true at the first."""

    def close(self) -> None:
        """Give its connection back."""


class Database(Protocol):
    """An open database.

    Attributes:
        engine: SQLAlchemy's.
        name: what to call it before people; it holds no password.
        folder: the folder that it is in, None for a server.
    """

    engine: Engine
    name: str
    folder: Path | None

    def lock(self) -> WriterLock:
        """The lock of its one writer, not taken yet."""

    def watch(self) -> ChangeWatch:
        """What tells that someone has changed something."""

    def is_replaced(self) -> bool:
        """Whether its name leads to another database by now, or to none."""

    def lacks(self) -> tuple[str, ...]:
        """What it has not that hisync would use, each with what is done instead."""


class Dialect(Protocol):
    """What an engine's package must have.

    Attributes:
        HOLDS_NUL: whether a text can hold the character NUL.
    """

    HOLDS_NUL: bool

    def open_database(self, url: URL, *, file_mode: int, schema: str) -> Database:
        """Open a database; where it is a file, create it when it is missing."""

    def explain(self, error: DBAPIError, name: str) -> MirrorError | None:
        """What a driver's error means to people, None if it is a fault of hisync's own."""

    def name_taken(self, error: DBAPIError) -> bool:
        """Whether a table or an index can't be made since there is one of that name."""

    def prepare_schema(self, connection: Connection) -> None:
        """Make what the migrations need before they can run."""

    def mark(self, connection: Connection) -> None:
        """Hide this transaction's writes from the capture triggers."""

    def unmark(self, connection: Connection) -> None:
        """End the hiding."""

    def leftover_mark(self, connection: Connection) -> bool:
        """Whether a mark was committed after all: every edit since then went unseen."""

    def rows_written(self, connection: Connection) -> int:
        """A number that is the same only while the connection has written nothing."""

    def schema_version(self, connection: Connection) -> object:
        """A value that changes with every change of a table or trigger, whoever makes it."""

    def tables(self) -> Mapping[str, Table]:
        """The tables that a mirror on this engine has, by name."""

    def install_capture(self, connection: Connection) -> None:
        """Put every capture trigger in place as this version declares it, and drop older ones."""

    def missing_triggers(self, connection: Connection) -> list[str]:
        """The capture triggers that are missing or altered."""

    def views_to_make(self, connection: Connection) -> list[str]:
        """The views that are missing, or of another version."""

    def install_views(self, connection: Connection) -> None:
        """Make the views that are missing or of another version."""

    def taken_names(self, connection: Connection) -> list[str]:
        """The views that can't be made, since people have something else of that name."""

    def insert(self, table: Table) -> Upsert:
        """An INSERT that can say what happens where the key is there already."""

    def upsert_rows(
        self, connection: Connection, table: Table, rows: Iterable[Mapping[str, Any]]
    ) -> None:
        """Put rows in, over whatever has their guid; columns that are not ours stay as they are.

        Args:
            connection: the engine's write transaction.
            table: one whose key is `guid`.
            rows: their values by column; one that is left out is empty.
        """

    def insert_rows(
        self,
        connection: Connection,
        table: Table,
        columns: tuple[str, ...],
        rows: Iterable[list[Any]],
    ) -> None:
        """Put rows in none of which is there yet.

        Args:
            connection: the engine's write transaction.
            table: the table.
            columns: those that are given; the others get their defaults.
            rows: a value for each of these columns, in lists that may be altered.

        Raises:
            IntegrityError: if one of them is there.
        """

    def many_rows(self, connection: Connection) -> AbstractContextManager[None]:
        """What makes it cheaper to put in a great many rows, as long as it is entered."""

    def without_insert_triggers(self, connection: Connection) -> AbstractContextManager[None]:
        """Let a great many new items in without asking the triggers of their tables about each.

        Where this is left by an exception, the transaction has to be rolled back.
        """

    def fill(self, connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
        """Put rows into any table, none of which is there yet.

        Args:
            connection: the engine's write transaction.
            table: the table.
            rows: a value for each column, JSON as Python's own.
        """

    def last_number(self, connection: Connection, column: Column[Any]) -> int:
        """The highest number that a column which counts up ever gave, 0 for none."""

    def count_on(self, connection: Connection, column: Column[Any], last: int) -> None:
        """Let a column that counts up give only numbers above one."""

    def count_singly(self, connection: Connection, column: Column[Any]) -> bool:
        """Let sessions take the numbers of a column that counts up one at a time.

        Returns:
            Whether they did so before.

        Raises:
            SchemaError: if the server does not allow that.
        """

    def refuse_edits(self, connection: Connection, message: str) -> None:
        """Refuse people's edits of every table, until the capture triggers are installed anew."""

    def is_listed(
        self, column: ColumnElement[Any], keys: BindParameter[Any]
    ) -> ColumnElement[bool]:
        """The condition that a column is in a list, which comes as one parameter."""

    def as_list(self, keys: Sequence[Any]) -> Any:
        """The parameter for `is_listed`, None where the engine has no form for one of the keys."""

    def as_one_cell(self, column: ColumnElement[int]) -> ColumnElement[str]:
        """All values of a column of whole numbers, as the text of a JSON list."""

    def raw(self, column: ColumnElement[Any]) -> ColumnElement[Any]:
        """A cell as it is stored, not converted; JSON as text."""

    def logged_cell(self, value: Any, *, is_json: bool, is_bool: bool) -> ColumnElement[Any]:
        """What `change_log` says of a cell, to be stored again, whatever type the column has."""

    def logged_row(self, table: Table) -> ColumnElement[Any]:
        """A row of a table that people edit, as `change_log` would say it were it all new."""

    def row_order(self, table: Table) -> ColumnElement[Any]:
        """The order in which rows were put in, as far as the engine knows it."""

    def counted_minutes(self, cell: str) -> str:
        """What an SQL expression for minutes counts: 0 where it is no number of minutes."""


def of(connection: Connection) -> Dialect:
    """The dialect of a connection's engine."""
    return named(connection.dialect.name)


@cache
def named(backend: str) -> Dialect:
    """The dialect of an engine by SQLAlchemy's name of it.

    Raises:
        LookupError: if there is none.
        ConfigurationError: if its driver is not installed.
    """
    if backend == "sqlite":
        from hisync.mirror.dialects import sqlite

        return cast("Dialect", sqlite)
    if backend == "postgresql":
        try:
            import psycopg  # noqa: F401 - every module of the package needs it
        except ImportError as error:
            raise ConfigurationError(
                [
                    (
                        "database.url: PostgreSQL needs the driver psycopg: install it with "
                        f'`pip install "hisync[postgres]"` ({error})'
                    )
                ]
            ) from None
        from hisync.mirror.dialects import postgres

        return cast("Dialect", postgres)
    raise LookupError(backend)


def write_connection(engine: Engine, *, books: bool = False) -> Connection:
    """A connection whose transactions exclude other writers from the start.

    Args:
        engine: the mirror's.
        books: whether only the books of requests are written, which people don't touch.
    """
    return engine.connect().execution_options(**{WRITE: BOOKS if books else True})
