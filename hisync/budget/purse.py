"""The request purse: no request without its grant, and never more than the budget in a minute.

Grants are booked in the mirror before they are spent, a few at a time when requests follow one
another. So the limit holds across restarts, crashes and several processes on one mirror; what was
booked and never spent counts as spent. What can wait asks first whether there is some to spare:
the less important, the more has to be left; but whatever has waited for long gets its turn.
What hiTask complains about slows everything. Each request is counted by its cause and by what
became of it, and the counts are written whenever something is booked. Public: `Purse`,
`outcome_of`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, Final

import structlog
from sqlalchemy import Connection

from hisync.budget.shares import RESERVES, STARVED
from hisync.budget.throttle import Throttle, slows_down
from hisync.engine import Clock
from hisync.errors import (
    LookAgainError,
    MirrorError,
    RefusedError,
    ServiceError,
    SlowDownError,
    StopError,
    UnreachableError,
)
from hisync.mirror import requests, state
from hisync.mirror.store import Mirror

WINDOW: Final = 61.0
"""Seconds that must hold no more than the budget: a minute, and a second for uneven delays."""

LEASE_LIFE: Final = 5.0
"""Seconds within which booked requests are made, or lost."""

LEASE: Final = 10
"""Requests booked at once, at most."""

WORTH_SAYING: Final = 1.0
"""Seconds from which on a wait is logged; a queue longer than the budget waits for each request."""

ROOM_AHEAD: Final = 4
"""The smallest budget of which one request is booked ahead for the next poll."""


def outcome_of(error: ServiceError | None) -> str:
    """What became of a request, in a word that metrics use."""
    match error:
        case None:
            return "ok"
        case SlowDownError():
            return "limited"
        case StopError():
            return "stopped"
        case UnreachableError():
            return "unreachable"
        case LookAgainError():
            return "stale"
        case RefusedError():
            return "refused"
        case _:
            return "failed"


class Purse:
    """Grants requests to one process.

    Args:
        mirror: where grants are booked.
        per_minute: the budget, `rate.requests_per_minute`.
        clock: the time.
        pause: waits that many seconds, or less when hisync is to stop.
        stopping: whether hisync is to stop.
    """

    def __init__(
        self,
        mirror: Mirror,
        per_minute: int,
        *,
        clock: Clock,
        pause: Callable[[float], Any],
        stopping: Callable[[], bool] = bool,
    ) -> None:
        self._mirror = mirror
        self._per_minute = per_minute
        self._clock = clock
        self._pause = pause
        self._stopping = stopping
        self._log = structlog.get_logger("hisync")
        self._leased = 0
        self._lease_began = self._lease_ends = 0.0
        self._last_grant = float("-inf")
        self._last_spared: dict[str, float] = {}
        self._unwritten: Counter[tuple[str, str]] = Counter()
        self._throttle = Throttle()

    def grant(self, cause: str) -> None:
        """Return when a request may be made.

        Raises:
            UnreachableError: if hisync is to stop while waiting: the request was not made.
            SlowDownError: if hiTask wants to be left alone for longer than a minute.
        """
        if self._throttle.wait(self._clock.time()) or not self._has_lease:
            self._lease(cause)
        self._leased -= 1
        self._last_grant = self._clock.time()

    def ready(self) -> int:
        """Book some if none are; how many requests may be made now without waiting, or one."""
        waits = self._throttle.wait(self._clock.time()) > 0
        if not waits and not self._has_lease:
            waits = self._book() > 0
        return 1 if waits else max(1, self._leased)

    def settle(self, cause: str, error: ServiceError | None) -> None:
        """Count what became of a granted request, and slow down if hiTask complains.

        It never raises: an answer must not be lost because the books can't be kept.
        """
        self._unwritten[cause, outcome_of(error)] += 1
        if error is None or not slows_down(error):
            return
        now = self._clock.time()
        self._throttle = self._throttle.slowed(error, now)
        self._leased = 0  # what is booked ahead is not used up in one go
        limit = self._throttle.limit(self._per_minute, now)
        self._log.warning("slowed_down", requests_per_minute=limit)
        try:
            with self._mirror.booking() as connection:
                state.save(connection, throttle=self._throttle.saved())
        except MirrorError:
            self._log.debug("books_not_kept")

    def spare(self, cause: str) -> bool:
        """Whether a request for work that can wait may be made now without harm.

        Args:
            cause: the kind of work, one of `RESERVES`.
        """
        now = self._clock.time()
        with self._mirror.reading() as connection:
            self._heed(connection)
            booked = requests.count_booked(connection, now, WINDOW)
        if self._throttle.wait(now):
            return False
        limit = self._throttle.limit(self._per_minute, now)
        left = limit - sum(number for _, number in booked)
        left += self._leased if self._has_lease else 0
        waited = now - self._last_spared.setdefault(cause, now)
        may = left > limit * RESERVES[cause] or not 0 <= waited < STARVED
        if may:
            self._last_spared[cause] = now
        return may

    def keep_books(self, connection: Connection, ahead: float = 0.0) -> Callable[[], None]:
        """Write down what was used, in a transaction that is made anyway.

        Args:
            connection: a write transaction.
            ahead: seconds until the next poll, for which a request is booked along, so that a
                quiet minute costs one small commit; 0 if none follows.

        Returns:
            What to call once it is committed: before that, nothing that it books may be spent.
        """
        now = self._clock.time()
        written = self._write_usage(connection, now)
        booked = sum(n for _, n in requests.count_booked(connection, now, WINDOW))
        room = self._throttle.limit(self._per_minute, now) - booked
        books_one = ahead > 0 and self._per_minute >= ROOM_AHEAD and room > self._per_minute // 2
        lease_ends = now + ahead + LEASE_LIFE
        if books_one:
            requests.forget_booked(connection, now, WINDOW)
            requests.book(connection, now, 1, lease_ends=lease_ends)

        def committed() -> None:
            self._unwritten -= written
            if books_one:
                self._take(1, now, lease_ends)

        return committed

    def close(self) -> None:
        """Write down what was used and not written yet."""
        if not self._unwritten:
            return
        with self._mirror.booking() as connection:
            written = self._write_usage(connection, self._clock.time())
        self._unwritten -= written

    @property
    def _has_lease(self) -> bool:
        return self._leased > 0 and self._lease_began <= self._clock.time() < self._lease_ends

    def _lease(self, cause: str) -> None:
        said = False
        while (wait := self._book()) > 0:
            if wait > WINDOW + LEASE_LIFE:
                raise SlowDownError(
                    f"hiTask asked to be left alone for another {wait:.0f} s", retry_after=wait
                )
            if not said and wait >= WORTH_SAYING:
                said = True
                self._log.info("budget_spent", cause=cause, wait_seconds=round(wait, 1))
            self._pause(wait)
            if self._stopping():
                raise UnreachableError("hisync is stopping: the request was not made")

    def _book(self) -> float:
        """Book requests; 0 if that worked, else the seconds until one more fits."""
        now = self._clock.time()
        busy = now - self._last_grant < LEASE_LIFE
        with self._mirror.booking() as connection:
            self._heed(connection)
            if (wait := self._throttle.wait(now)) > 0:
                return wait
            # Booked requests may be made until their lease ends, and count for a window from then.
            requests.forget_booked(connection, now, WINDOW)
            booked = requests.count_booked(connection, now, WINDOW)
            room = self._throttle.limit(self._per_minute, now) - sum(n for _, n in booked)
            if room <= 0:
                first_ends, _ = booked[0]
                return min(WINDOW + LEASE_LIFE, max(0.001, first_ends + WINDOW - now))
            number = max(1, min(LEASE, room // 6)) if busy else 1
            requests.book(connection, now, number, lease_ends=now + LEASE_LIFE)
            written = self._write_usage(connection, now)
        # Only what is committed may be spent.
        self._unwritten -= written
        self._take(number, now, now + LEASE_LIFE)
        return 0.0

    def _take(self, number: int, began: float, ends: float) -> None:
        self._leased, self._lease_began, self._lease_ends = number, began, ends

    def _heed(self, connection: Connection) -> None:
        """Take over what another process on this mirror, or an earlier one, was told."""
        known = Throttle.of(state.load(connection).throttle)
        if known.since > self._throttle.since:
            self._throttle = known

    def _write_usage(self, connection: Connection, now: float) -> Counter[tuple[str, str]]:
        written = self._unwritten.copy()
        if written:
            requests.add_usage(connection, now, written)
        return written
