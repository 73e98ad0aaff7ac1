"""SQLite's own way to work: the connection, the mark, the watch on commits.

Public: `prepare`, `mark`, `unmark`, `leftover_mark`, `rows_written`, `schema_version`,
`read_json`, `ChangeWatch`.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from operator import methodcaller
from typing import Any, Final

import orjson
from sqlalchemy import Connection, Engine, event

from hisync.mirror.dialects import WRITE
from hisync.mirror.dialects.documents import no_json

BUSY_TIMEOUT_SECONDS: Final = 10.0
"""How long to wait for someone else's write transaction before trying again later."""

# Half of an item's cells are null or a flag. Of what is neither text nor number the driver looks
# for an adapter, and where it finds none it has made an error of that for each cell by then.
sqlite3.register_adapter(type(None), {None: None}.get)
sqlite3.register_adapter(bool, int)


def prepare(engine: Engine) -> None:
    """Make every connection durable, patient and explicit about its transactions."""

    @event.listens_for(engine, "connect")
    def _connect(connection: Any, _record: object) -> None:
        # The driver must not open or close transactions by itself: DDL is part of them here.
        connection.isolation_level = None
        connection.text_factory = _any_text
        for pragma in (
            f"busy_timeout = {int(BUSY_TIMEOUT_SECONDS * 1000)}",
            "journal_mode = WAL",
            "synchronous = FULL",  # an intent must outlive a power cut, or it proves nothing
            "foreign_keys = ON",  # a forgotten mark then can't be committed
        ):
            connection.execute(f"PRAGMA {pragma}").close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        write = connection.get_execution_options().get(WRITE, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


_any_text: Final = methodcaller("decode", "utf-8", "surrogateescape")
"""Makes a text cell of whatever bytes a client put in: what is no UTF-8 its column refuses."""


def read_json(cell: Any) -> Any:
    """What a JSON column of the machinery holds; SQLite keeps a JSON number as a number.

    The triggers write what SQLite calls JSON, which knows texts and numbers that JSON parsers
    refuse. Such an object is taken apart here, so that the one bad value stays alone: what is
    nested in it is left as JSON text for `decode_cell` to judge.

    Raises:
        MirrorError: if it is no JSON at all, which only somebody else can have written.
    """
    if not isinstance(cell, str):
        return cell
    try:
        return orjson.loads(cell)
    except orjson.JSONDecodeError:
        text = cell.encode("utf-8", "surrogateescape")
        with closing(sqlite3.connect(":memory:")) as connection:
            connection.text_factory = _any_text
            query = "SELECT key, value FROM json_each(CAST(? AS TEXT))"
            try:
                return dict(connection.execute(query, (text,)))
            except sqlite3.Error:
                raise no_json(cell) from None


def mark(connection: Connection) -> None:
    """Hide this transaction's writes from the capture triggers."""
    # An INSERT OR IGNORE leaves its note behind: it must not outlive the row that it is about.
    connection.exec_driver_sql("DELETE FROM sync_doomed")
    connection.exec_driver_sql("INSERT INTO sync_mark (id, owner) VALUES (1, 0)")


def unmark(connection: Connection) -> None:
    """End the hiding; without this the transaction can't be committed."""
    connection.exec_driver_sql("DELETE FROM sync_mark")


def leftover_mark(connection: Connection) -> bool:
    """Whether a mark was committed after all: every edit since then went unseen."""
    return connection.exec_driver_sql("SELECT 1 FROM sync_mark").first() is not None


def rows_written(connection: Connection) -> int:
    """How many rows this connection has written in its life, those of triggers included."""
    return int(connection.exec_driver_sql("SELECT total_changes()").scalar_one())


def schema_version(connection: Connection) -> int:
    """A number that changes with every change of a table or trigger, whoever makes it."""
    return int(connection.exec_driver_sql("PRAGMA schema_version").scalar_one())


class ChangeWatch:
    """Tells whether anyone has committed since the last look, without touching a table.

    It holds one connection for itself: the number it reads changes when another one commits.
    """

    def __init__(self, engine: Engine) -> None:
        self._connection = engine.raw_connection()
        self._version: object = None

    def changed(self) -> bool:
        """Whether there may have been a commit since the last call; true at the first."""
        before, self._version = self._version, None
        # A file that can't be read may have changed: whoever reads it next says what is wrong.
        with suppress(sqlite3.Error), closing(self._connection.cursor()) as cursor:
            cursor.execute("PRAGMA data_version")
            self._version = cursor.fetchone()
        return self._version is None or before != self._version

    def close(self) -> None:
        """Give the connection back."""
        self._connection.close()
