"""Everything outside the daemon in virtual time: the sandbox, people, faults.

It runs in a process of its own, so that the other one's memory is the daemon's alone. Public:
`Outside`, `serve`, `BEGIN`.
"""

from __future__ import annotations

import random
import sqlite3
from collections import deque
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

import orjson

from hisync.sandbox import Request, Response, build_service
from tests.edges.oracle import differences, loose_ends
from tests.proof.chance import determine
from tests.soak.life import DAY, Event, Habits, Life, calendar

BEGIN: Final = datetime(2026, 3, 2, tzinfo=UTC)
"""A Monday, at midnight."""

QUIET: Final = 1.25
"""Days at the end in which nothing goes wrong and nobody acts."""

HABITS: Final = Habits(
    ours=600.0,
    theirs=400.0,
    bulk=DAY / 6,
    once=4 * 3600.0,
    spell=0.8 * DAY,
    lasting=(300.0, 4 * 3600.0),
    kill=DAY,
    killing_until=15 * DAY,
)


def works(at: float) -> bool:
    """From Monday to Friday, from eight to six."""
    return at // DAY % 7 < 5 and 8 * 3600 <= at % DAY < 18 * 3600


class Outside:
    """The world in which the daemon runs; it moves on whenever it is asked something."""

    def __init__(self, database: Path, days: float, items: int, seed: int, quiet: float) -> None:
        rng = random.Random(seed)
        self._now = self._begin = BEGIN.timestamp()
        self._service = build_service(
            items, 1, clock=lambda: datetime.fromtimestamp(self._now, UTC)
        )
        self._client = sqlite3.connect(database, isolation_level=None, timeout=0)
        determine(self._client, rng, lambda: self._now)
        self._life = Life(self._ask, self._client, rng, most=items // 4)
        # What is computed from other items is sure to be seen by a full read only: once a day.
        self._computed = quiet > 1
        busy = (days - quiet) * DAY
        self._events: deque[Event] = deque(calendar(HABITS, busy, rng, works=works))
        self._rng = rng
        self._dies = ""
        self._minutes: dict[int, int] = {}
        self._window: deque[float] = deque()
        self._most = 0

    def play(self, until: float) -> tuple[float, bool]:
        """Let things happen until a moment, or until somebody edits in the database.

        Returns:
            The moment that was reached, and whether it was for an edit.
        """
        while self._events and self._begin + self._events[0].at <= until:
            event = self._events.popleft()
            self._now = max(self._now, self._begin + event.at)
            if event.what == "kill":
                self._dies = self._rng.choice(["before", "after"])
            if self._life.live(event):
                return self._now, True
        self._now = max(self._now, until)
        return self._now, False

    def request(self, now: float, request: Request) -> tuple[Response | None, str]:
        """Answer a request, and say whether the daemon dies `before` or `after` it."""
        while self.play(now)[1]:
            pass
        dies, self._dies = self._dies, ""
        if dies == "before":
            return None, dies
        self._count(now)
        return self._service.handle(request), dies

    def figures(self, hour: int) -> tuple[list[int], int]:
        """The requests of each minute of an hour, and the most in any 60 seconds so far."""
        minutes = [self._minutes.pop(60 * hour + each, 0) for each in range(60)]
        return minutes, self._most

    def numbers(self) -> dict[str, int]:
        """How much happened."""
        return self._life.numbers

    def wrong(self) -> list[str]:
        """What differs between both sides, and what is unfinished."""
        self._client.row_factory = sqlite3.Row

        def ask(query: str) -> list[dict[str, Any]]:
            return [dict(row) for row in self._client.execute(query)]

        waiting = "SELECT seq, op, state, error FROM change_log WHERE finished_at IS NULL"
        found = [*differences(self._service.model, ask, computed=self._computed), *loose_ends(ask)]
        return [*found, *(f"unfinished: {row}" for row in ask(waiting))]

    def _count(self, now: float) -> None:
        minute = int((now - self._begin) // 60)
        self._minutes[minute] = self._minutes.get(minute, 0) + 1
        self._window.append(now)
        while self._window[0] <= now - 60:
            self._window.popleft()
        self._most = max(self._most, len(self._window))

    def _ask(self, method: str, path: str, body: object) -> Any:
        request = Request(method, f"/sandbox/{path}", body=orjson.dumps(body))
        response = self._service.handle(request)
        if response.status >= 400:
            raise OSError(response.body)
        return orjson.loads(response.body)


def serve(
    pipe: Connection, database: Path, days: float, items: int, seed: int, quiet: float
) -> None:
    """Be the outside of the process at the other end of a pipe, until that closes it."""
    outside = Outside(database, days, items, seed, quiet)
    while True:
        try:
            name, arguments = pipe.recv()
        except EOFError:
            return
        pipe.send(getattr(outside, name)(*arguments))
