"""What is finished leaves after its time: changes that ended and conflicts that are closed.

What somebody still has to decide stays, however old: rejected changes, open conflicts. Removed
rows stay, too: they are the last copy. Public: `prune_when_due`.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from hisync.engine import Engine
from hisync.mirror import pruning, state

EVERY: Final = 86400.0
"""Seconds between two looks."""


def prune_when_due(engine: Engine, keep_days: float) -> int:
    """Prune once a day, a limited number of rows at a time.

    Returns:
        How many rows left.
    """
    now = engine.clock.time()
    with engine.mirror.reading() as connection:
        last = state.load(connection).pruned_at
    if last is not None and 0 <= now - last < EVERY:
        return 0
    before = engine.clock.now() - timedelta(days=keep_days)
    with engine.mirror.writing() as connection:
        pruned = pruning.prune_finished(connection, before)
        if pruned < pruning.AT_ONCE:  # else the rest goes after the next cycle
            state.save(connection, pruned_at=now)
    if pruned:
        engine.log.info("history_pruned", rows=pruned, older_than_days=keep_days)
    return pruned
