"""What one process remembers about comments between cycles; forgotten, it costs requests only.

Public: `Memory`, `Posted`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Posted:
    """The newest comment of an item, posted by us.

    Attributes:
        id: its number.
        version: what the item's version is if nothing else happened to it.
    """

    id: int
    version: int


@dataclass(slots=True)
class Memory:
    """The memory; the keys are items' guids.

    Attributes:
        posted: own comments that the next pull will show as the newest ones.
        doubted: the newest comment by the item's word, which its history did not show.
        failures: how often in a row a history could not be read.
        retry_at: when it is tried again, in seconds since the epoch.
        looked: posts with a lost answer that this cycle has looked up, by their own guid.
        nothing_due: whether no history was to be read the last time.
        in_trouble: whether the last round ended in trouble, so that it is said once.
    """

    posted: dict[str, Posted] = field(default_factory=dict)
    doubted: dict[str, int | None] = field(default_factory=dict)
    failures: Counter[str] = field(default_factory=Counter)
    retry_at: dict[str, float] = field(default_factory=dict)
    looked: set[str] = field(default_factory=set)
    nothing_due: bool = False
    in_trouble: bool = False
