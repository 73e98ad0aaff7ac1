"""The driver's own sessions, and what their errors are. Public: `own_session`, `as_sqlalchemys`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import psycopg
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, OperationalError


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


@contextmanager
def as_sqlalchemys(connection: Connection) -> Iterator[psycopg.Connection[Any]]:
    """The driver's session under a connection, for statements that SQLAlchemy is not to see.

    Raises:
        DBAPIError: SQLAlchemy's, for what the driver raises meanwhile.
    """
    session = cast("psycopg.Connection[Any]", connection.connection.driver_connection)
    try:
        yield session
    except psycopg.Error as error:
        if session.closed:  # then SQLAlchemy would say only that it can't roll back
            connection.invalidate(error)
        raise DBAPIError.instance(None, None, error, psycopg.Error) from error
