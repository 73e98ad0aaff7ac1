"""The simulation: a whole hisync in one process, in virtual time, every effect a numbered step.

A `Sim` is a `World` whose engine runs in steps: a request is sent, its answer arrives, a write
transaction commits. Each step is numbered and written to the trace; at each, the run may be told
to die, and people may act. Nothing sleeps, no thread runs, and what SQLite would take from chance
or from the clock comes from the simulation (`chance`), so the same seed gives the same trace,
byte for byte: `fingerprint` is its hash.

What makes it quick, here only: the database is on a file system in memory and never waits for a
disk, all simulations of a process share one SQLAlchemy engine with its compiled statements, and
an empty mirror is migrated once.

Public: `Sim`, `KilledError`, `Moment`, `make_sim`, `memory_folder`, `quietly`.
"""

from __future__ import annotations

import hashlib
import logging
import random
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from enum import Enum
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import httpx
import orjson
import structlog
from sqlalchemy import Connection, create_engine, event
from sqlalchemy import Engine as SqlEngine

from hisync.api import HiTask
from hisync.engine import Clock, Engine, Rules
from hisync.lanes import Lanes
from hisync.mirror import dialects, state
from hisync.mirror.dialects.sqlite.connection import prepare, read_json
from hisync.mirror.dialects.sqlite.database import SqliteFile
from hisync.mirror.store import Mirror
from hisync.purse import Purse
from hisync.sandbox import API_KEY, LOGIN, PASSWORD, SandboxTransport, Service, build_service
from tests.proof.chance import determine
from tests.world import Time, World, _empty_mirror

MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of our own is made in it


class KilledError(BaseException):
    """The process died here; whatever still runs of it has no effect any more."""


class Moment(Enum):
    """Where in its work the engine is."""

    SENDING = "send"
    """Before a request leaves."""
    ANSWERED = "answer"
    """After its answer arrived, or was lost."""
    BEGINNING = "begin"
    """Before a write transaction; no step, since nothing happens between it and the last one."""
    COMMITTING = "commit"
    """Before a write transaction commits."""


_T = TypeVar("_T")

Watcher = Callable[["Sim", Moment, str], None]


