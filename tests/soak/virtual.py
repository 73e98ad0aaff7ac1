"""The soak in virtual time: daemon after daemon in a process each, and all else in another.

Public: `Soak`.
"""

from __future__ import annotations

import multiprocessing
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

from tests.soak.life import DAY
from tests.soak.outside import BEGIN, QUIET, serve
from tests.soak.process import Hour, Remote, Report, count_rows, live
from tests.world import _empty_mirror

DOWN: Final = 10.0
"""Seconds from a death to the next start, as systemd's `RestartSec`."""


@dataclass
class Soak:
    """One soak.

    Attributes:
        folder: where the database is.
        days: how long.
        items: how many the account has at first.
        budget: requests a minute.
        seed: decides all that happens.
        quiet: days at the end in which nothing goes wrong and nobody acts.
        hours: what was seen.
        events: how often each event was logged.
        starts: the hour of each start of the daemon.
        most: the most requests in any 60 seconds.
        numbers: how much happened outside.
        rows: rows by table, in the end.
        wrong: what differs in the end.
    """

    folder: Path
    days: float
    items: int = 300
    budget: int = 60
    seed: int = 0
    quiet: float = QUIET
    hours: list[Hour] = field(default_factory=list)
    events: Counter[str] = field(default_factory=Counter)
    starts: list[int] = field(default_factory=list)
    most: int = 0
    numbers: dict[str, int] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    @property
    def database(self) -> Path:
        return self.folder / "mirror.db"

    def run(self, after_hour: Callable[[Soak], None] = lambda _: None) -> None:
        """Let the days pass."""
        self.database.write_bytes(_empty_mirror())
        outside, pipe = _start(serve, self.database, self.days, self.items, self.seed, self.quiet)
        now, ends = BEGIN.timestamp(), BEGIN.timestamp() + self.days * DAY
        unsaid: Counter[str] = Counter()
        try:
            while now < ends:
                self.starts.append(len(self.hours))
                for report in self._live_once(pipe, now, ends):
                    now, unsaid = report.now, unsaid + report.causes
                    self.events += report.events
                    if report.hour is not None:
                        self.hours.append(replace(report.hour, causes=unsaid))
                        self.most, unsaid = report.most, Counter()
                        after_hour(self)
                now += DOWN
            remote = Remote(pipe)
            self.numbers, self.wrong = remote.ask("numbers"), remote.ask("wrong")
            self.rows = count_rows(self.database)
        finally:
            pipe.close()
            outside.join(10)
            outside.kill()

    def _live_once(self, outside: Connection, now: float, ends: float) -> Iterator[Report]:
        """A daemon in a process of its own, as each start is, until the end or its death."""
        seed = self.seed + len(self.starts)
        arguments = (outside, self.database, now, ends, self.budget, seed)
        process, pipe = _start(live, *arguments)
        with closing(pipe):
            try:
                while True:
                    yield pipe.recv()
            except EOFError:
                process.join()
        assert process.exitcode == 0, f"the daemon's process ended with {process.exitcode}"


def _start(
    target: Callable[..., None], *arguments: object
) -> tuple[multiprocessing.process.BaseProcess, Connection]:
    """A fresh process, and the pipe that is its first argument's other end."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=target, args=(theirs, *arguments), daemon=True)
    process.start()
    theirs.close()
    return process, ours
