"""How far hiTask has slowed us down: at once and by half, and back again little by little.

Pure values; the purse keeps one and writes it down. Public: `Throttle`, `slows_down`, `pause_for`,
`seconds_to_next_day`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Self

from hisync.errors import ServiceError, SlowDownError, WaitLongError

LEAST_SHARE: Final = 1 / 16
"""The share of the budget that stays however often hiTask complains."""

RECOVERY: Final = 900.0
"""Seconds in which the whole budget comes back, evenly."""

BREATH: Final = 5.0
"""Seconds without a request after the first complaint; twice that after the next, and so on."""

LONGEST: Final = 86400.0
"""Seconds for which a pause is believed; a longer one is the mark of a clock that was wrong."""

_DAY: Final = 86400.0
_BUSY_CODES: Final = frozenset({59, 66})  # an import is running; overloaded, again in seconds
_MAINTENANCE: Final = 503
_DAILY_LIMIT: Final = 87


@dataclass(frozen=True, slots=True)
class Throttle:
    """A part of the budget, and a moment before which nothing is asked at all.

    Attributes:
        share: the part of the budget, from 0 to 1, that was left at the last complaint.
        since: when that was, in seconds since the epoch.
        until: when requests may be made again.
    """

    share: float = 1.0
    since: float = 0.0
    until: float = 0.0

    @classmethod
    def of(cls, saved: Mapping[str, Any] | None) -> Self:
        """As it was saved; a free one if nothing was."""
        return cls(**saved) if saved else cls()

    def saved(self) -> dict[str, float]:
        """What `of` reads."""
        return asdict(self)

    def share_at(self, now: float) -> float:
        """The part of the budget that may be used now; a clock that was set back gives nothing."""
        return min(1.0, self.share + max(0.0, now - self.since) / RECOVERY)

    def limit(self, per_minute: int, now: float) -> int:
        """The requests that any minute may see now: at least one."""
        return max(1, int(per_minute * self.share_at(now)))

    def wait(self, now: float) -> float:
        """Seconds for which nothing may be asked; a clock that was set back ends the pause."""
        left = self.until - now
        return left if self.since <= now and 0 < left <= LONGEST else 0.0

    def slowed(self, error: ServiceError, now: float) -> Self:
        """After another complaint."""
        share = max(LEAST_SHARE, self.share_at(now) / 2)
        breath = min(60.0, BREATH / (2 * share))
        wait = min(LONGEST, error.retry_after or breath)
        return type(self)(share, now, max(self.until if self.wait(now) else 0.0, now + wait))


def slows_down(error: ServiceError | None) -> bool:
    """Whether an error is a complaint that we ask too much."""
    if error is None:
        return False
    busy = error.code in _BUSY_CODES or error.status == _MAINTENANCE
    return busy or isinstance(error, SlowDownError)


def pause_for(error: ServiceError, now: float, last_pause_ended: float | None) -> float | None:
    """Seconds for which an error wants everything to rest; None if it doesn't.

    A daily limit rests until the next day begins in UTC. Where the service counts its days
    otherwise, that is too early, and it is asked again once an hour.

    Args:
        error: what hiTask said.
        now: seconds since the epoch.
        last_pause_ended: when the last such rest ended, None if there was none.
    """
    if error.retry_after is not None:
        return min(error.retry_after, LONGEST)
    if not isinstance(error, WaitLongError):
        return None
    rested = last_pause_ended is not None and 0 <= now - last_pause_ended < 2 * 3600
    return 3600.0 if rested or error.code != _DAILY_LIMIT else seconds_to_next_day(now)


def seconds_to_next_day(now: float) -> float:
    """Seconds until the next day has begun in UTC, and a minute for clocks that differ."""
    return _DAY - now % _DAY + 60.0