@dataclass
class Sim(World):
    """One simulated world.

    Attributes:
        rng: where the database's guids come from.
        trace: what happened, in order.
        steps: how many steps were made.
        die_at: the step at which the process dies, 0 for never.
        watchers: called at each moment, before the step is made.
        budget: requests a minute, 0 for no limit.
        lanes: how many pushes are claimed at once and sent in any order, before the first answer
            is written down; on one thread all the same.
        sent_at: when each request reached hiTask, in virtual seconds, whatever the clock says.
    """

    rng: random.Random = field(default_factory=lambda: random.Random(0))
    trace: list[str] = field(default_factory=list)
    steps: int = 0
    die_at: int = 0
    watchers: list[Watcher] = field(default_factory=list)
    budget: int = 0
    lanes: int = 1
    sent_at: list[float] = field(default_factory=list)
    _dead: bool = False
    _person: sqlite3.Connection | None = None

    @property
    def engine(self) -> Engine:
        """The engine; a new one after `crash`."""
        if self._engine is None:
            self._open()
        assert self._engine is not None
        return self._engine

    def _open(self) -> None:
        if not self.database.exists():
            self.database.write_bytes(_empty_mirror())
        shared, self._dead = _shared_engine(), False
        _Present.sim = self
        self._mirror = Mirror(SqliteFile(shared, self.database), dialects.named("sqlite"))
        _Present.opening = True
        try:
            self._mirror.acquire()
        except BaseException:
            self.crash()
            raise
        finally:
            _Present.opening = False
        clock = Clock(self.time)
        purse = Purse(self._mirror, self.budget, clock=clock, pause=self.time.sleep)
        api = HiTask(
            base_url="http://127.0.0.1/api",
            login=LOGIN,
            password=PASSWORD,
            api_key=API_KEY,
            transport=_Stepping(self, self.transport or SandboxTransport(self.service)),
            now=self.time,
            grant=purse.grant if self.budget else _freely,
        )
        with self._mirror.reading() as connection:
            api.expected_account = state.load(connection).account_id
        lanes = Lanes(self.lanes, first=self.lanes, run=self._in_any_order)
        self._engine = Engine(api, self._mirror, self.rules, clock, lanes=lanes)
        if self.budget:
            self._engine.spare = purse.spare

    def _in_any_order(self, jobs: Sequence[Callable[[], _T]]) -> list[_T]:
        order = list(range(len(jobs)))
        random.Random(self.steps).shuffle(order)
        done = {number: jobs[number]() for number in order}
        return [done[number] for number in range(len(jobs))]

    def crash(self) -> None:
        """Drop the engine where it stands; what it had committed is all that is left."""
        super().crash()
        if _Present.sim is self:
            _Present.sim = None

    def close(self) -> None:
        """End it all."""
        self.crash()
        if self._person is not None:
            self._person.close()
            self._person = None

    def reach(self, moment: Moment, what: str = "") -> None:
        """Come to a moment: people act, the step is numbered, and the process may die."""
        if self._dead:
            raise KilledError
        for watcher in self.watchers:
            watcher(self, moment, what)
        if moment is Moment.BEGINNING:
            return
        self.steps += 1
        self.trace.append(f"{self.steps} {moment.value} {what}")
        if self.steps == self.die_at:
            self._dead = True
            self.trace.append("killed")
            raise KilledError

    def note(self, what: str) -> None:
        """Put something that is no step into the trace."""
        self.trace.append(what)

    @property
    def fingerprint(self) -> str:
        """The hash of everything that happened."""
        return hashlib.sha256("\n".join(self.trace).encode()).hexdigest()[:16]

    @property
    def person(self) -> sqlite3.Connection:
        """Somebody's connection to the mirror, in autocommit, which never waits for a lock."""
        if self._person is None:
            if not self.database.exists():
                self.database.write_bytes(_empty_mirror())
            self._person = sqlite3.connect(self.database, isolation_level=None, timeout=0)
            self._person.row_factory = sqlite3.Row
            self._person.text_factory = lambda cell: cell.decode("utf-8", "surrogateescape")
            self._person.execute("PRAGMA synchronous = OFF").close()
            determine(self._person, self.rng, lambda: self.time.now)
        return self._person

    @contextmanager
    def client(self) -> Iterator[sqlite3.Connection]:
        """A SQL client of somebody's."""
        yield self.person

    def sql(self, statement: str, *values: Any) -> list[dict[str, Any]]:
        """Run one statement as somebody's SQL client."""
        return [dict(row) for row in self.person.execute(statement, values).fetchall()]

    def copy_database(self) -> bytes:
        """A copy of the mirror as a backup makes it."""
        return self.person.serialize()

    def restore_database(self, copy: bytes) -> None:
        """Put a copy in the mirror's place; the process that worked on it has ended."""
        self.close()
        clear(self.folder)
        self.database.write_bytes(copy)

    def snapshot(self) -> Snapshot:
        """What can be started again any number of times; this one is closed."""
        self.close()
        memo: dict[int, Any] = {id(self.service.model.lock): threading.RLock()}
        time, service, rng = deepcopy((self.time, self.service, self.rng), memo)
        database = self.database.read_bytes()
        return Snapshot(database, time, service, rng, self.rules, self.budget, self.lanes)


