"""The home of a simulation's mirror on the tests' PostgreSQL server.

Each simulation has a database of its own, a copy of a template; people's client writes `?` and
`:name` for values as SQLite's does, and sees cells as SQLite shows them. What the server would
take from chance or from its clock, `gen_random_uuid()` and `clock_timestamp()`, is replaced in
these databases by functions that read two sequences: those are seen by every session at once,
outside of its transaction, and the simulation sets them. Not determined is in which order rows
come that nobody asked to be sorted, once the server has reused the place of a dead one.
Public: `ServedHome`, `warm_up`.
"""

from __future__ import annotations

import sqlite3
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, cast
from unittest.mock import patch

import psycopg
from psycopg.pq import TransactionStatus
from sqlalchemy import Engine as SqlEngine
from sqlalchemy import event, make_url

from hisync.mirror import dialects
from hisync.mirror.dialects.postgres import connection as gate
from hisync.mirror.dialects.postgres import database
from hisync.mirror.store import Mirror, open_mirror
from tests import postgres
from tests.postgres import Rows, shown, translated
from tests.proof.homes import Death, Frozen, Home, Present, listen
from tests.proof.sim import Sim
from tests.world import Backend

_DETERMINED: Final = (
    "SET allow_system_table_mods = on",
    "CREATE SCHEMA simulation",
    "CREATE SEQUENCE simulation.clock",
    "CREATE SEQUENCE simulation.guids",
    "ALTER FUNCTION pg_catalog.clock_timestamp() RENAME TO real_clock_timestamp",
    """CREATE FUNCTION pg_catalog.clock_timestamp() RETURNS timestamptz VOLATILE LANGUAGE sql
    AS 'SELECT to_timestamp(last_value / 1000.0) FROM simulation.clock'""",
    "ALTER FUNCTION pg_catalog.gen_random_uuid() RENAME TO real_gen_random_uuid",
    """CREATE FUNCTION pg_catalog.gen_random_uuid() RETURNS uuid VOLATILE LANGUAGE sql
    AS $$SELECT overlay(overlay(md5(nextval('simulation.guids')::text)
        PLACING '4' FROM 13) PLACING '8' FROM 17)::uuid$$""",
)

_FULL: Final = (
    """CREATE OR REPLACE FUNCTION simulation.disk_is_full() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION USING ERRCODE = 'disk_full',
            MESSAGE = 'could not extend file: No space left on device';
    END $$""",
    """DO $$ DECLARE name text; BEGIN
        FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP
            EXECUTE format('CREATE OR REPLACE TRIGGER disk_is_full BEFORE INSERT OR UPDATE '
                'ON public.%I EXECUTE FUNCTION simulation.disk_is_full()', name);
        END LOOP;
    END $$""",
)
_FREE: Final = ("DROP FUNCTION IF EXISTS simulation.disk_is_full() CASCADE",)

_SESSIONS: Final = (
    "FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'hisync %'"
)

PATIENCE_MS: Final = 5000
"""How long somebody's statement waits for a lock that nobody lets go of in one thread: a fault."""


