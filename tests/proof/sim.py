"""The simulation: a whole hisync in one process, in virtual time, every effect a numbered step.

A `Sim` is a `World` whose engine runs in steps: a request is sent, its answer arrives, a write
transaction commits. Each step is numbered and written to the trace; at each, the run may be told
to die, and people may act. Nothing sleeps, no thread runs, and what the database would take from
chance or from the clock comes from the simulation (`chance`, `served`), so the same seed gives the
same trace, byte for byte: `fingerprint` is its hash.

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
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import httpx
import structlog

from hisync.api import HiTask
from hisync.budget.lanes import Lanes
from hisync.budget.purse import Purse
from hisync.engine import Clock, Engine, Rules
from hisync.mirror import state
from hisync.sandbox import API_KEY, LOGIN, PASSWORD, SandboxTransport, Service, build_service
from tests.proof.homes import Death, FileHome, Frozen, Home, Present, clear
from tests.world import Backend, Time, World

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
        commits: the steps that are commits.
        die_at: the step at which the process dies, 0 for never.
        death: what dies then.
        watchers: called at each moment, before the step is made.
        budget: requests a minute, 0 for no limit.
        lanes: how many pushes are claimed at once and sent in any order, before the first answer
            is written down; on one thread all the same.
        sent_at: when each request reached hiTask, in virtual seconds, whatever the clock says.
        answer: what hiTask said last, nothing if that was lost.
    """

    rng: random.Random = field(default_factory=lambda: random.Random(0))
    trace: list[str] = field(default_factory=list)
    steps: int = 0
    commits: list[int] = field(default_factory=list)
    die_at: int = 0
    death: Death = Death.PROCESS
    watchers: list[Watcher] = field(default_factory=list)
    budget: int = 0
    lanes: int = 1
    sent_at: list[float] = field(default_factory=list)
    answer: bytes = b""
    _home: Home | None = None
    _dead: bool = False
    _dies_soon: bool = False

    @property
    def engine(self) -> Engine:
        """The engine; a new one after `crash`."""
        if self._engine is None:
            self._open()
        assert self._engine is not None
        return self._engine

    @property
    def home(self) -> Home:
        """Where the mirror is."""
        if self._home is None:
            self._home = make_home(self.backend, self.folder)
        return self._home

    @property
    def url(self) -> str:
        """The mirror's database."""
        return self.home.url

    def _open(self) -> None:
        assert Present.sim in (None, self), "there is another one, and they share their connections"
        self._dead, Present.sim = False, self
        self._mirror = self.home.mirror()
        Present.opening = True
        try:
            self._mirror.acquire()
        except BaseException:
            self.crash()
            raise
        finally:
            Present.opening = False
        clock = Clock(self.time)
        purse = Purse(self._mirror, self.budget, clock=clock, pause=self.time.sleep)
        api = HiTask(
            base_url="http://127.0.0.1/api",
            login=LOGIN,
            password=PASSWORD,
            api_key=API_KEY,
            transport=_Stepping(self, self.transport or SandboxTransport(self.service)),
            now=self.time,
            holds_nul=self._mirror.holds_nul,
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
        if Present.sim is self:
            Present.sim = None

    def close(self) -> None:
        """End it all; a database on the server is dropped."""
        self.crash()
        self.home.leave()
        self.home.drop()

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
        if moment is Moment.COMMITTING:
            self.commits.append(self.steps)
        if self.steps == self.die_at:
            self._die(moment)

    def _die(self, moment: Moment) -> None:
        self.trace.append(self.death.value)
        if self.death is Death.PROCESS:
            self._dead = True
            raise KilledError
        if self.death.after and moment is Moment.COMMITTING:
            self._dies_soon = True
        else:
            self.home.end(self.death, self)

    def begins(self) -> None:
        """A write transaction of the engine is about to begin."""
        self.reach(Moment.BEGINNING)

    def ends(self) -> None:
        """It is about to commit."""
        self.reach(Moment.COMMITTING)

    def has_committed(self) -> bool:
        """A transaction has committed; whether the sessions ended then."""
        soon, self._dies_soon = self._dies_soon, False
        if soon:
            self.home.end(self.death, self)
        return soon

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
        return self.home.person(self)

    @contextmanager
    def client(self) -> Iterator[sqlite3.Connection]:
        """A SQL client of somebody's."""
        yield self.person

    def sql(self, statement: str, *values: Any) -> list[dict[str, Any]]:
        """Run one statement as somebody's SQL client."""
        return [dict(row) for row in self.person.execute(statement, values).fetchall()]

    def news(self) -> object:
        """Another value once somebody else than `person` has committed."""
        return self.home.news(self)

    def copy_database(self) -> Any:
        """A copy of the mirror as a backup makes it."""
        return self.home.keep(self)

    def restore_database(self, copy: Any) -> None:
        """Put a copy in the mirror's place; the process that worked on it has ended."""
        self.crash()
        self.home.leave()
        self.home.put_back(copy)

    def snapshot(self) -> Snapshot:
        """What can be started again any number of times; this one is closed."""
        self.crash()
        self.home.leave()
        memo: dict[int, Any] = {id(self.service.model.lock): threading.RLock()}
        time, service, rng = deepcopy((self.time, self.service, self.rng), memo)
        mirror = self.home.freeze()
        return Snapshot(mirror, time, service, rng, self.rules, self.budget, self.lanes)


@dataclass(frozen=True)
class Snapshot:
    """A world that stands still."""

    mirror: Frozen
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
        home = self.mirror.copy(folder)
        return Sim(
            folder,
            time,
            service,
            self.rules,
            backend=home.backend,
            rng=rng,
            budget=self.budget,
            lanes=self.lanes,
            _home=home,
        )


def make_home(backend: Backend, folder: Path) -> Home:
    """A home for a mirror without rows."""
    if backend == "sqlite":
        return FileHome(folder)
    from tests.proof.served import ServedHome  # it needs a server only where one is asked for

    return ServedHome()


def make_sim(
    folder: Path,
    *,
    seed: int = 0,
    items: int = 0,
    traits: Iterable[str] = (),
    rules: Mapping[str, Any] | None = None,
    budget: int = 0,
    backend: Backend = "sqlite",
) -> Sim:
    """A world with a seeded team in a folder that is emptied, not synced yet."""
    clear(folder)
    time = Time()
    service = build_service(items, 1, clock=time.utc, traits=list(traits))
    rng = random.Random(seed)
    chosen = Rules(**(rules or {}))
    return Sim(folder, time, service, chosen, backend=backend, rng=rng, budget=budget)


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


class _Stepping(httpx.BaseTransport):
    """Makes a step before each request and after each answer."""

    def __init__(self, sim: Sim, inner: httpx.BaseTransport) -> None:
        self._sim = sim
        self._inner = inner

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        sim = self._sim
        path = request.url.path.removeprefix("/api")
        if number := request.url.params.get("id"):
            path += f"?id={number}"
        sim.reach(Moment.SENDING, f"{request.method} {path} {request.content.decode()}")
        sim.sent_at.append(sim.time.now - sim.time.wrong)
        try:
            response = self._inner.handle_request(request)
        except httpx.HTTPError as error:
            sim.answer = b""
            sim.reach(Moment.ANSWERED, type(error).__name__)
            raise
        sim.answer = response.content
        digest = hashlib.sha256(response.content).hexdigest()[:12]
        sim.reach(Moment.ANSWERED, f"{response.status_code} {digest}")
        return response