@dataclass(frozen=True)
class Snapshot:
    """A world that stands still."""

    database: bytes
    time: Time
    service: Service
    rng: random.Random
    rules: Rules
    budget: int
    lanes: int

    def copy(self, folder: Path) -> Sim:
        """The world in a folder, as it was."""
        clear(folder)
        memo: dict[int, Any] = {id(self.service.model.lock): threading.RLock()}
        time, service, rng = deepcopy((self.time, self.service, self.rng), memo)
        (folder / "mirror.db").write_bytes(self.database)
        sim = Sim(folder, time, service, self.rules, rng=rng, budget=self.budget)
        sim.lanes = self.lanes
        return sim


def make_sim(
    folder: Path,
    *,
    seed: int = 0,
    items: int = 0,
    traits: Iterable[str] = (),
    rules: Mapping[str, Any] | None = None,
    budget: int = 0,
) -> Sim:
    """A world with a seeded team in a folder that is emptied, not synced yet."""
    clear(folder)
    time = Time()
    service = build_service(items, 1, clock=time.utc, traits=list(traits))
    rng = random.Random(seed)
    return Sim(folder, time, service, Rules(**(rules or {})), rng=rng, budget=budget)


def clear(folder: Path) -> None:
    """Empty the folder of a simulation, so that the next one can have it."""
    folder.mkdir(parents=True, exist_ok=True)
    for each in folder.iterdir():
        each.unlink()


@contextmanager
def memory_folder() -> Iterator[Path]:
    """A folder for simulations, in memory where the machine has such a place."""
    with TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None, prefix="hisync") as folder:
        yield Path(folder)


def quietly() -> None:
    """Let the engine keep its events to itself: a run has thousands of them."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL),
        cache_logger_on_first_use=False,
    )


def _freely(_cause: str) -> None:
    """No budget."""


class _Present:
    """The simulation that runs in this process now."""

    sim: Sim | None = None
    opening = False


@cache
def _shared_engine() -> SqlEngine:
    """The one SQLAlchemy engine of this process; it connects to the present simulation."""

    def connect() -> sqlite3.Connection:
        sim = _Present.sim
        assert sim is not None
        connection = sqlite3.connect(sim.database, timeout=0, check_same_thread=False)
        determine(connection, sim.rng, lambda: sim.time.now)
        return connection

    engine = create_engine(
        "sqlite:///simulation",
        creator=connect,
        json_serializer=lambda value: orjson.dumps(value).decode(),
        json_deserializer=read_json,
    )
    event.listen(engine, "begin", _before_begin)
    prepare(engine)
    event.listen(engine, "connect", _hurry)
    event.listen(engine, "commit", _before_commit)
    return engine


def _hurry(connection: Any, _record: object) -> None:
    # Nothing here is about a power cut, and waiting for the disk is most of what a commit takes.
    connection.execute("PRAGMA synchronous = OFF").close()
    connection.execute("PRAGMA busy_timeout = 0").close()  # in one thread nobody would let go


def _writes(connection: Connection) -> bool:
    return bool(connection.get_execution_options().get(dialects.WRITE)) and not _Present.opening


def _before_begin(connection: Connection) -> None:
    if _Present.sim is not None and _writes(connection):
        _Present.sim.reach(Moment.BEGINNING)


def _before_commit(connection: Connection) -> None:
    if _Present.sim is not None and _writes(connection):
        _Present.sim.reach(Moment.COMMITTING)


class _Stepping(httpx.BaseTransport):
    """Makes a step before each request and after each answer."""

    def __init__(self, sim: Sim, inner: httpx.BaseTransport) -> None:
        self._sim = sim
        self._inner = inner

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        sim = self._sim
        path = request.url.path.removeprefix("/api")
        sim.reach(Moment.SENDING, f"{request.method} {path} {request.content.decode()}")
        sim.sent_at.append(sim.time.now - sim.time.wrong)
        try:
            response = self._inner.handle_request(request)
        except httpx.HTTPError as error:
            sim.reach(Moment.ANSWERED, type(error).__name__)
            raise
        digest = hashlib.sha256(response.content).hexdigest()[:12]
        sim.reach(Moment.ANSWERED, f"{response.status_code} {digest}")
        return response
