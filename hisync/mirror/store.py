"""The open mirror: its engine, its lock, and the two kinds of transaction.

`reading` sees one consistent state. `writing` takes the write lock first, hides its writes from
the capture triggers, refuses if another process has taken the mirror over, and folds what people
changed into the base before anything else looks at it. No request to hiTask may be made inside
either. Public: `Mirror`, `open_mirror`.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import orjson
from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DatabaseError, OperationalError

from hisync.errors import (
    BusyError,
    ConfigurationError,
    FullError,
    MirrorError,
    StaleWriterError,
)
from hisync.mirror import migrate, sqlite, state
from hisync.mirror.folding import fold_changes
from hisync.mirror.lock import FileLock


class Mirror:
    """A mirror database; close it, or use it as a context manager."""

    def __init__(self, engine: Engine, path: Path) -> None:
        self.engine = engine
        self.path = path
        self._lock: FileLock | None = None
        self._fence: int | None = None
        self._schema: int | None = None

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that only reads."""
        with self._errors_named(), self.engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def writing(self, *, commit: bool = True) -> Iterator[Connection]:
        """One write transaction of the engine's; `commit=False` rolls everything back at the end.

        Raises:
            StaleWriterError: if another process has taken the mirror over.
            SchemaError: if someone dropped a table or a trigger, or left a mark.
            MirrorError: if the database is locked, full, or not to be written.
        """
        with (
            self._errors_named(),
            self._write_connection() as connection,
            connection.begin() as transaction,
        ):
            self._look_for_holes(connection)
            sqlite.mark(connection)
            if self._fence is not None and state.load(connection).fence != self._fence:
                raise StaleWriterError(
                    "another hisync process has taken this mirror over; this one stops"
                )
            before = sqlite.rows_written(connection)
            fold_changes(connection)
            yield connection
            # Where nothing was written, the mark alone is not worth a write to the disk.
            unwritten = sqlite.rows_written(connection) == before
            sqlite.unmark(connection)
            if unwritten or not commit:
                transaction.rollback()

    @contextmanager
    def booking(self) -> Iterator[Connection]:
        """A write transaction for the books alone, which touches no table that people edit."""
        with self._errors_named(), self._write_connection() as connection, connection.begin():
            yield connection

    def lock(self) -> None:
        """Keep every other hisync out until `close` or the process ends.

        Raises:
            LockedError: if another process holds the mirror; it names that process.
        """
        lock = self._file_lock()
        lock.acquire()
        self._lock = lock

    def acquire(self, *, upgrade: bool = True) -> Self:
        """Become the mirror's one writer: lock it, fit its schema, shut out who held it before.

        Raises:
            LockedError: if another process holds the mirror.
            SchemaError: if its schema doesn't fit.
        """
        self.lock()
        with self._errors_named():
            migrate.ensure_current(self.engine, upgrade=upgrade)
        with self.booking() as connection:
            fence = state.load(connection).fence + 1
            state.save(connection, fence=fence)
        self._fence = fence
        return self

    def check(self) -> None:
        """Make sure that the schema is this version's, for a command that only looks.

        Raises:
            SchemaError: if it is not.
        """
        with self._errors_named():
            migrate.ensure_current(self.engine, upgrade=False)

    def upgrade(self) -> tuple[str | None, str]:
        """Bring the schema to this version's and put missing triggers back; hold the lock.

        Returns:
            The revision before, None for an empty database, and the one after.
        """
        with self._errors_named():
            return migrate.upgrade_schema(self.engine)

    def revision(self) -> str | None:
        """The revision that the schema is at, None for an empty database."""
        with self._errors_named():
            return migrate.current(self.engine)

    def holder(self) -> int | None:
        """The process that holds the mirror, None when nobody does; 0 if it can't be told which."""
        return self._file_lock().holder()

    def _file_lock(self) -> FileLock:
        try:
            mode = self.path.stat().st_mode & 0o777
        except OSError as error:
            raise MirrorError(f"database {self.path}: {error.strerror}") from error
        return FileLock(self.path.with_name(self.path.name + ".lock"), mode)

    def close(self) -> None:
        """Give the lock back and close every connection."""
        self.engine.dispose()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _look_for_holes(self, connection: Connection) -> None:
        """Edits must not have gone unseen since the last transaction."""
        schema = sqlite.schema_version(connection)
        if schema != self._schema or sqlite.leftover_mark(connection):
            migrate.check_capture(connection)
            self._schema = schema

    def _write_connection(self) -> Connection:
        return self.engine.connect().execution_options(**{sqlite.WRITE: True})

    @contextmanager
    def _errors_named(self) -> Iterator[None]:
        try:
            yield
        except OperationalError as error:
            raise _kind_of(error)(_explain(error, self.path)) from error
        except DatabaseError as error:
            damaged = type(error.orig) is sqlite3.DatabaseError  # or no database at all
            if damaged or _is_peoples_own(error.orig):
                raise MirrorError(_explain(error, self.path)) from error
            raise


def open_mirror(url: str, *, file_mode: int = 0o600) -> Mirror:
    """Open the mirror at a SQLAlchemy URL, creating an empty file where there is none.

    Its schema is not looked at before `Mirror.acquire` or `Mirror.check`.

    Args:
        url: a SQLite URL with an absolute path.
        file_mode: the permissions of a new database file; `-wal` and `-shm` take after it.

    Raises:
        ConfigurationError: if it is for another engine than SQLite.
        MirrorError: if it can't be opened.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        name = parsed.get_backend_name()
        raise ConfigurationError(
            [f"database.url: this version mirrors into SQLite only, not {name}"]
        )
    path = Path(parsed.database or "")
    _create_file(path, file_mode)
    engine = create_engine(
        parsed,
        json_serializer=lambda value: orjson.dumps(value).decode(),
        json_deserializer=sqlite.read_json,
    )
    sqlite.prepare(engine)
    return Mirror(engine, path)


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
    """Whether a constraint stopped us that we didn't make; the mark's is the only foreign key."""
    return isinstance(error, sqlite3.IntegrityError) and "FOREIGN KEY" not in str(error)


def _explain(error: DatabaseError, path: Path) -> str:
    reason = str(error.orig)
    hints = {
        "locked": "someone else's transaction holds it: commit or close it there, hisync will "
        "try again",
        "readonly": "make the file and its folder writable for this user",
        "unable to open": "check that the folder exists and that this user may enter it",
        "full": "the disk is full: make room, nothing was lost",
        "malformed": "the file is damaged: restore a backup or let hisync make a new mirror",
        "not a database": "the file is something else: name another one in database.url",
    }
    if _is_peoples_own(error.orig):
        reason += " (an index or a trigger refuses what hiTask holds: drop it if it is your own)"
        return f"database {path}: {reason}"
    hint = next((text for word, text in hints.items() if word in reason), "see the message")
    return f"database {path}: {reason} ({hint})"
