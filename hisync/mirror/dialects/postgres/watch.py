"""Tells that someone has edited the mirror, by `NOTIFY`, without a look at any table.

Where the server has no such thing, each look says that there may be something, and the daemon reads
the end of the change log. Public: `NotifyWatch`, `channel`.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import psycopg
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from hisync.mirror.dialects.postgres.abilities import Abilities
from hisync.mirror.dialects.postgres.connection import CHANNEL
from hisync.mirror.dialects.postgres.session import own_session


class NotifyWatch:
    """Listens to what the capture triggers say; where that fails, anything may have changed."""

    def __init__(self, engine: Engine, abilities: Abilities) -> None:
        self._engine = engine
        self._abilities = abilities
        self._session: psycopg.Connection[Any] | None = None

    def changed(self) -> bool:
        """Whether there may have been a commit since the last call; true at the first."""
        try:
            if not self._abilities.listens:
                return True
            if self._session is None:
                self._session = self._listen()
                return True
            return bool(list(self._session.notifies(timeout=0)))
        except (psycopg.Error, DBAPIError):
            self.close()
            return True

    def close(self) -> None:
        """Give the connection back."""
        if self._session is not None:
            with suppress(psycopg.Error):
                self._session.close()
            self._session = None

    def _listen(self) -> psycopg.Connection[Any]:
        session = own_session(self._engine)
        channel = CHANNEL.format(schema="current_schema()")
        row = session.execute(f"SELECT quote_ident({channel})".encode()).fetchone()
        if row is None or row[0] is None:  # no schema yet, so nobody edits anything in it
            return session
        session.execute(f"LISTEN {row[0]}")
        return session
