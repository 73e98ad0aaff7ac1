"""The daemon's process in a soak in virtual time: itself, with purse, throttle and pace.

Only what waits is replaced: APScheduler by a list of what is due, sleeping by a clock that is set
forward, HTTP by a pipe to the process in which everything else happens. Public: `live`, `Report`,
`Hour`, `Remote`, `count_rows`, `resident_memory`.
"""

from __future__ import annotations

import os
import random
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final, cast

import structlog
from sqlalchemy import event

from hisync.api import HiTask
from hisync.budget.purse import Purse
from hisync.daemon import LOOK_EVERY, Daemon
from hisync.engine import Clock, Engine, Rules
from hisync.mirror import state
from hisync.mirror.store import open_mirror
from hisync.sandbox import API_KEY, LOGIN, PASSWORD, Request, Response, SandboxTransport, Service
from hisync.watch.vitals import Vitals
from tests.proof.chance import determine
from tests.proof.sim import KilledError
from tests.soak.outside import BEGIN
from tests.world import Time

HOUR: Final = 3600.0
KEPT_DAYS: Final = 7.0
"""`retention.change_log_days`."""


@dataclass
class Hour:
    """What was seen in an hour.

    Attributes:
        minutes: requests in each of its minutes.
        causes: requests by cause.
        memory: bytes of the daemon's process that are resident, at its end.
        database: bytes of the database and its log, at its end.
        machinery: rows of the machinery's tables, at its end.
    """

    minutes: list[int]
    causes: Counter[str]
    memory: int
    database: int
    machinery: int


@dataclass
class Report:
    """What a daemon's process says each hour, and in the end.

    Attributes:
        now: when it said so.
        causes: requests by cause since the last report.
        events: how often each event was logged since then.
        hour: what was seen in the hour that is over; None in the end.
        most: the most requests in any 60 seconds so far.
    """

    now: float
    causes: Counter[str]
    events: Counter[str]
    hour: Hour | None = None
    most: int = 0


def live(
    pipe: Connection,
    outside: Connection,
    database: Path,
    now: float,
    ends: float,
    budget: int,
    seed: int,
) -> None:
    """Be the daemon's process: report to the pipe until the end, or death."""
    process = _Process(pipe, Remote(outside), database, now, budget, seed)
    structlog.configure(processors=[process.count_event])
    with suppress(KilledError):
        process.live(ends)
    process.report()