class Person:
    """Somebody's SQL client, in autocommit."""

    def __init__(self, home: ServedHome, sim: Sim) -> None:
        self._home = home
        self._sim = sim
        self._session: psycopg.Connection[Any] | None = None

    def execute(self, statement: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> Rows:
        """Run one statement."""
        written, bound = translated(statement, values)
        if not statement.startswith(("SELECT", "BEGIN", "COMMIT")):
            moment = int(self._sim.time.now * 1000)
            self.session.execute("SELECT setval('simulation.clock', %s)", (moment,))
        cursor = self.session.execute(written.encode(), bound)
        if cursor.description is None:
            return Rows()
        names = [column.name for column in cursor.description]
        return Rows(dict(zip(names, map(shown, row), strict=True)) for row in cursor)

    @property
    def session(self) -> psycopg.Connection[Any]:
        """Its session; a new one where the server has ended it."""
        if self._session is None or self._session.closed:
            conninfo = postgres.server().conninfo(self._home.name)
            options = f"-c lock_timeout={PATIENCE_MS}"
            self._session = psycopg.connect(conninfo, autocommit=True, options=options)
        return self._session

    @property
    def in_transaction(self) -> bool:
        """Whether it has begun one."""
        return self.session.info.transaction_status is not TransactionStatus.IDLE

    def close(self) -> None:
        """End its session."""
        if self._session is not None:
            self._session.close()


class ServedHome:
    """A database of the server, made of a template when it is first looked at."""

    backend: Backend = "postgresql"
    locking: tuple[str, ...] = ("BEGIN", "UPDATE tasks SET title = title WHERE false")

    def __init__(self, template: str | None = None) -> None:
        self._template = template
        self._name: str | None = None
        self._seeded = False
        self._person: Person | None = None
        self._hurry: Any = None

    @property
    def name(self) -> str:
        """The name of the database."""
        if self._name is None:
            self._name = postgres.server().create(self._template or _migrated())
        return self._name

    @property
    def url(self) -> str:
        """SQLAlchemy's URL of the database."""
        return postgres.server().url(self.name)

    def mirror(self) -> Mirror:
        """The mirror, not acquired yet."""
        shared = _shared()
        served = database.PostgresDatabase(shared.engine, self.name, "", shared._abilities)
        return Mirror(served, dialects.named("postgresql"))

    def person(self, sim: Sim) -> sqlite3.Connection:
        """Somebody's connection."""
        if self._person is None:
            self._person = Person(self, sim)
        if not self._seeded:
            self._seeded = True
            self._person.execute(f"SELECT setval('simulation.guids', {sim.rng.getrandbits(40)})")
        return cast("sqlite3.Connection", self._person)

    def news(self, sim: Sim) -> object:
        """Always: to look again costs no more than to ask whether one has to."""
        del sim
        return object()

    def hurry(self, locked: bool) -> None:
        """Let the engine stand at the gate for a moment only, or as long as ever."""
        if locked and self._hurry is None:
            self._hurry = patch.multiple(gate, BUSY_TIMEOUT_SECONDS=0.0, WAIT_MS=1, PAUSE_SECONDS=0)
            self._hurry.start()
        elif not locked and self._hurry is not None:
            self._hurry.stop()
            self._hurry = None

    def fill(self, sim: Sim, *, full: bool) -> None:
        """Let the server say so of each INSERT and UPDATE: what is really full a test can't be."""
        for statement in _FULL if full else _FREE:
            self.person(sim).execute(statement)

    def end(self, death: Death, sim: Sim) -> None:
        """End the engine's sessions, or all with the server."""
        if death in (Death.SERVER_BEFORE, Death.SERVER_AFTER):
            postgres.server().crash()
            if self._person is not None:
                self._person.close()  # who finds out at the next statement, and connects again
            return
        person = self.person(sim)
        person.execute(f"SELECT pg_terminate_backend(pid) {_SESSIONS}")
        while person.execute(f"SELECT 1 {_SESSIONS}").fetchall():
            pass

    def keep(self, sim: Sim) -> Any:
        """What `pg_dump` makes."""
        del sim
        return _program("pg_dump", "-Fc", "--exclude-schema=simulation", f"--dbname={self._info}")

    def put_back(self, copy: Any) -> None:
        """Put it into a new database by `pg_restore`."""
        self.drop()
        self._name, self._seeded = postgres.server().create(_determined()), False
        _program("pg_restore", "--exit-on-error", f"--dbname={self._info}", given=copy)

    def freeze(self) -> Frozen:
        """The database itself becomes the template."""
        self.leave()
        return FrozenDatabase(self.name)

    def leave(self) -> None:
        """Close the person's connection."""
        self.hurry(locked=False)
        if self._person is not None:
            self._person.close()
            self._person = None

    def drop(self) -> None:
        """Drop the database."""
        self.leave()
        if self._name is not None:
            postgres.server().drop(self._name)
            self._name = None

    @property
    def _info(self) -> str:
        return postgres.server().conninfo(self.name)


@dataclass(frozen=True)
class FrozenDatabase:
    """A database without sessions."""

    name: str

    def copy(self, folder: Path) -> Home:
        """Another one like it, made when it is first looked at."""
        del folder
        return ServedHome(self.name)

    def drop(self) -> None:
        """Drop it."""
        postgres.server().drop(self.name)


def warm_up() -> None:
    """Start the server and make the templates, so that processes forked from this one share them.

    Raises:
        pytest.skip.Exception: if there can't be a server; it says why.
    """
    _migrated()


@cache
def _determined() -> str:
    """An empty database that takes chance and the time from the simulation."""
    name = postgres.server().create()
    with psycopg.connect(postgres.server().conninfo(name), autocommit=True) as session:
        for statement in _DETERMINED:
            session.execute(statement.encode())
    return name


@cache
def _migrated() -> str:
    """The same with a mirror without rows."""
    name = postgres.server().create(_determined())
    open_mirror(postgres.server().url(name)).acquire().close()
    return name


@cache
def _shared() -> database.PostgresDatabase:
    """The one SQLAlchemy engine of this process; it connects to the present simulation."""
    url = make_url(postgres.server().url("simulation"))
    with patch.object(database, "prepare", _prepare):
        shared = database.open_database(url, file_mode=0, schema="")
    engine = shared.engine
    commit = engine.dialect.do_commit

    def connect(_dialect: Any, _record: Any, _words: Any, settings: dict[str, Any]) -> None:
        assert Present.sim is not None
        assert isinstance(Present.sim.home, ServedHome)
        settings["dbname"] = Present.sim.home.name

    def do_commit(connection: Any) -> None:
        commit(connection)
        if Present.sim is not None and Present.sim.has_committed():
            connection.dbapi_connection.close()  # as the driver does when it finds that out
            raise psycopg.OperationalError("server closed the connection unexpectedly")

    event.listen(engine, "do_connect", connect)
    engine.dialect.do_commit = do_commit  # type: ignore[assignment, method-assign]
    return shared


def _prepare(engine: SqlEngine) -> None:
    listen(engine)
    gate.prepare(engine)


def _program(name: str, *arguments: str, given: bytes | None = None) -> bytes:
    command = [str(postgres.server().programs / name), *arguments]
    return subprocess.run(command, input=given, capture_output=True, check=True).stdout
