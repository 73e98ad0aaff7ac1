"""How many pushes are under way at once: one after another, unless somebody says otherwise.

Public: `Lanes`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

_T = TypeVar("_T")


class Runner(Protocol):
    """Runs jobs, each of which may make requests, and returns what they returned, in order."""

    def __call__(self, jobs: Sequence[Callable[[], _T]], /) -> list[_T]:
        """Run them."""


def _in_turn(jobs: Sequence[Callable[[], _T]]) -> list[_T]:
    return [job() for job in jobs]


def _any_number() -> int:
    return 1_000


@dataclass(frozen=True, slots=True)
class Lanes:
    """How pushes that don't depend on one another are sent.

    Attributes:
        most: how many at once.
        first: how many before anything has gone well: whatever is wrong strikes few.
        run: sends them.
        ready: how many requests may be made now without waiting for the budget.
    """

    most: int = 1
    first: int = 1
    run: Runner = _in_turn
    ready: Callable[[], int] = _any_number

    def wider(self, width: int) -> int:
        """How many to send after so many have gone well."""
        return min(2 * width, self.most)
