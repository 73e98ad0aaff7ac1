"""The lock of a mirror's one writer: an advisory lock of a session that does nothing else.

It is gone with its process, its host or its server; the fencing number then keeps a writer out
whose lock went to another. Public: `AdvisoryLock`.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any, cast

import psycopg
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError, OperationalError

from hisync.errors import LockedError
from hisync.mirror.dialects.postgres.connection import WRITER


class AdvisoryLock:
    """The lock of one schema's writer."""

    def __init__(self, engine: Engine, schema: str) -> None:
        self._engine = engine
        self._schema = schema
        self._session: psycopg.Connection[Any] | None = None
        self._wanted = False

    def acquire(self) -> None:
        """Take the lock.

        Raises:
            LockedError: if another process has it.
        """
        if not self._take():
            pid = self.holder()
            raise LockedError(
                f"another hisync (process {pid or 'unknown'}) is working on this mirror", pid
            )
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
        return self._take()

    def holder(self) -> int | None:
        """The process that has the lock, None if none has; 0 if it can't be told which."""
        query = (
            "SELECT activity.application_name FROM pg_locks AS lock "
            "LEFT JOIN pg_stat_activity AS activity USING (pid) "
            "WHERE lock.locktype = 'advisory' AND lock.granted AND lock.objsubid = 2 "
            "AND lock.database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
            "AND lock.classid = %s AND lock.objid = "
            "(hashtext(coalesce(nullif(%s, ''), current_schema()::text))::bigint & 4294967295)::oid"
        )
        with self._engine.connect() as connection:
            row = connection.exec_driver_sql(query, (WRITER, self._schema)).first()
        if row is None:
            return None
        named = re.match(r"hisync (\d+)", row[0] or "")
        return int(named[1]) if named else 0

    def _drop(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None

    def _take(self) -> bool:
        session = own_session(self._engine)
        try:
            taken = session.execute(
                "SELECT pg_try_advisory_lock(%s, "
                "hashtext(coalesce(nullif(%s, ''), current_schema()::text)))",
                (WRITER, self._schema),
            ).fetchone()
        except psycopg.Error as error:  # the server went away just now
            session.close()
            raise DBAPIError.instance(None, None, error, psycopg.Error) from error
        if taken is None or not taken[0]:
            session.close()
            return False
        self._session = session
        return True


def own_session(engine: Engine) -> psycopg.Connection[Any]:
    """A connection of one's own, without transactions, that no pool takes back.

    Raises:
        OperationalError: SQLAlchemy's, if there is none to be had.
    """
    try:
        pooled = engine.raw_connection()
    except psycopg.Error as error:
        raise OperationalError(None, None, error) from error
    session = cast("psycopg.Connection[Any]", pooled.driver_connection)
    pooled.detach()
    session.rollback()
    session.autocommit = True
    return session
