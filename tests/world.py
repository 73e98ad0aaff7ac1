"""A whole hisync in one process, in virtual time, against the sandbox's model of hiTask.

`World` holds a sandbox, a mirror on disk and an engine between them; people edit the mirror
through `sql`, which is a plain SQLite connection like any client's, and colleagues edit hiTask
through the sandbox's `model`.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, TypeAlias, cast

import httpx
import sqlalchemy

from hisync.api import HiTask
from hisync.cycle import Summary, run_cycle
from hisync.engine import Clock, Engine, Rules
from hisync.mirror.store import Mirror, open_mirror
from hisync.sandbox import API_KEY, LOGIN, PASSWORD, SandboxTransport, Service, build_service
from tests import postgres

Backend: TypeAlias = Literal["sqlite", "postgresql"]

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


class Time:
    """Virtual time: it moves when told to, and a little with every look."""

    def __init__(self, start: datetime = START) -> None:
        self.now = start.timestamp()
        self.wrong = 0.0
        self.set_at = list[float]()

    def __call__(self) -> float:
        self.now += 0.001
        return self.now

    def utc(self) -> datetime:
        return datetime.fromtimestamp(self(), UTC)

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def set_by(self, seconds: float) -> None:
        """Somebody sets the clock, forwards or back; no time passes."""
        self.set_at.append(self.now - self.wrong)
        self.now += seconds
        self.wrong += seconds


@dataclass
class World:
    """One sandbox, one mirror, one engine."""

    folder: Path
    time: Time
    service: Service
    rules: Rules = field(default_factory=Rules)
    transport: httpx.BaseTransport | None = None
    backend: Backend = "sqlite"
    _served: str | None = None
    _client: postgres.Client | None = None
    _mirror: Mirror | None = None
    _engine: Engine | None = None

    @property
    def database(self) -> Path:
        return self.folder / "mirror.db"

    @property
    def url(self) -> str:
        """The mirror's database, which is made at the first look."""
        if self.backend == "postgresql":
            return postgres.server().url(self.served)
        if not self.database.exists():
            self.database.write_bytes(_empty_mirror())
        return f"sqlite:///{self.database}"

    @property
    def served(self) -> str:
        """The name of the mirror's database on the PostgreSQL server."""
        if self._served is None:
            self._served = postgres.server().create(empty_database())
        return self._served

    @property
    def engine(self) -> Engine:
        """The engine; a new one after `crash`."""
        if self._engine is None:
            self._mirror = open_mirror(self.url).acquire()
            share_compiled(self._mirror)
            api = HiTask(
                base_url="http://127.0.0.1/api",
                login=LOGIN,
                password=PASSWORD,
                api_key=API_KEY,
                transport=self.transport or SandboxTransport(self.service),
                now=self.time,
                holds_nul=self._mirror.holds_nul,
            )
            self._engine = Engine(api, self._mirror, self.rules, Clock(self.time))
        return self._engine

    def change_rules(self, **changes: Any) -> None:
        self.rules = replace(self.rules, **changes)
        if self._engine is not None:
            self._engine.rules = self.rules

    def crash(self) -> None:
        """Drop the engine where it stands; what it had committed is all that is left."""
        if self._mirror is not None:
            self._mirror.close()
        if self._engine is not None:
            self._engine.api.close()
        if self._client is not None:
            self._client.close()
        self._mirror = self._engine = self._client = None

    def close(self) -> None:
        """End it; a database on the server is dropped."""
        self.crash()
        if self._served is not None:
            postgres.server().drop(self._served)
            self._served = None

    def fork(self, folder: Path) -> World:
        """The same world once more, apart from this one, which nobody has open then."""
        folder.mkdir()
        return self.freeze().thaw(folder)

    def freeze(self) -> Frozen:
        """This world as it stands, to be made again many times; nobody has it open then."""
        self.crash()
        kept = self.served if self.backend == "postgresql" else self.database.read_bytes()
        return Frozen(self.time, self.service, self.rules, kept)

    def sync(self, **options: Any) -> Summary:
        return run_cycle(self.engine, **options)

    @contextmanager
    def client(self) -> Iterator[sqlite3.Connection]:
        """A SQL client of somebody's; PostgreSQL's can only `execute`."""
        if self.backend == "postgresql":
            self._client = self._client or postgres.Client(self.served)
            yield cast("sqlite3.Connection", self._client)
            return
        connection = sqlite3.connect(self.database, isolation_level=None)
        connection.row_factory = sqlite3.Row
        try:
            yield connection
        finally:
            connection.close()

    def sql(self, statement: str, *values: Any) -> list[dict[str, Any]]:
        """Run one statement as somebody's SQL client."""
        with self.client() as connection:
            return [dict(row) for row in connection.execute(statement, values)]

    def one(self, statement: str, *values: Any) -> dict[str, Any]:
        """The one row of a query."""
        (row,) = self.sql(statement, *values)
        return row

    def changes(self) -> list[tuple[str, str]]:
        """Operation and state of every change, in order."""
        rows = self.sql("SELECT op, state FROM change_log ORDER BY seq")
        return [(row["op"], row["state"]) for row in rows]

    def writes(self) -> list[str]:
        """Every request that could change something on hiTask, in order."""
        return [
            f"{entry.method} {entry.path}" for entry in self.service.log if entry.method != "GET"
        ]


@dataclass(frozen=True)
class Frozen:
    """A world that others are made of; it is not changed itself."""

    time: Time
    service: Service
    rules: Rules
    database: bytes | str

    def thaw(self, folder: Path) -> World:
        """A world like this one, in a folder of its own."""
        memo = {id(self.service.model.lock): threading.RLock()}
        time, service = deepcopy((self.time, self.service), memo)
        world = World(folder, time, service, self.rules)
        if isinstance(self.database, str):
            world.backend = "postgresql"
            world._served = postgres.server().create(self.database)
        else:
            world.database.write_bytes(self.database)
        return world


_first: dict[str, sqlalchemy.Engine] = {}


def share_compiled(mirror: Mirror) -> None:
    """Let all mirrors of this process use the statements that one of them compiled.

    A process of hisync has one mirror and compiles each statement once; tests open thousands.
    """
    first = _first.setdefault(mirror.engine.dialect.name, mirror.engine)
    mirror.engine.dialect = first.dialect
    mirror.engine._compiled_cache = first._compiled_cache


@cache
def _empty_mirror() -> bytes:
    """A migrated database without rows: made once, since migrating takes longer than a test."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "empty.db"
        open_mirror(f"sqlite:///{path}").acquire().close()
        return path.read_bytes()


@cache
def empty_database() -> str:
    """The same on the PostgreSQL server."""
    name = postgres.server().create()
    open_mirror(postgres.server().url(name)).acquire().close()
    return name


def make_world(
    folder: Path,
    *,
    backend: Backend = "sqlite",
    items: int = 40,
    traits: list[str] | None = None,
    faults: list[str] | None = None,
    rules: Mapping[str, Any] | None = None,
) -> World:
    """A world with a seeded team, not synced yet."""
    time = Time()
    service = build_service(items, 1, clock=time.utc, traits=traits or [], faults=faults or [])
    return World(folder, time, service, Rules(**(rules or {})), backend=backend)
