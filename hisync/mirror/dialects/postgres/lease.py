"""The lock of a mirror's one writer where there are no advisory locks: a row that says until when.

The table `sync_lease` is made only there. Its row `writer` names the process that works on the
mirror, counts how often it changed hands, and is renewed by a thread while the process lives; one
that ends without a word is missed when it expires, by the server's clock. The rows `gate` and
`books` are locked by transactions (`connection`). Public: `LeaseLock`, `load_holder`.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import Any, Final
from uuid import uuid4

import psycopg
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from hisync.errors import LockedError
from hisync.mirror.dialects.postgres.session import own_session

LEASE_SECONDS: Final = 30
"""How long after its last word a process counts as alive."""

RENEW_EVERY: Final = 5.0
"""Seconds between two such words."""

_TABLE: Final = (
    "CREATE TABLE IF NOT EXISTS sync_lease (name text PRIMARY KEY, holder text, pid bigint, "
    "number bigint NOT NULL DEFAULT 0, expires timestamptz)"
)
_ROWS: Final = (
    "INSERT INTO sync_lease (name) VALUES ('writer'), ('gate'), ('books') ON CONFLICT DO NOTHING"
)
_UNTIL: Final = f"clock_timestamp() + interval '{LEASE_SECONDS} seconds'"
_TAKE: Final = (
    f"UPDATE sync_lease SET holder = %s, pid = %s, number = number + 1, expires = {_UNTIL} "
    "WHERE name = 'writer' AND (expires IS NULL OR expires < clock_timestamp())"
)
_RENEW: Final = f"UPDATE sync_lease SET expires = {_UNTIL} WHERE name = 'writer' AND holder = %s"
_GIVE_BACK: Final = (
    "UPDATE sync_lease SET holder = NULL, expires = NULL WHERE name = 'writer' AND holder = %s"
)
_HOLDER: Final = "SELECT pid FROM sync_lease WHERE name = 'writer' AND expires >= clock_timestamp()"
_NO_TABLE: Final = frozenset({"42P01", "3F000"})


class LeaseLock:
    """The lock of one schema's writer, as a lease."""

    def __init__(self, engine: Engine, schema: str, pid: int) -> None:
        self._engine = engine
        self._schema = schema
        self._pid = pid
        self._name = uuid4().hex
        self._session: psycopg.Connection[Any] | None = None
        self._one_at_a_time = threading.Lock()
        self._released = threading.Event()
        self._released.set()

    def acquire(self) -> None:
        """Take the lease, and go on renewing it.

        Raises:
            LockedError: if another process has it.
        """
        with self._one_at_a_time:
            self._make_table()
            locked_by = self._load_advisory_holder()
            taken = locked_by is None and self._execute(_TAKE, (self._name, self._pid))
            if not taken:
                self._drop()
        if not taken:
            pid = self.holder() if locked_by is None else locked_by
            raise LockedError(pid)
        self._released.clear()
        threading.Thread(target=self._renew, name="lease", daemon=True).start()

    def release(self) -> None:
        """Give it back."""
        self._released.set()
        with self._one_at_a_time:
            with suppress(DBAPIError):
                self._execute(_GIVE_BACK, (self._name,))
            self._drop()

    def holds(self) -> bool:
        """Whether it is still ours, which it is until another process takes it."""
        with self._one_at_a_time:
            if self._released.is_set():
                return False
            try:
                return self._execute(_RENEW, (self._name,)) == 1
            except DBAPIError:  # the server may be there again
                return self._execute(_RENEW, (self._name,)) == 1

    def holder(self) -> int | None:
        """The process that has it, None if none has; 0 if it can't be told which."""
        return load_holder(self._engine)

    def _load_advisory_holder(self) -> int | None:
        """The process of one that may lock what this one may not."""
        from hisync.mirror.dialects.postgres.lock import load_holder as load_advisory_holder

        with suppress(DBAPIError):  # there may be no such table of locks
            return load_advisory_holder(self._engine, self._schema)
        return None

    def _renew(self) -> None:
        while not self._released.wait(RENEW_EVERY):
            with suppress(DBAPIError):  # the engine meets it, too, and says so
                self.holds()

    def _make_table(self) -> None:
        """Make the table where there is none, and what it stands in."""
        if self._schema:
            quoted = '"' + self._schema.replace('"', '""') + '"'
            self._execute(f"CREATE SCHEMA IF NOT EXISTS {quoted}")
        try:
            self._execute(_TABLE)
        except DBAPIError:  # two that begin at once may get in each other's way
            self._execute(_TABLE)
        self._execute(_ROWS)

    def _execute(self, query: str, values: tuple[object, ...] = ()) -> int:
        """Run a statement; how many rows it changed."""
        if self._session is None:
            self._session = own_session(self._engine)
        try:
            return self._session.execute(query.encode(), values).rowcount
        except psycopg.Error as error:
            self._drop()
            raise DBAPIError.instance(None, None, error, psycopg.Error) from error

    def _drop(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None


def load_holder(engine: Engine) -> int | None:
    """The process whose lease has not expired, None if there is none."""
    try:
        with engine.connect() as connection:
            row = connection.exec_driver_sql(_HOLDER).first()
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) in _NO_TABLE:
            return None
        raise
    return None if row is None else int(row[0] or 0)
