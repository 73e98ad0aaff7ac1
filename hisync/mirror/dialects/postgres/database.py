"""Opening a PostgreSQL database. Public: `open_database`, `prepare_schema`, `tables`."""

from __future__ import annotations

import json
import os
import re
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson
from sqlalchemy import URL, Connection, Engine, Table, create_engine

from hisync.errors import SchemaError
from hisync.mirror.dialects.documents import no_json
from hisync.mirror.dialects.postgres.abilities import ABILITIES, Abilities
from hisync.mirror.dialects.postgres.bulk import dump_json
from hisync.mirror.dialects.postgres.connection import prepare
from hisync.mirror.tables import metadata

if TYPE_CHECKING:
    from hisync.mirror.dialects.postgres.lease import LeaseLock
    from hisync.mirror.dialects.postgres.lock import AdvisoryLock
    from hisync.mirror.dialects.postgres.watch import NotifyWatch

_SCHEMA: Final = "hisync_schema"

_SETTINGS: Final = {
    "TimeZone": "UTC",
    "DateStyle": "ISO",
    # Whatever the database's own is: who waited at the gate must see what was committed meanwhile.
    "default_transaction_isolation": r"read\ committed",
    "synchronous_commit": "on",  # an intent must outlive a crash, or it proves nothing
    # Shorter than the second after which the server ends someone's transaction in a deadlock.
    "lock_timeout": "900",
    "statement_timeout": "300000",
    "idle_in_transaction_session_timeout": "300000",
    # In seconds: the lock of a host that has vanished is free after half a minute.
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "25000",
    "default_transaction_read_only": "off",
}
"""What every session of hisync sets, in milliseconds where it is a time."""

_KEEPALIVES: Final = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,  # none is sent while an answer to what was sent is waited for
}
"""The same on our side: a server that has vanished is missed as soon."""

_SQLITE_ONLY: Final = {"sync_doomed", "sync_mark"}

_FOR_ANY_TEXT: Final = {"UTF8", "SQL_ASCII"}
"""Encodings of databases: the second keeps the bytes that come, and from hisync they are UTF-8."""

_SIGNS: Final = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{},:]')
"""What gives JSON its shape, and texts, in which the same signs mean nothing."""


class PostgresDatabase:
    """An open PostgreSQL database: a `Database`."""

    def __init__(self, engine: Engine, name: str, schema: str, abilities: Abilities) -> None:
        self.engine = engine
        self._abilities = abilities
        self.name = name
        self.folder: Path | None = None
        self._schema = schema

    def lock(self) -> AdvisoryLock | LeaseLock:
        """The lock on the mirror's schema."""
        from hisync.mirror.dialects.postgres.lock import AdvisoryLock

        if not self._abilities.locks:
            from hisync.mirror.dialects.postgres.lease import LeaseLock

            return LeaseLock(self.engine, self._schema, os.getpid())
        return AdvisoryLock(self.engine, self._schema)

    def watch(self) -> NotifyWatch:
        """What tells that someone has edited something."""
        from hisync.mirror.dialects.postgres.watch import NotifyWatch

        return NotifyWatch(self.engine, self._abilities)

    def is_replaced(self) -> bool:
        """A server's databases keep their names."""
        return False

    def lacks(self) -> tuple[str, ...]:
        """What this server has not, and what is done instead."""
        return self._abilities.lacks()


