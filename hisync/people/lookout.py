"""When the mirror is looked through for people who are new: every row of it, so not at each change.

Public: `Lookout`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

LOOK_EVERY: Final = 300.0
"""Seconds from one look for someone new to the next at least, while things change."""


@dataclass(slots=True)
class Lookout:
    """What one process remembers about its looks between cycles; forgotten, it costs one.

    Attributes:
        changed: whether anything changed since the last one.
        at: when that was, in seconds since the epoch, None before the first.
    """

    changed: bool = False
    at: float | None = None

    def is_due(self, now: float) -> bool:
        """Whether there may be someone new, and the last look is long enough ago."""
        return self.changed and (self.at is None or not 0 <= now - self.at < LOOK_EVERY)

    def looked(self, now: float) -> None:
        """It was looked, and what was found is kept."""
        self.changed, self.at = False, now
