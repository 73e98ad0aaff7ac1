"""Opening a SQLite file, and what its errors mean.

Public: `open_database`, `explain`, `name_taken`, `prepare_schema`, `tables`.
"""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import orjson
from sqlalchemy import URL, Connection, Engine, Table, create_engine
from sqlalchemy.exc import DatabaseError, DBAPIError, OperationalError

from hisync.errors import BusyError, FullError, MirrorError
from hisync.mirror.dialects.sqlite.connection import ChangeWatch, prepare, read_json
from hisync.mirror.dialects.sqlite.lock import FileLock
from hisync.mirror.tables import metadata

_NAME_TAKEN: Final = re.compile(r"^(table|view|index) .* already exists|^there is already an? ")


class SqliteFile:
    """An open SQLite database: a `Database`."""

    def __init__(self, engine: Engine, path: Path) -> None:
        self.engine = engine
        self.path = path
        self.name = str(path)
        self.folder: Path | None = path.parent
        self._file = _identity(path)

    def lock(self) -> FileLock:
        """The lock on the file beside it, which has the same access rights.

        Beside the file itself, as SQLite's own `-wal`: who comes by a link finds the same lock.
        """
        try:
            mode = self.path.stat().st_mode & 0o777
            path = self.path.resolve()
        except OSError as error:
            raise MirrorError(f"database {self.path}: {error.strerror}") from error
        return FileLock(path.with_name(path.name + ".lock"), mode)

    def watch(self) -> ChangeWatch:
        """What tells that someone has committed."""
        return ChangeWatch(self.engine)

    def is_replaced(self) -> bool:
        """Whether the file was removed, or another put in its place: ours goes on without a name.

        SQLite itself doesn't look: in WAL mode it writes to what nobody can open any more.
        """
        return _identity(self.path) != self._file

    def lacks(self) -> tuple[str, ...]:
        """Nothing."""
        return ()


def open_database(url: URL, *, file_mode: int, schema: str) -> SqliteFile:
    """Open the file at a URL with an absolute path, creating an empty one where there is none.

    Args:
        url: SQLAlchemy's.
        file_mode: the permissions of a new file; `-wal` and `-shm` take after it.
        schema: SQLite has none.

    Raises:
        MirrorError: if it can't be created.
    """
    del schema
    path = Path(url.database or "")
    _create_file(path, file_mode)
    engine = create_engine(
        url,
        json_serializer=lambda value: orjson.dumps(value).decode(),
        json_deserializer=read_json,
    )
    prepare(engine)
    return SqliteFile(engine, path)


def tables() -> Mapping[str, Table]:
    """All that are declared."""
    return metadata.tables


def prepare_schema(connection: Connection) -> None:
    """SQLite needs nothing before its tables."""


def name_taken(error: DBAPIError) -> bool:
    """Whether a table or an index can't be made since there is one of that name."""
    return isinstance(error, OperationalError) and bool(_NAME_TAKEN.search(str(error.orig)))


def explain(error: DBAPIError, name: str) -> MirrorError | None:
    """What a driver's error means to people, None if it is a fault of hisync's own."""
    if isinstance(error, OperationalError):
        return _kind_of(error)(_described(error, name))
    damaged = type(error.orig) is sqlite3.DatabaseError  # or no database at all
    if isinstance(error, DatabaseError) and (damaged or _is_peoples_own(error.orig)):
        return MirrorError(_described(error, name))
    return None


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file a path leads to, None for none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _create_file(path: Path, mode: int) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, mode)
    except FileExistsError:
        return
    except OSError as error:
        raise MirrorError(f"the database {path} can't be created: {error.strerror}") from error
    os.fchmod(descriptor, mode)  # the umask must not take rights from a group that was granted
    os.close(descriptor)


def _kind_of(error: OperationalError) -> type[MirrorError]:
    reason = str(error.orig)
    if "locked" in reason:
        return BusyError
    return FullError if "full" in reason else MirrorError


def _is_peoples_own(error: BaseException | None) -> bool:
    """Whether a constraint stopped us: the mark's is gone before a commit, the rest is theirs."""
    return isinstance(error, sqlite3.IntegrityError)


def _described(error: DBAPIError, name: str) -> str:
    reason = str(error.orig)
    hints = {
        "locked": "someone else's transaction holds it: commit or close it there, hisync will "
        "try again",
        "readonly": "make the file and its folder writable for this user",
        "unable to open": "check that it is a file, and that its folder exists and lets you in",
        "full": "the disk is full: make room, nothing was lost",
        "malformed": "the file is damaged: restore a backup or let hisync make a new mirror",
        "not a database": "the file is something else: name another one in database.url",
        "no such table": "a trigger of your own names what is not there: mend it, or drop it",
        "foreign key mismatch": "let your foreign key refer to guid, which is unique, or drop it",
    }
    if _is_peoples_own(error.orig) and "FOREIGN KEY" in reason:
        reason += (
            " (a table of your own refers to a row that hiTask shows no more: give its foreign key "
            "ON DELETE CASCADE or ON DELETE SET NULL, or drop it)"
        )
        return f"database {name}: {reason}"
    if _is_peoples_own(error.orig):
        reason += " (an index or a trigger refuses what hiTask holds: drop it if it is your own)"
        return f"database {name}: {reason}"
    hint = next((text for word, text in hints.items() if word in reason), "see the message")
    return f"database {name}: {reason} ({hint})"
