"""A mirror that is opened once and emptied between scenes, since opening takes as long as playing.

Public: `House`, `ServedHouse`.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any, cast

from sqlalchemy import event

from hisync.mirror.store import Mirror, open_mirror
from tests import postgres
from tests.world import Backend, empty_database, share_compiled


class House:
    """Rooms for scenes, one after the other; one that a scene has rebuilt is not used again.

    Attributes:
        backend: the database engine.
        client: somebody's connection to the mirror in use, in autocommit.
        database: the name of a served mirror's database.
    """

    backend: Backend = "sqlite"
    database: str | None = None

    def __init__(self, folder: Path) -> None:
        self.client: sqlite3.Connection
        self._folder = folder
        self._rooms = 0
        self._mirror: Mirror | None = None
        self._schema: Any = None
        self._state: list[Any] = []

    @property
    def room(self) -> Path:
        """The folder of the mirror in use."""
        return self._folder / f"room{self._rooms}"

    def open(self) -> Mirror:
        """An open mirror without any row."""
        if self._mirror is not None and self._clear():
            return self._mirror
        self.leave()
        self._rooms += 1
        self.room.mkdir()
        self._mirror = open_mirror(f"sqlite:///{self.room / 'mirror.db'}")
        event.listen(self._mirror.engine, "connect", _hurry)
        self._mirror.acquire()
        self.client = sqlite3.connect(self.room / "mirror.db", isolation_level=None)
        self.client.row_factory = sqlite3.Row
        self.client.text_factory = lambda cell: cell.decode("utf-8", "surrogateescape")
        _hurry(self.client, None)
        self._schema = self._version()
        self._state = self.client.execute("SELECT * FROM sync_state").fetchall()
        return self._mirror

    def leave(self) -> None:
        """Close the mirror in use; the next scene gets another one."""
        if self._mirror is not None:
            self._mirror.close()
            self.client.close()
        self._mirror = None

    def _clear(self) -> bool:
        """Take every row out; false where somebody has changed the tables themselves."""
        if self._version() != self._schema:
            return False
        self.client.execute("BEGIN IMMEDIATE")
        self.client.execute("INSERT INTO sync_mark VALUES (1, 0)")  # nothing is captured
        tables = self.client.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
        for (table,) in tables.fetchall():
            if table not in {"sync_schema_version", "sync_mark"}:
                self.client.execute(f"DELETE FROM {table}")
        self.client.execute("DELETE FROM sync_mark")
        self.client.executemany("INSERT INTO sync_state VALUES (?, ?)", self._state)
        self.client.execute("COMMIT")
        return True

    def _version(self) -> int:
        (version,) = self.client.execute("PRAGMA schema_version").fetchone()
        return int(version)


class ServedHouse(House):
    """The same on PostgreSQL, where a room is a database of its own and serves one scene."""

    backend: Backend = "postgresql"

    def open(self) -> Mirror:
        self.leave()
        self.room.mkdir(exist_ok=True)
        self.database = postgres.server().create(empty_database())
        self._mirror = open_mirror(postgres.server().url(self.database)).acquire()
        share_compiled(self._mirror)
        self.client = cast("sqlite3.Connection", postgres.Client(self.database))
        return self._mirror

    def leave(self) -> None:
        opened = self._mirror is not None
        super().leave()
        if opened:
            postgres.server().drop(self.database or "")


def _hurry(connection: Any, _record: object) -> None:
    """No scene is about a power cut, and waiting for the disk is most of what a commit takes."""
    connection.execute("PRAGMA synchronous = OFF").close()
