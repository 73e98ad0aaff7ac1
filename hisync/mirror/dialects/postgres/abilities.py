"""What a server that speaks PostgreSQL's protocol can do, found out by trying, not by its name.

Distributed databases with this protocol may lack advisory locks, or have functions of their names
that lock nothing, and may lack LISTEN and NOTIFY. Public: `Abilities`, `of`, `ABILITIES`.
"""

from __future__ import annotations

import random
from contextlib import closing
from functools import cached_property
from typing import Any, Final, NamedTuple, TypeAlias, cast

import psycopg
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from hisync.mirror.dialects.postgres.session import own_session

ABILITIES: Final = "hisync_abilities"
"""The execution option of connections that says what their server can do."""

_PROBE: Final = 1_752_367_108
"""The first key of the lock that is taken only to see whether it keeps anyone out."""

_SECONDS: Final = 2.0
"""How long a notification may take."""

_LACKING: Final = frozenset({"42883", "42501", "0A000", "42601"})
"""A function that is missing, not allowed or not supported, and a statement that is unknown."""


Session: TypeAlias = psycopg.Connection[Any]


class _Found(NamedTuple):
    locks: bool
    notifies: bool
    listens: bool


class Abilities:
    """What one server can do; it is tried when it is first asked for, by two connections.

    Attributes:
        engine: whose connections to try it on.
    """

    engine: Engine

    @property
    def locks(self) -> bool:
        """Whether advisory locks are there and keep others out."""
        return self._found.locks

    @property
    def notifies(self) -> bool:
        """Whether a trigger may say that something was edited, heard or not."""
        return self._found.notifies

    @property
    def listens(self) -> bool:
        """Whether what is said so arrives."""
        return self._found.listens

    @cached_property
    def _found(self) -> _Found:
        with closing(own_session(self.engine)) as one, closing(own_session(self.engine)) as other:
            try:
                notifies = _does(one, "SELECT pg_notify('hisync_probe', '')")
                return _Found(_locks(one, other), notifies, notifies and _listens(one, other))
            except psycopg.Error as error:
                raise DBAPIError.instance(None, None, error, psycopg.Error) from error

    def lacks(self) -> tuple[str, ...]:
        """What is missing, and what hisync does instead."""
        missing = []
        if not self.locks:
            missing.append("advisory locks: the one writer holds a lease, and edits lock a row")
        if not self.listens:
            missing.append("NOTIFY: the change log is looked at twice a second")
        return tuple(missing)


def of(connection: Connection) -> Abilities:
    """Those of a connection's server."""
    return cast("Abilities", connection.get_execution_options()[ABILITIES])


def _locks(one: Session, other: Session) -> bool:
    number = random.getrandbits(31)
    trying = f"SELECT pg_try_advisory_lock({_PROBE}, {number})"
    in_transactions = (
        f"SELECT pg_try_advisory_xact_lock({_PROBE}, {number}), "
        f"pg_advisory_xact_lock({_PROBE}, {number}), "
        f"pg_advisory_xact_lock_shared({_PROBE}, {number})"
    )
    if not _does(one, in_transactions) or not _does(one, trying):
        return False
    second = other.execute(trying.encode()).fetchone()
    return second is not None and second[0] is False


def _listens(one: Session, other: Session) -> bool:
    channel = f"hisync_probe_{random.getrandbits(31)}"
    if not _does(one, f"LISTEN {channel}"):
        return False
    other.execute(f"SELECT pg_notify('{channel}', '')".encode())
    return bool(list(one.notifies(timeout=_SECONDS, stop_after=1)))


def _does(session: Session, statement: str) -> bool:
    """Whether the server carries a statement out, and does not say that there is no such thing."""
    try:
        session.execute(statement.encode())
    except psycopg.Error as error:
        if error.sqlstate not in _LACKING:
            raise
        return False
    return True
