"""When the daemon asks hiTask next: often while people work, seldom while nothing goes on.

Pure but for what it remembers; times are seconds since the epoch. Public: `Pace`.
"""

from __future__ import annotations

from typing import Final

from hisync.errors import LostServerError, MirrorError, SlowDownError, StopError

QUIET_AFTER: Final = 3600.0
"""Seconds without a change on either side after which polls become fewer, by half each time."""

LONGEST_WAIT: Final = 900.0
"""Seconds between two attempts while trouble lasts."""

LONGEST_LOCAL_WAIT: Final = 60.0
"""The same while the trouble is the database's: an attempt costs hiTask nothing."""

LOST_WAITS: Final = (1.0, 2.0, 5.0, 10.0, 20.0, 30.0)
"""Seconds between two attempts to reach a database server that went away; the last from then on."""

REFUSED_WAITS: Final = (900.0, 1800.0, 3600.0)
"""Seconds between two attempts at a login that is refused; the last from then on."""


class Pace:
    """Decides how long to wait after each cycle.

    Args:
        poll_interval: seconds between two polls while people work.
        quiet_interval: seconds between two polls at most when nothing has changed for long.
        now: the time.
    """

    def __init__(self, poll_interval: float, quiet_interval: float, now: float) -> None:
        self._poll_interval = poll_interval
        self._quiet_interval = max(quiet_interval, poll_interval)
        self._busy_at = now
        self._lost = 0
        self.failures = 0

    def interval(self, now: float) -> float:
        """Seconds between two polls while all is well."""
        quiet = max(0, int((now - self._busy_at) // QUIET_AFTER))
        return min(self._quiet_interval, self._poll_interval * 2.0 ** min(quiet, 20))

    def note_work(self, now: float) -> None:
        """Somebody changed something, on either side."""
        self._busy_at = now

    def note_success(self) -> None:
        """A cycle went well."""
        self.failures = self._lost = 0

    def note_trouble(self, error: Exception) -> float:
        """A cycle failed: the seconds until the next should be tried."""
        self.failures += 1
        if isinstance(error, LostServerError):
            self._lost += 1  # what is no trouble of hiTask's makes nothing else wait longer
            return LOST_WAITS[min(self._lost, len(LOST_WAITS)) - 1]
        others = self.failures - self._lost
        if isinstance(error, StopError):
            return REFUSED_WAITS[min(others, len(REFUSED_WAITS)) - 1]
        longest = LONGEST_LOCAL_WAIT if isinstance(error, MirrorError) else LONGEST_WAIT
        wait = min(longest, self._poll_interval * 2.0 ** min(others - 1, 20))
        asked = error.retry_after if isinstance(error, SlowDownError) else None
        return max(wait, asked or 0.0)
