"""How the request budget is shared out, and how long the work that can wait will take.

Pure values. Public: `RESERVES`, `STARVED`, `seconds_left`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

RESERVES: Final[Mapping[str, float]] = MappingProxyType({"history": 0.25, "people": 0.4})
"""The share of the budget that each kind of work leaves to what is more important. Edits, the
delta and the full read that is due (one request) leave nothing."""

STARVED: Final = 600.0
"""Seconds after which a kind of work that found nothing to spare gets a request all the same."""


def seconds_left(unread: int, lately_per_minute: float, allowed_per_minute: int) -> float:
    """Seconds until the comments of so many items are read.

    Args:
        unread: items, each of which takes one request.
        lately_per_minute: how many were read in a minute lately.
        allowed_per_minute: the budget as it is now; what it spares counts while none were read.
    """
    if unread <= 0:
        return 0.0
    expected = max(allowed_per_minute * (1 - RESERVES["history"]), 60 / STARVED)
    return 60.0 * unread / (lately_per_minute or expected)
