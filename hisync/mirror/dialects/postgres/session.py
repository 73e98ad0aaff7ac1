"""Connections that are no part of the pool. Public: `own_session`."""

from __future__ import annotations

from typing import Any, cast

import psycopg
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError


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
