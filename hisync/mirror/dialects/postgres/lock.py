"""The lock of a mirror's one writer: an advisory lock of a session that does nothing else.

It is gone with its process, its host or its server; the fencing number then keeps a writer out
whose lock went to another. Public: `AdvisoryLock`, `load_holder`.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any

import psycopg
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from hisync.errors import LockedError
from hisync.mirror.dialects.postgres import lease
from hisync.mirror.dialects.postgres.connection import WRITER
from hisync.mirror.dialects.postgres.session import own_session


class AdvisoryLock:
    """The lock of one schema's writer."""

    def __init__(self, engine: Engine, schema: str) -> None:
        self._engine = engine
        self._schema = schema
        self._session: psycopg.Connection[Any] | None = None
        self._last: tuple[Any, ...] | None = None  # the last session, as the server knows it
        self._wanted = False

    def acquire(self) -> None:
        """Take the lock.

        Raises:
            LockedError: if another process has it.
        """
        leased_to = lease.load_holder(self._engine)
        if leased_to is not None or not self._take():
            pid = self.holder()
            raise LockedError(pid)
        self._wanted = True

    def release(self) -> None:
        """Give it back."""
        self._wanted = False
        if self._session is not None:
            # The server may come to the end of a session later than its client goes on.
            with suppress(psycopg.Error):
                self._session.execute("SELECT pg_advisory_unlock_all()")
        self._drop()

    def holds(self) -> bool:
        """Whether it is still held, or could be had again when the server had lost it."""
        if not self._wanted:
            return False
        try:
            if self._session is not None:
                self._session.execute("SELECT 1")
                return True
        except psycopg.OperationalError:
            self._drop()
        return self._take() or (self._end_lost() and self._take(wait=True))

    def holder(self) -> int | None:
        """The process that has the lock, None if none has; 0 if it can't be told which."""
        found = load_holder(self._engine, self._schema)
        return lease.load_holder(self._engine) if found is None else found

    def _drop(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None

    def _end_lost(self) -> bool:
        """End the session that had it, where the server has not noticed that nobody is there.

        What lies between may forget a connection and tell only one of its ends.

        Returns:
            Whether there was one to end.
        """
        if self._last is None:
            return False
        ending = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        its = "WHERE pid = %s AND backend_start = %s"
        with self._engine.connect() as connection:
            return connection.exec_driver_sql(f"{ending} {its}", self._last).first() is not None

    def _take(self, *, wait: bool = False) -> bool:
        session = own_session(self._engine)
        trying = "pg_advisory_lock" if wait else "pg_try_advisory_lock"  # `lock_timeout` ends it
        asking = (
            f"SELECT {trying}(%s, hashtext(coalesce(nullif(%s, ''), current_schema()::text)))::text"
            " <> 'false', pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()"
        )
        taken = None
        try:
            taken = session.execute(asking.encode(), (WRITER, self._schema)).fetchone()
        except psycopg.errors.LockNotAvailable:
            pass
        except psycopg.Error as error:  # the server went away just now
            session.close()
            raise DBAPIError.instance(None, None, error, psycopg.Error) from error
        if taken is None or not taken[0]:
            session.close()
            return False
        self._session, self._last = session, taken[1:]
        return True


def load_holder(engine: Engine, schema: str) -> int | None:
    """The process that has the advisory lock of a schema's writer, None if none has."""
    query = (
        "SELECT activity.application_name FROM pg_locks AS lock "
        "LEFT JOIN pg_stat_activity AS activity USING (pid) "
        "WHERE lock.locktype = 'advisory' AND lock.granted AND lock.objsubid = 2 "
        "AND lock.database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
        "AND lock.classid = %s AND lock.objid = "
        "(hashtext(coalesce(nullif(%s, ''), current_schema()::text))::bigint & 4294967295)::oid"
    )
    with engine.connect() as connection:
        row = connection.exec_driver_sql(query, (WRITER, schema)).first()
    if row is None:
        return None
    named = re.match(r"hisync (\d+)", row[0] or "")
    return int(named[1]) if named else 0
