"""A connection's transactions: who may write meanwhile, and what the triggers don't see.

A transaction that only reads sees one state. The engine's write transactions go through a gate: an
advisory lock that everyone's editing statement shares until its transaction ends (`capture`) and
that the engine takes alone; where there are no such locks, a row is locked instead (`lease`). So
nobody's edit falls between what the engine has read and what it writes, and numbers of `change_log`
are seen in their order. The mark is a setting that holds the transaction's own number: it can't
outlive that, and nobody sets it by accident. Public: `prepare`,
`mark`, `unmark`, `leftover_mark`, `rows_written`, `GATE`, `WRITER`, `UNMARKED`,
`CHANNEL`.
"""

from __future__ import annotations

import time
from itertools import count
from typing import Any, Final, Literal

import psycopg
from psycopg.abc import Buffer
from psycopg.types.string import StrDumperUnknown
from sqlalchemy import Connection, Engine, event

from hisync.mirror.dialects import BOOKS, WRITE
from hisync.mirror.dialects.postgres import abilities
from hisync.mirror.dialects.postgres.session import as_sqlalchemys

GATE: Final = 1_752_367_105
"""The first key of the lock that editing transactions share; the second is the schema's hash."""

LEDGER: Final = 1_752_367_106
"""That of the lock on the books of requests."""

WRITER: Final = 1_752_367_107
"""That of the lock of the mirror's one writer."""

_WHERE_KNOWN: Final = (
    b"SELECT set_config(name, CASE vartype WHEN 'bool' THEN 'off' ELSE '0' END, false) "
    b"FROM pg_settings WHERE name IN "
    b"('idle_session_timeout', 'transaction_timeout', 'quote_all_identifiers')"
)
"""Switches off what not every version has.

Sessions that are to be idle, those of the lock and of the watch, are not to end by that; nor a
first mirror by its length. And triggers are compared as the server tells them.
"""

BUSY_TIMEOUT_SECONDS: Final = 10.0
"""How long to wait for other people's transactions before trying again later."""

WAIT_MS: Final = 300
"""Milliseconds for which the engine stands at the gate, where others wait behind it."""

PAUSE_SECONDS: Final = 0.1
"""How long it lets the others go first then."""

UNMARKED: Final = (
    "current_setting('hisync.mark', true) IS DISTINCT FROM "
    "'{schema} ' || pg_current_xact_id()::text"
)
"""The condition that a statement is not the engine's own."""

CHANNEL: Final = "('hisync_' || {schema})::name::text"
"""Where edits are told of, cut to the length that a name may have."""

_KEY: Final = "hashtext(current_schema()::text)"

_written = count()


class _Text(StrDumperUnknown):
    """A text with a replacement character for each NUL, which PostgreSQL can't hold."""

    def dump(self, obj: str) -> Buffer | None:
        return super().dump(obj.replace("\0", "\ufffd") if "\0" in obj else obj)


def prepare(engine: Engine) -> None:
    """Give each transaction the isolation that its purpose needs."""

    @event.listens_for(engine, "connect")
    def _connect(session: Any, _record: object) -> None:
        session.adapters.register_dumper(str, _Text)
        session.execute(_WHERE_KNOWN)
        session.commit()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        purpose = connection.get_execution_options().get(WRITE)
        if purpose == BOOKS:
            connection.exec_driver_sql(_how_to_lock(connection, "books"))
        elif purpose:
            _pass_gate(connection)
        else:
            connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")


def _pass_gate(connection: Connection) -> None:
    """Wait until nobody's edits are under way, and keep new ones waiting.

    Whoever comes to a gate at which the engine waits has to wait, too. So it doesn't wait long at a
    time while one transaction keeps it closed.
    """
    if _is_open(connection):
        return
    # SQLAlchemy rolls back after an error in here, so the driver is asked itself.
    deadline = time.monotonic() + BUSY_TIMEOUT_SECONDS
    waiting = _how_to_lock(connection, "gate").encode()
    while not _stand_at_gate(connection, waiting, last=time.monotonic() > deadline):
        time.sleep(PAUSE_SECONDS)


def _is_open(connection: Connection) -> bool:
    """Whether the gate was free, and is ours now."""
    if abilities.of(connection).locks:
        trying = f"SELECT pg_try_advisory_xact_lock({GATE}, {_KEY})"
        # None: the schema is still to be made.
        return connection.exec_driver_sql(trying).scalar_one() is not False
    trying = "SELECT true FROM sync_lease WHERE name = 'gate' FOR UPDATE SKIP LOCKED"
    return connection.exec_driver_sql(trying).first() is not None


def _how_to_lock(connection: Connection, what: Literal["gate", "books"]) -> str:
    """The statement that waits for a lock of this transaction's own."""
    if abilities.of(connection).locks:
        return f"SELECT pg_advisory_xact_lock({GATE if what == 'gate' else LEDGER}, {_KEY})"
    return f"SELECT true FROM sync_lease WHERE name = '{what}' FOR UPDATE"


def _stand_at_gate(connection: Connection, waiting: bytes, *, last: bool) -> bool:
    with as_sqlalchemys(connection) as session:
        session.execute("SAVEPOINT gate")
        try:
            session.execute(f"SET LOCAL lock_timeout = {WAIT_MS}".encode())
            session.execute(waiting)
        except psycopg.errors.LockNotAvailable:
            if last:
                raise
            session.execute("ROLLBACK TO SAVEPOINT gate")
            return False
        session.execute("SET LOCAL lock_timeout TO DEFAULT")
        session.execute("RELEASE SAVEPOINT gate")
    return True


def mark(connection: Connection) -> None:
    """Hide this transaction's writes from the capture triggers."""
    connection.exec_driver_sql(
        "SELECT set_config('hisync.mark', "
        "current_schema() || ' ' || pg_current_xact_id()::text, true)"
    )


def unmark(connection: Connection) -> None:
    """End the hiding."""
    connection.exec_driver_sql("SELECT set_config('hisync.mark', '', true)")


def leftover_mark(connection: Connection) -> bool:
    """Never: the mark ends with its transaction."""
    del connection
    return False


def rows_written(connection: Connection) -> int:
    """Another number each time: a commit that has nothing to write costs nothing here."""
    del connection
    return next(_written)
