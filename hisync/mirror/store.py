"""The open mirror: its engine, its lock, and the two kinds of transaction.

`reading` sees one consistent state. `writing` takes the write lock first, hides its writes from
the capture triggers, refuses if another process has taken the mirror over, and folds what people
changed into the base before anything else looks at it. No request to hiTask may be made inside
either. Public: `Mirror`, `open_mirror`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Self

from sqlalchemy import Connection
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from hisync.errors import ConfigurationError, StaleWriterError
from hisync.mirror import dialects, migrate, state
from hisync.mirror.dialects import ChangeWatch, Database, Dialect, WriterLock
from hisync.mirror.folding import fold_changes, mend_numbers
from hisync.mirror.moved import usable
from hisync.mirror.state import EngineState

_COUNTS: Final = "hisync_counts"
"""Noted of connections to databases whose log is known to count on from where it was."""


class Mirror:
    """A mirror database; close it, or use it as a context manager.

    Attributes:
        engine: SQLAlchemy's.
        name: what to call the database before people: a file's path, or a URL without a password.
        folder: the folder that it is in, None for a server.
        holds_nul: whether its texts can hold the character NUL.
    """

    def __init__(self, database: Database, dialect: Dialect) -> None:
        self.engine = database.engine
        self.name = database.name
        self.folder = database.folder
        self.holds_nul = dialect.HOLDS_NUL
        self._database = database
        self._dialect = dialect
        self._lock: WriterLock | None = None
        self._fence: int | None = None
        self._schema: object = None

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that only reads."""
        with self._errors_named(), self.engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def writing(self, *, commit: bool = True) -> Iterator[Connection]:
        """One write transaction of the engine's; `commit=False` rolls everything back at the end.

        Raises:
            StaleWriterError: if another process has taken over, or the file was replaced.
            SchemaError: if someone dropped a table or a trigger, or left a mark.
            MirrorError: if the database is locked, full, or not to be written.
        """
        with self._errors_named(), dialects.write_connection(self.engine) as connection:
            with connection.begin() as transaction:
                self._refuse_another_file()
                self._look_for_holes(connection)
                self._dialect.mark(connection)
                known = state.load(connection)
                if not self._is_the_writer(known):
                    raise StaleWriterError(
                        "another hisync process has taken this mirror over; this one stops"
                    )
                before = self._dialect.rows_written(connection)
                if _COUNTS not in connection.info:
                    # The server may be another one by now, whose sequence was not as far.
                    mend_numbers(connection, known.folded_seq)
                    known = state.load(connection)
                fold_changes(connection, known.folded_seq)
                yield connection
                # Where nothing was written, the mark alone is not worth a write to the disk.
                unwritten = self._dialect.rows_written(connection) == before
                self._dialect.unmark(connection)
                if unwritten or not commit:
                    transaction.rollback()
            if commit:
                connection.info[_COUNTS] = True

    @contextmanager
    def booking(self) -> Iterator[Connection]:
        """A write transaction for the books alone, which touches no table that people edit."""
        connecting = dialects.write_connection(self.engine, books=True)
        with self._errors_named(), connecting as connection, connection.begin():
            self._refuse_another_file()
            yield connection

    def lock(self) -> None:
        """Keep every other hisync out until `close` or the process ends.

        Raises:
            LockedError: if another process holds the mirror; it names that process.
        """
        with self._errors_named():
            lock = self._database.lock()
            lock.acquire()
        self._lock = lock
        self._say_what_lacks()

    def acquire(self, *, upgrade: bool = True, to_move: bool = False) -> Self:
        """Become the mirror's one writer: lock it, fit its schema, shut out who held it before.

        Args:
            upgrade: whether an older schema is brought to this version's.
            to_move: whether one that has moved, or is being moved here, will do.

        Raises:
            LockedError: if another process holds the mirror.
            MovedError: if it was moved to another database.
            SchemaError: if its schema doesn't fit.
        """
        self.lock()
        with self._errors_named():
            migrate.ensure_current(self.engine, upgrade=upgrade)
        with self._errors_named(), dialects.write_connection(self.engine) as connection:
            with connection.begin():
                memory = state.load(connection)
                if not to_move:
                    usable(memory)
                fence = memory.fence + 1
                state.save(connection, fence=fence)
                mend_numbers(connection, memory.folded_seq)
            connection.info[_COUNTS] = True
        self._fence = fence
        return self

    def check(self) -> None:
        """Make sure that the schema is this version's, for a command that only looks.

        Raises:
            MovedError: if the mirror was moved to another database.
            SchemaError: if it is not.
        """
        with self._errors_named():
            migrate.ensure_current(self.engine, upgrade=False)
        with self.reading() as connection:
            usable(state.load(connection))

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

    def is_empty(self) -> bool:
        """Whether the first sync finds nothing in its way."""
        with self._errors_named():
            return migrate.is_empty(self.engine)

    def holder(self) -> int | None:
        """The process that holds the mirror, None when nobody does; 0 if it can't be told which."""
        with self._errors_named():
            return self._database.lock().holder()

    def lacks(self) -> tuple[str, ...]:
        """What the database has not that hisync would use, each with what is done instead."""
        with self._errors_named():
            return self._database.lacks()

    def watch(self) -> ChangeWatch:
        """What tells that someone has changed something; close it before the mirror."""
        return self._database.watch()

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

    def _say_what_lacks(self) -> None:
        for what in self.lacks():
            import structlog

            structlog.get_logger("hisync").warning("database_lacks", what=what)

    def _is_the_writer(self, known: EngineState) -> bool:
        """Whether nobody has taken over, neither the lock nor, with it or without, the number."""
        if self._lock is not None and not self._lock.holds():
            return False
        return self._fence is None or known.fence == self._fence

    def _refuse_another_file(self) -> None:
        if self._database.is_replaced():
            raise StaleWriterError(
                f"the database {self.name} was removed or replaced while hisync had it open; this "
                "one stops: start hisync again to work on what is there now"
            )

    def _look_for_holes(self, connection: Connection) -> None:
        """Edits must not have gone unseen since the last transaction."""
        schema = self._dialect.schema_version(connection)
        if schema != self._schema or self._dialect.leftover_mark(connection):
            migrate.check_capture(connection)
            self._schema = schema

    @contextmanager
    def _errors_named(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            explained = self._dialect.explain(error, self.name)
            if explained is None:
                raise
            raise explained from error


def open_mirror(url: str, *, file_mode: int = 0o600, schema: str = "") -> Mirror:
    """Open the mirror at a SQLAlchemy URL, creating an empty file where there is none.

    Its schema is not looked at before `Mirror.acquire` or `Mirror.check`.

    Args:
        url: of SQLite with an absolute path, or of PostgreSQL.
        file_mode: the permissions of a new SQLite file; `-wal` and `-shm` take after it.
        schema: the PostgreSQL schema that holds the mirror, empty for the connection's own.

    Raises:
        ConfigurationError: if it is for another engine, or its driver is missing.
        MirrorError: if it can't be opened.
    """
    parsed = make_url(url)
    try:
        dialect = dialects.named(parsed.get_backend_name())
    except LookupError as error:
        raise ConfigurationError(
            [f"database.url: hisync mirrors into SQLite and PostgreSQL, not {error.args[0]}"]
        ) from None
    return Mirror(dialect.open_database(parsed, file_mode=file_mode, schema=schema), dialect)
