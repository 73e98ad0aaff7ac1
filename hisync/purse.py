"""The request purse: no request without its grant, and never more than the budget in a minute.

Grants are booked in the mirror before they are spent, a few at a time when requests follow one
another. So the limit holds across restarts, crashes and several processes on one mirror; what was
booked and never spent counts as spent. What can wait asks first whether there is some to spare.
Public: `Purse`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import structlog

from hisync.engine import Clock
from hisync.errors import UnreachableError
from hisync.mirror import requests
from hisync.mirror.store import Mirror

WINDOW: Final = 61.0
"""Seconds that must hold no more than the budget: a minute, and a second for uneven delays."""

LEASE_LIFE: Final = 5.0
"""Seconds within which booked requests are made, or lost."""

LEASE: Final = 10
"""Requests booked at once, at most."""

RESERVE: Final = 0.25
"""The share of the budget that is never spared: edits and the delta must not wait."""


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
        self._lease_ends = 0.0
        self._last_grant = float("-inf")

    def grant(self, cause: str) -> None:
        """Return when a request may be made.

        Raises:
            UnreachableError: if hisync is to stop while waiting: the request was not made.
        """
        if not self._has_lease:
            self._lease(cause)
        self._leased -= 1
        self._last_grant = self._clock.time()

    def spare(self) -> bool:
        """Whether a request that can wait may be made now, without waiting and without harm."""
        since = self._clock.time() - WINDOW - LEASE_LIFE
        with self._mirror.reading() as connection:
            spent = sum(number for _, number in requests.booked_since(connection, since))
        left = self._per_minute - spent + (self._leased if self._has_lease else 0)
        return left > self._per_minute * RESERVE

    @property
    def _has_lease(self) -> bool:
        left = self._lease_ends - self._clock.time()
        return self._leased > 0 and 0 < left <= LEASE_LIFE

    def _lease(self, cause: str) -> None:
        said = False
        while (wait := self._book()) > 0:
            if not said:
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
            # Booked requests may be made until their lease ends, and count for a window from then.
            spent = requests.count_since(connection, now, WINDOW + LEASE_LIFE)
            room = self._per_minute - sum(number for _, number in spent)
            if room > 0:
                number = max(1, min(LEASE, room // 6)) if busy else 1
                requests.book(connection, now, number)
                self._leased, self._lease_ends = number, now + LEASE_LIFE
                return 0.0
        return max(0.001, spent[0][0] + WINDOW + LEASE_LIFE - now)