def open_database(url: URL, *, file_mode: int, schema: str) -> PostgresDatabase:
    """Prepare to connect; nothing is asked of the server yet.

    Args:
        url: SQLAlchemy's; the driver is psycopg, whatever it says.
        file_mode: PostgreSQL has no such thing.
        schema: the schema that holds the mirror, empty for the connection's own.
    """
    del file_mode
    settings = _SETTINGS | ({"search_path": schema} if schema else {})
    options = [str(url.query.get("options", ""))]
    options += [f"-c {name}={value}" for name, value in settings.items()]
    abilities = Abilities()
    engine = create_engine(
        url.set(drivername="postgresql+psycopg"),
        json_serializer=dump_json,
        json_deserializer=_read_json,
        pool_pre_ping=True,  # a server that was restarted is met by a new connection
        execution_options={_SCHEMA: schema, ABILITIES: abilities},
        connect_args={
            "options": " ".join(options).strip(),
            "application_name": f"hisync {os.getpid()} on {socket.gethostname()}"[:63],
            "connect_timeout": 10,
            "client_encoding": "utf8",
            **_KEEPALIVES,
        },
    )
    prepare(engine)
    abilities.engine = engine
    name = _placed(url).render_as_string()
    named = f"{name}, schema {schema}" if schema else name
    return PostgresDatabase(engine, named, schema, abilities)


def _placed(url: URL) -> URL:
    """A URL without options, but with the server's name where an option gave it."""

    def given(option: str) -> str:
        value = url.query.get(option, "")
        return value if isinstance(value, str) else ",".join(value)

    host, port = url.host or given("host") or None, given("port")
    number = int(port) if port.isdecimal() else None
    return url.set(query={}, host=host, port=url.port or number)


def prepare_schema(connection: Connection) -> None:
    """Make the configured schema if there is none.

    Raises:
        SchemaError: if a new mirror could not hold whatever hiTask holds.
    """
    encoding = "SELECT current_setting('server_encoding'), to_regclass('sync_schema_version')"
    found, mirrored = connection.exec_driver_sql(encoding).one()
    if found not in _FOR_ANY_TEXT and mirrored is None:
        raise SchemaError(
            f"the database's encoding is {found}, which can't hold every text that hiTask has: "
            "create one with ENCODING 'UTF8' TEMPLATE template0, and name it in database.url"
        )
    schema = connection.get_execution_options().get(_SCHEMA)
    if not schema:
        return
    query = "SELECT 1 FROM pg_namespace WHERE nspname = %s"
    if connection.exec_driver_sql(query, (schema,)).first() is None:
        quoted = connection.dialect.identifier_preparer.quote(schema)
        connection.exec_driver_sql(f"CREATE SCHEMA {quoted}")


def tables() -> Mapping[str, Table]:
    """All that are declared but the scratch of SQLite's triggers."""
    return {name: table for name, table in metadata.tables.items() if name not in _SQLITE_ONLY}


def _read_json(text: str | bytes) -> Any:
    """What a JSON column of the machinery holds.

    `jsonb` knows numbers that no other parser takes, such as 1e400. As on SQLite such an object is
    taken apart, and what is nested in it left as JSON text for `decode_cell` to judge.

    Raises:
        MirrorError: if it is neither JSON as others know it nor an object, so somebody else's.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        try:
            cells = json.loads(text, parse_int=_whole_number)
            if not isinstance(cells, dict):
                raise no_json(text) from None
            return {k: json.dumps(v) if isinstance(v, list | dict) else v for k, v in cells.items()}
        except RecursionError:  # `jsonb` is nested deeper than any parser goes, too
            return _taken_apart(text if isinstance(text, str) else text.decode())


def _taken_apart(text: str) -> dict[str, Any]:
    """The cells of an object of which nothing nested is parsed."""
    cells: dict[str, Any] = {}
    depth, start, key = 0, text.index("{") + 1, ""
    for found in _SIGNS.finditer(text):
        sign = found[0]
        depth -= sign in "]}"
        if depth == 1 and sign == ":":
            key, start = json.loads(text[start : found.start()]), found.end()
        elif (depth == 1 and sign == ",") or (depth == 0 and sign == "}"):
            cell = text[start : found.start()].strip()
            cells[key] = cell if cell[0] in "[{" else json.loads(cell, parse_int=_whole_number)
            start = found.end()
        depth += sign in "[{"
    return cells


def _whole_number(digits: str) -> int | float:
    return int(digits) if len(digits) < 20 else float(digits)