class _Process:
    """The daemon with everything around it, in virtual time."""

    def __init__(
        self,
        pipe: Connection,
        outside: Remote,
        database: Path,
        now: float,
        budget: int,
        seed: int,
    ) -> None:
        self._pipe = pipe
        self._outside = outside
        self._database = database
        self._budget = budget
        self._time = Time(datetime.fromtimestamp(now, UTC))
        self._rng = random.Random(seed)
        self._vitals = Vitals(self._time)
        self._events: Counter[str] = Counter()

    def live(self, ends: float) -> None:
        """Go on until the end.

        Raises:
            KilledError: if it is to die before.
        """
        time, begin = self._time, BEGIN.timestamp()
        with self._opened() as engine:
            daemon = _Daemon(engine, self._vitals)
            while time.now < ends:
                hour_ends = time.now - (time.now - begin) % HOUR + HOUR
                until = min(daemon.due_at, hour_ends)
                reached, edited = self._outside.ask("play", max(until, time.now))
                time.now = max(time.now, reached)
                if edited:
                    time.sleep(self._rng.uniform(0.0, LOOK_EVERY))
                    daemon.look()
                daemon.do_what_is_due(time.now)
                while time.now >= hour_ends:
                    self.report(int((hour_ends - begin) // HOUR) - 1)
                    hour_ends += HOUR

    def report(self, hour: int | None = None) -> None:
        """Say what happened since the last report; of the hour that is over, if one is."""
        causes: Counter[str] = Counter()
        for (cause, _), number in self._vitals.requests.items():
            causes[cause] += number
        said = Report(self._time.now, causes, self._events)
        if hour is not None:
            said.hour, said.most = self._seen(hour)
        self._pipe.send(said)
        self._vitals.requests.clear()
        self._events = Counter()

    def count_event(self, _logger: Any, _method: str, facts: Any) -> Any:
        """Count what would be logged."""
        self._events[facts["event"]] += 1
        if facts["event"] == "cycle_failed":
            raise AssertionError(facts)
        raise structlog.DropEvent

    def _seen(self, number: int) -> tuple[Hour, int]:
        minutes, most = self._outside.ask("figures", number)
        rows = count_rows(self._database)
        machinery = ("change_log", "conflicts")
        hour = Hour(
            minutes,
            Counter(),
            resident_memory(os.getpid()),
            sum(path.stat().st_size for path in self._database.parent.glob("mirror.db*")),
            sum(n for name, n in rows.items() if name in machinery or name.startswith("sync_")),
        )
        return hour, most

    @contextmanager
    def _opened(self) -> Iterator[Engine]:
        """The engine as `hisync run` makes it."""
        clock = Clock(self._time)
        mirror = open_mirror(f"sqlite:///{self._database}")
        event.listen(mirror.engine, "connect", self._determine)
        with mirror.acquire():
            purse = Purse(mirror, self._budget, clock=clock, pause=self._time.sleep)

            def settle(cause: str, error: Any) -> None:
                purse.settle(cause, error)
                self._vitals.note_request(cause, error)

            away = cast("Service", _Away(self._outside, self._time, self._rng))
            with HiTask(
                base_url="http://127.0.0.1/api",
                login=LOGIN,
                password=PASSWORD,
                api_key=API_KEY,
                transport=SandboxTransport(away),
                now=self._time,
                grant=purse.grant,
                settle=settle,
                folder=mirror.folder,
            ) as api:
                with mirror.reading() as connection:
                    api.expected_account = state.load(connection).account_id
                books = purse.keep_books
                yield Engine(api, mirror, Rules(), clock, spare=purse.spare, keep_books=books)

    def _determine(self, connection: Any, _record: object) -> None:
        determine(connection, self._rng, lambda: self._time.now)
        connection.execute("PRAGMA busy_timeout = 0").close()  # nobody would let go meanwhile


def count_rows(database: Path) -> dict[str, int]:
    """Rows by table."""
    with closing(sqlite3.connect(database)) as client:
        names = client.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
        count = "SELECT count(*) FROM"
        return {name: client.execute(f'{count} "{name}"').fetchone()[0] for (name,) in names}


def resident_memory(pid: int) -> int:
    """The bytes of a process that are in memory."""
    pages = int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


class _Daemon(Daemon):
    """The daemon, whose jobs wait for a clock that is set."""

    def __init__(self, engine: Engine, vitals: Vitals) -> None:
        self._due: dict[str, tuple[float, Callable[[], None]]] = {}
        super().__init__(
            engine,
            threading.Event(),
            poll_interval=60.0,
            push_delay=2.0,
            quiet_interval=300.0,
            keep_days=KEPT_DAYS,
            vitals=vitals,
        )
        self._schedule(self._cycle, "poll", 0.0)

    @property
    def due_at(self) -> float:
        """When the next job is due."""
        return min(at for at, _ in self._due.values())

    def look(self) -> None:
        """What happens twice a second."""
        self._look()

    def do_what_is_due(self, now: float) -> None:
        """Run the jobs whose time has come."""
        for name in [name for name, (at, _) in self._due.items() if at <= now]:
            self._due.pop(name)[1]()
            self._look()
        assert not self._stop.is_set(), self._fatal

    def _schedule(self, job: Callable[[], None], name: str, seconds: float) -> None:
        self._due[name] = self._now() + seconds, job


class Remote:
    """The `Outside`, in the process where it is."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe

    def ask(self, name: str, *arguments: object) -> Any:
        """Call a method of it."""
        self._pipe.send((name, arguments))
        return self._pipe.recv()


class _Away:
    """The sandbox's service, at the other end of a way that takes time and may kill."""

    def __init__(self, outside: Remote, time: Time, rng: random.Random) -> None:
        self._outside = outside
        self._time = time
        self._rng = rng

    def handle(self, request: Request) -> Response:
        """Answer one request."""
        self._time.sleep(self._rng.uniform(0.02, 0.4))
        response, dies = self._outside.ask("request", self._time.now, request)
        self._time.sleep(self._rng.uniform(0.02, 0.4))
        if dies:
            raise KilledError
        return cast("Response", response)
